import { createHash } from 'node:crypto';
import {
  coveringNodes,
  initializeParameters,
  LockstepError,
  optimizerDefaults,
  purposes,
  RandomStream,
  ShardPlan,
  type SumFormat,
  slicesOf,
  type WireFormat,
} from '@lockstep/core';
import { PLAIN_VIEW, parseTopology, zoo } from '@lockstep/engine';
import { afterEach, describe, expect, it } from 'vitest';
import { fault } from './faults.ts';
import type { Job, SharedSplit } from './job.ts';
import { type PoolOptions, type StepSums, WorkerPool } from './pool.ts';
import type { PartialSum } from './tasks.ts';

const NUM_SAMPLES = 500;
const NUM_TEST = 300;

function noise(count: number, purpose: number): SharedSplit {
  const random = new RandomStream(purpose, purposes.jitter, 0, 0, 0);
  const images = new Uint8Array(new SharedArrayBuffer(count * 784)).map(() => random.below(256));
  const shared = new Uint8Array(new SharedArrayBuffer(count * 784));
  shared.set(images);
  const labels = new Uint8Array(new SharedArrayBuffer(count));
  for (let i = 0; i < count; i++) labels[i] = random.below(10);
  return { images: shared, labels, count };
}

const train = noise(NUM_SAMPLES, 1);
const test = noise(NUM_TEST, 2);
const network = parseTopology(zoo.mlp.topology);
const job: Job = {
  topology: zoo.mlp.topology,
  engine: 'onnx',
  device: 'cpu',
  labelSmoothing: 0,
  augmentation: undefined,
  optimizer: optimizerDefaults.adam,
  ema: 0,
  views: PLAIN_VIEW,
  keepsReference: false,
  reduction: 'exact',
  seed: 3,
  numSamples: NUM_SAMPLES,
  numShards: 8,
  batchSize: 80,
};
const plan = new ShardPlan(job.numSamples, job.numShards, job.batchSize);

const pools: WorkerPool[] = [];
afterEach(async () => {
  await Promise.all(pools.splice(0).map((pool) => pool.close()));
});

/** Takes a partial sum from outside, if there is room. */
function acceptSum(pool: WorkerPool, node: number, bytes: Uint8Array, wire: WireFormat): PartialSum | undefined {
  const partial = pool.expect(node);
  if (partial) pool.accept(partial, bytes, wire);
  return partial;
}

function open(numThreads: number, options: Partial<PoolOptions> = {}): WorkerPool {
  const pool = new WorkerPool({
    job,
    network,
    train,
    test,
    numThreads,
    onRecovery: undefined,
    ...options,
  });
  pools.push(pool);
  initializeParameters(network.layout, 3, pool.parameters(0));
  return pool;
}

const stepAt = (runStep: number, wire: SumFormat = 'fp32') => {
  const step = runStep % plan.stepsPerEpoch;
  const epoch = Math.floor(runStep / plan.stepsPerEpoch);
  return { epoch, step, runStep, wire, count: plan.stepSize(step), learningRate: 0.01 };
};

const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);

/** Stands for the bits of a vector; comparing hundreds of thousands of numbers one by one takes a second. */
const digest = (values: Float32Array): string =>
  createHash('sha256')
    .update(Uint8Array.from(bytesOf(values)))
    .digest('hex');

/** A shard's samples as they travel: pictures, then labels. */
function partition(shard: number): Uint8Array {
  const { from, to } = plan.partition(shard);
  return Buffer.concat([train.images.subarray(from * 784, to * 784), train.labels.subarray(from, to)]);
}

/** Some epochs in batches of steps; returns the sums of every step and the final parameters. */
async function run(pool: WorkerPool, numEpochs: number, clipNorm?: number, wire?: WireFormat) {
  const sums: StepSums[] = [];
  let runStep = 0;
  for (let epoch = 0; epoch < numEpochs; epoch++) {
    const steps = Array.from({ length: plan.stepsPerEpoch }, () => stepAt(runStep++, wire));
    sums.push(...(await pool.step(steps, clipNorm)));
  }
  return { sums, weights: digest(pool.parameters(runStep)) };
}

describe('WorkerPool', () => {
  it('counts every sample once, and learns', async () => {
    const { sums } = await run(open(2), 40);
    expect(sums.map(({ count }) => count).slice(0, plan.stepsPerEpoch)).toEqual([80, 80, 80, 80, 80, 80, 20]);
    expect(sums[0]!.lossSum / 80).toBeGreaterThan(2);
    expect(sums.at(-1)!.lossSum / 20).toBeLessThan(sums[0]!.lossSum / 80 - 0.5);
  });

  it.each([
    ['adam', undefined],
    ['adam', 0.1],
    ['muon', undefined],
    ['muon', 0.1],
  ] as const)('gives the same bits for any number of threads (%s, clip norm %s)', async (optimizer, clipNorm) => {
    const options = { job: { ...job, optimizer: optimizerDefaults[optimizer] } };
    const one = await run(open(1, options), 2, clipNorm);
    expect(await run(open(3, options), 2, clipNorm)).toEqual(one);
    if (clipNorm !== undefined) expect((await run(open(1, options), 2)).weights).not.toBe(one.weights);
  });

  it('evaluates the moving average, where there is one, and trains on from the parameters', async () => {
    const plain = await run(open(2), 2);
    const averaging = open(2, { job: { ...job, ema: 0.9 } });
    averaging.average(0)!.set(averaging.parameters(0));
    const first = await run(averaging, 1);
    const runStep = plan.stepsPerEpoch;
    const evaluation = await averaging.evaluate(runStep);
    const trained = averaging.parameters(runStep).slice();
    const steps = Array.from({ length: runStep }, (_, i) => stepAt(runStep + i));
    expect([...first.sums, ...(await averaging.step(steps, undefined))]).toEqual(plain.sums);
    expect(digest(averaging.parameters(2 * runStep))).toBe(plain.weights);
    const other = open(1);
    other.parameters(0).set(trained);
    expect((await other.evaluate(0)).lossSum).not.toBe(evaluation.lossSum);
    const third = open(3, { job: { ...job, ema: 0.9 } });
    third.average(0)!.set(third.parameters(0));
    await run(third, 1);
    other.load(0, bytesOf(third.result(runStep)));
    expect(await other.evaluate(0)).toEqual(evaluation);
  });

  it.each(['adam', 'muon'] as const)(
    'loses no step when threads die or engines fail in the middle (%s)',
    async (name) => {
      const options = { job: { ...job, optimizer: optimizerDefaults[name] } };
      const quiet = await run(open(2, options), 4);
      const reasons: string[] = [];
      const faults = [fault(0, 2, 'exit'), fault(1, 9, 'throw', 2), fault(1, 20, 'exit')];
      const pool = open(2, { ...options, faults, onRecovery: (reason) => reasons.push(reason) });
      expect(await run(pool, 4)).toEqual(quiet);
      expect(reasons).toHaveLength(4);
      expect(reasons[1]).toMatch(/injected failure of share 1 at step 9.*its step is done again/);
    },
  );

  it('gives up with a reason when a step fails again and again', async () => {
    const pool = open(2, { faults: [fault(1, 3, 'throw', 99)] });
    const failure = await run(pool, 1).catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: 'worker-failed' });
    expect((failure as Error).message).toMatch(/gave up after 3 attempts: injected failure/);
  });

  it('does not wait forever for a thread that hangs', async () => {
    const pool = open(2, { faults: [fault(0, 3, 'hang')], deadlines: { firstMs: 10_000, leastMs: 300 } });
    await pool.prepare();
    await expect(
      pool.step(
        [0, 1, 2].map((runStep) => stepAt(runStep)),
        undefined,
      ),
    ).resolves.toHaveLength(3);
    const failure = await pool.step([stepAt(3)], undefined).catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: 'worker-timeout' });
  });

  // Adam's updates are done by the calling thread, those of muon by the pool's.
  it.each([
    ['adam', undefined],
    ['adam', 0.1],
    ['muon', 0.1],
  ] as const)(
    'gives the same bits when partial sums come from other pools (%s, clip norm %s)',
    async (name, clipNorm) => {
      const options = { job: { ...job, optimizer: optimizerDefaults[name] } };
      const quiet = await run(open(2, options), 2, clipNorm);
      const coordinator = open(2, options);
      // One worker has threads enough to add up among themselves; the other is filled shard by shard.
      const workers = [open(3, options), open(2, { ...options, train: undefined })];
      for (let shard = 0; shard < job.numShards; shard++) workers[1]!.fill(shard, partition(shard));
      for (let runStep = 0; runStep < 2 * plan.stepsPerEpoch; runStep++) {
        const step = stepAt(runStep);
        const ranges = runStep % 2 === 0 ? [0, 3, 8] : [0, 6, 8];
        const own = await coordinator.gradient(step, { from: 0, to: runStep % 2 }, false);
        const parts = await Promise.all(
          workers.map(async (worker, i) => {
            worker.load(runStep, bytesOf(coordinator.parameters(runStep)));
            const range = { from: Math.max(ranges[i]!, runStep % 2), to: ranges[i + 1]! };
            const partials = (await worker.gradient(step, range, true))!;
            expect(partials.map(({ node }) => node)).toEqual(coveringNodes(range, job.numShards));
            const accepted = partials.map(
              (partial) => acceptSum(coordinator, partial.node, worker.packed(partial, 'fp32'), 'fp32')!,
            );
            worker.release(partials);
            return accepted;
          }),
        );
        const all = [...parts.reverse().flat(), ...own!];
        const sums = await coordinator.update(step, all, clipNorm);
        expect(coordinator.marks(1)[0]).toHaveLength(2);
        coordinator.release(all);
        expect(sums).toEqual(quiet.sums[runStep]);
      }
      expect(digest(coordinator.parameters(2 * plan.stepsPerEpoch))).toBe(quiet.weights);
    },
  );

  describe.each(['fp32', 'fp16', 'int8'] as const)('slice by slice, with sums as %s', (wire) => {
    const slices = slicesOf(network.layout.sumLength, 5);

    it.each(['sgd', 'adamw'] as const)('updates to the same bits, also when it begins again: %s', async (name) => {
      const options = {
        job: { ...job, optimizer: optimizerDefaults[name], ema: 0.9, keepsReference: wire !== 'fp32' },
      };
      const [quiet, pool] = [open(2, options), open(2, options)];
      for (const each of [quiet, pool]) each.reference(0)?.set(each.parameters(0));
      const all = { from: 0, to: job.numShards };
      let numEarly = 0;
      for (let runStep = 0; runStep < 2 * plan.stepsPerEpoch; runStep++) {
        const step = stepAt(runStep, wire);
        const expected = (await quiet.gradient(step, all, false))!;
        const sums = await quiet.update(step, expected, undefined);
        quiet.release(expected);

        const partials = (await pool.gradient(step, all, false))!;
        // Others come in no order.
        const unordered = [...partials].reverse();
        let from = 0;
        for (const slice of slices.slice(0, -1)) {
          if (pool.updateSlice(step, unordered, slice)) from = slice.to;
        }
        if (from > 0) numEarly++;
        expect(await pool.update(step, unordered, undefined, runStep % 3 === 0 ? 0 : from)).toEqual(sums);
        pool.release(partials);
        if (wire !== 'fp32') {
          const whole = quiet.packedChange(wire);
          const { numParameters } = network.layout;
          const parts = slicesOf(numParameters, 3).map((slice) => pool.packedChange(wire, slice));
          if (runStep % 3 === 1) expect(Buffer.concat(parts).length).toBeGreaterThanOrEqual(whole.length);
          expect(digest(pool.reference(runStep + 1)!)).toBe(digest(quiet.reference(runStep + 1)!));
        }
        expect(digest(pool.parameters(runStep + 1))).toBe(digest(quiet.parameters(runStep + 1)));
        expect(digest(pool.average(runStep + 1)!)).toBe(digest(quiet.average(runStep + 1)!));
      }
      // All but the first, before which nothing was ready for it.
      expect(numEarly).toBe(2 * plan.stepsPerEpoch - 1);
    });
  });

  it.each([
    ['sgd', undefined, true],
    ['sgd', 1, false],
    ['muon', undefined, false],
  ] as const)('updates slices only where nothing of the whole gradient is needed: %s, %d', (name, clipNorm, can) => {
    const pool = open(1, { job: { ...job, optimizer: optimizerDefaults[name] } });
    expect(pool.canUpdateSlices(clipNorm)).toBe(can);
  });

  describe.each(['fp16', 'int8'] as const)('with sums as %s', (wire) => {
    const rounded: Partial<PoolOptions> = { job: { ...job, keepsReference: true } };
    const openRounded = (numThreads: number): WorkerPool => {
      const pool = open(numThreads, rounded);
      pool.reference(0)!.set(pool.parameters(0));
      return pool;
    };

    it('computes the same on any number of threads, but not the same as without rounding, and learns', async () => {
      const one = await run(openRounded(1), 12, 1, wire);
      const three = await run(openRounded(3), 12, 1, wire);
      expect(three).toEqual(one);
      const exact = await run(open(2), 12, 1);
      expect(one.weights).not.toBe(exact.weights);
      const loss = (sums: readonly StepSums[]): number => sums.at(-1)!.lossSum / sums.at(-1)!.count;
      expect(Math.abs(loss(one.sums) - loss(exact.sums))).toBeLessThan(0.2);
    });

    it('follows from step to step by rounded changes alone', async () => {
      const quiet = await run(openRounded(2), 2, undefined, wire);
      const coordinator = openRounded(1);
      const workers = [open(3), open(1)];
      workers.forEach((worker) => {
        worker.load(0, bytesOf(coordinator.reference(0)!));
      });
      for (let runStep = 0; runStep < 2 * plan.stepsPerEpoch; runStep++) {
        const step = stepAt(runStep, wire);
        const cut = 1 + (runStep % 7);
        const parts = await Promise.all(
          [
            { from: 0, to: cut },
            { from: cut, to: 8 },
          ].map(async (range, i) => {
            const worker = workers[i]!;
            const partials = (await worker.gradient(step, range, true))!;
            const accepted = partials.map(
              (partial) => acceptSum(coordinator, partial.node, worker.packed(partial, wire), wire)!,
            );
            worker.release(partials);
            return accepted;
          }),
        );
        expect(await coordinator.update(step, parts.flat(), undefined)).toEqual(quiet.sums[runStep]);
        coordinator.release(parts.flat());
        const change = coordinator.packedChange(wire);
        expect(change.length).toBeLessThan(bytesOf(coordinator.parameters(0)).length / (wire === 'fp16' ? 1.9 : 3.9));
        for (const worker of workers) {
          worker.change(runStep + 1, change, wire);
          expect(digest(worker.parameters(runStep + 1))).toBe(digest(coordinator.reference(runStep + 1)!));
        }
      }
      expect(digest(coordinator.parameters(2 * plan.stepsPerEpoch))).toBe(quiet.weights);
    });

    it('keeps the reference near the parameters', async () => {
      const pool = openRounded(2);
      await run(pool, 12, undefined, wire);
      const runStep = 12 * plan.stepsPerEpoch;
      const [parameters, reference] = [pool.parameters(runStep), pool.reference(runStep)!];
      const distance = parameters.map((value, i) => Math.abs(value - reference[i]!)).reduce((a, b) => Math.max(a, b));
      expect(distance).toBeLessThan(wire === 'fp16' ? 1e-4 : 5e-3);
      expect(distance).toBeGreaterThan(0);
    });
  });

  it('takes entries for several nodes at once, and rounds nothing then but the change of the weights', async () => {
    const openKeeping = (): WorkerPool => {
      const pool = open(2, { job: { ...job, keepsReference: true } });
      pool.reference(0)!.set(pool.parameters(0));
      return pool;
    };
    const step = stepAt(0, 'topk');
    const { numWeights, sumLength, numParameters } = network.layout;
    const indices = Uint32Array.of(0, 7, 300, numWeights - 1);
    const values = Float32Array.of(0.5, -2, 1e-3, 40);
    const tail = [120, 30, 80];
    const dense = new Float32Array(sumLength);
    for (const [i, index] of indices.entries()) dense[index] = values[i]!;
    dense.set(tail, numParameters);

    const whole = openKeeping();
    const sum = acceptSum(whole, 1, bytesOf(dense), 'fp32')!;
    const expected = await whole.update(step, [sum], undefined);
    const sparse = openKeeping();
    // What lay in the same places before is gone.
    const before = [1, 2, 3].map((node) => acceptSum(sparse, node, bytesOf(dense.map(() => 1)), 'fp32')!);
    sparse.release(before);
    const partials = sparse.acceptSparse([2, 12, 13, 7], { indices, values, tail })!;
    expect(partials.map(({ node }) => node)).toEqual([2, 12, 13, 7]);
    expect(await sparse.update(step, partials, undefined)).toEqual(expected);
    expect(expected).toEqual({ lossSum: 120, numCorrect: 30, count: 80 });
    expect(digest(sparse.parameters(1))).toBe(digest(whole.parameters(1)));

    const follower = open(1);
    follower.change(1, sparse.packedChange('int8'), 'int8');
    expect(digest(follower.parameters(1))).toBe(digest(sparse.reference(1)!));
    sparse.release(partials);
    while (sparse.acceptSparse([2, 3], { indices, values, tail }));
    expect(sparse.acceptSparse([2, 3], { indices, values, tail })).toBeUndefined();
  });

  it('starts from what all workers have where sums are sent in part, and does not round them', async () => {
    const pool = open(1, { job: { ...job, keepsReference: true } });
    initializeParameters(network.layout, 9, pool.reference(0)!);
    const other = open(2);
    initializeParameters(network.layout, 9, other.parameters(0));
    const sumOf = async (of: WorkerPool, wire: 'topk' | 'fp32'): Promise<string> => {
      const [partial] = (await of.gradient(stepAt(0, wire), { from: 0, to: 8 }, true))!;
      return createHash('sha256').update(of.packed(partial!, 'fp32')).digest('hex');
    };
    expect(await sumOf(pool, 'topk')).toBe(await sumOf(other, 'fp32'));
  });

  it('computes the same up to rounding when it takes shards together', async () => {
    const sumOf = async (reduction: Job['reduction'], numThreads: number): Promise<Float32Array> => {
      const pool = open(numThreads, { job: { ...job, reduction } });
      const partials = (await pool.gradient(stepAt(6), { from: 1, to: 8 }, true))!;
      expect(partials.map(({ node }) => node)).toEqual([9, 5, 3]);
      const bytes = partials.map((partial) => pool.packed(partial, 'fp32').slice());
      pool.release(partials);
      return new Float32Array(Buffer.concat(bytes).buffer);
    };
    const exact = await sumOf('exact', 2);
    const normOf = (values: Float32Array): number => Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
    for (const numThreads of [1, 3]) {
      const fast = await sumOf('fast', numThreads);
      expect(digest(fast)).not.toBe(digest(exact));
      const difference = fast.map((value, i) => value - exact[i]!);
      expect(normOf(difference) / normOf(exact)).toBeLessThan(1e-5);
    }
  });

  it('has room for what is computed twice, and says when there is none', async () => {
    const pool = open(2);
    const vector = bytesOf(new Float32Array(network.layout.sumLength));
    const leaves = Array.from({ length: job.numShards }, (_, shard) => job.numShards + shard);
    // All shards have come from outside one by one while the local threads begin with them, too.
    const accepted = leaves.map((node) => acceptSum(pool, node, vector, 'fp32')!);
    expect(accepted).not.toContain(undefined);
    const own = await pool.gradient(stepAt(0), { from: 0, to: job.numShards }, true);
    expect(own).toHaveLength(1);
    while (acceptSum(pool, 1, vector, 'fp32'));
    pool.release(accepted);
    expect(acceptSum(pool, 1, vector, 'fp32')).toBeDefined();
  });

  it('can be told to end a gradient early, and goes on after it', async () => {
    const pool = open(1);
    // Rounded, shards are computed one by one, so that there is something left to end.
    const step = stepAt(0, 'fp16');
    const whole = await pool.gradient(step, { from: 0, to: 8 }, true);
    const sum = pool.packed(whole![0]!, 'fp32').slice();
    pool.release(whole!);
    const cancelled = pool.gradient(step, { from: 0, to: 8 }, true);
    pool.cancel();
    expect(await cancelled).toBeUndefined();
    const again = await pool.gradient(step, { from: 0, to: 8 }, true);
    expect(Buffer.compare(pool.packed(again![0]!, 'fp32'), sum)).toBe(0);
  });

  it('recognises sums that are not finite', async () => {
    const pool = open(1);
    const vector = new Float32Array(network.layout.sumLength);
    const accept = () => acceptSum(pool, 3, bytesOf(vector), 'fp32')!;
    expect(pool.isFinite(accept())).toBe(true);
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY]) {
      vector[vector.length - 4] = value;
      expect(pool.isFinite(accept())).toBe(false);
    }
    vector[vector.length - 4] = 3e38;
    expect(pool.isFinite(accept())).toBe(true);
  });

  it('evaluates the same for any number of threads', async () => {
    const one = await open(1).evaluate(0);
    expect(await open(3).evaluate(0)).toEqual(one);
    expect(one.count).toBe(NUM_TEST);
    expect(one.lossSum / NUM_TEST).toBeGreaterThan(2);
    expect(one.predictions).toHaveLength(NUM_TEST);
    expect(new Set(one.predictions).size).toBeGreaterThan(2);
    expect(one.predictions.filter((predicted, i) => predicted === test.labels[i])).toHaveLength(one.numCorrect);
  });

  it('tells why an engine cannot be opened', async () => {
    const pool = open(1, { job: { ...job, engine: 'tensorflow' } });
    const failure = await pool.prepare().catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(LockstepError);
    expect((failure as Error).message).toMatch(/tfjs-node/);
  });
});
