/**
 * The one suite that every engine passes: its gradients against finite differences of the float64 reference and against
 * tf.js, and the promises of the {@link Engine} interface.
 */
import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Engine, EngineConfig, Evaluation, RandomKey, Samples } from '../engine.ts';
import { loadCpuBackend } from '../tfjs/backends.ts';
import { createEngineOnBackend } from '../tfjs/engine.ts';
import type { Network } from '../topology/network.ts';
import { parseTopology } from '../topology/parse.ts';
import { addUp, distance, finiteDifferences, norm, relativeErrors, slopeAlong } from './differences.ts';
import { dropoutMasks, randomParameters, randomSamples } from './inputs.ts';
import { type ContractModel, contractModels, tieModel } from './models.ts';
import { type ReferenceResult, referenceInference, referenceTraining } from './reference.ts';

export interface ContractOptions {
  /** Why the suite cannot run here; undefined runs it. */
  readonly skip?: string | undefined;
  /** Largest relative error of gradients, losses, statistics and probabilities; 1e-4 by default. */
  readonly tolerance?: number | undefined;
  /** Models to check; by default those of `models.ts`. */
  readonly models?: readonly ContractModel[] | undefined;
  /** Elements of each parameter whose gradient is checked against a finite difference, 0 for none; 6 by default. */
  readonly samplesPerParameter?: number | undefined;
  /** Largest group of micro-batches that is tried; by default the engine's largest. */
  readonly largestGroup?: number | undefined;
  /** Sizes of the micro-batches that are held against the reference and tf.js; the first is also differentiated. */
  readonly batchSizes?: readonly [number, ...number[]] | undefined;
  /**
   * For an engine that cannot compute the usual ones: a model that ends in a dense layer `head` of four classes, and one with ties in
   * max pooling (see {@link tieModel}).
   */
  readonly special?: { readonly plain: ContractModel; readonly ties: ContractModel } | undefined;
}

const labelSmoothing = 0.1;
const key: RandomKey = { seed: 7, step: 3, shard: 2 };

/** A sum vector full of NaN, to show what an engine does not overwrite. */
const newSums = ({ layout }: Network): Float32Array => new Float32Array(layout.sumLength).fill(Number.NaN);

async function gradientOf(engine: Engine, network: Network, samples: Samples): Promise<Float32Array> {
  const sums = newSums(network);
  await engine.gradient([{ samples, key }], sums);
  return sums;
}

/** Equal for equal bits; short, so that a failure prints fast. */
const bits = (vector: Float32Array): string => createHash('sha256').update(new Uint8Array(vector.buffer)).digest('hex');

const judge = (network: Network, parameters: Float32Array, samples: Samples, smoothing: number): ReferenceResult =>
  referenceTraining(network, parameters, samples, smoothing, dropoutMasks(network, samples.count, key));

/** Checks everything in a sum vector but the gradient. */
function expectTotals(
  network: Network,
  sums: Float32Array,
  samples: Samples,
  expected: ReferenceResult,
  tolerance: number,
) {
  const { layout } = network;
  const loss = sums[layout.lossIndex]!;
  expect(Math.abs(loss - expected.lossSum), `loss sum ${loss}, reference ${expected.lossSum}`).toBeLessThanOrEqual(
    tolerance * (1 + expected.lossSum),
  );
  expect(sums[layout.correctIndex]).toBe(expected.numCorrect);
  expect(sums[layout.countIndex]).toBe(samples.count);
  for (const parameter of layout.parameters) {
    if (parameter.kind === 'weight') continue;
    const statistic = expected.statistics.get(parameter.name)!.map((value) => value * samples.count);
    expectVector(layout.view(sums, parameter), statistic, tolerance, parameter.name);
  }
}

/** Also that what counts as correct is what is predicted, whatever lies behind the last label. */
function expectPredictions({ predictions, numCorrect }: Evaluation, expected: Uint8Array, { labels }: Samples): void {
  expect(predictions).toEqual(expected);
  expect(numCorrect).toBe(predictions.filter((predicted, i) => predicted === labels[i]).length);
}

/** Euclidean distance, relative to the length of `expected` plus one. */
function expectVector(actual: ArrayLike<number>, expected: ArrayLike<number>, tolerance: number, what: string): void {
  expect(distance(expected, actual) / (1 + norm(expected)), what).toBeLessThanOrEqual(tolerance);
}

/**
 * Registers the suite for one engine.
 * @param name heading in the report
 * @param create makes an engine for a model; called at least twice for each
 */
export function describeEngineContract(
  name: string,
  create: (config: EngineConfig) => Promise<Engine>,
  options: ContractOptions = {},
): void {
  const tolerance = options.tolerance ?? 1e-4;
  const numSampled = options.samplesPerParameter ?? 6;
  const batchSizes = options.batchSizes ?? [5, 1, 3, 4, 1];
  const { plain, ties } = options.special ?? { plain: contractModels[0]!, ties: tieModel };
  const title = `${name} keeps the engine contract${options.skip === undefined ? '' : ` (skipped: ${options.skip})`}`;

  describe.skipIf(options.skip !== undefined)(title, () => {
    for (const model of options.models ?? contractModels) {
      describe(model.name, () => describeModel(parseTopology(model.topology)));
    }
    describe('ties in max pooling', describeTies);
    it('predicts the lowest of several classes with the same logit', async () => {
      const network = parseTopology(plain.topology);
      const parameters = new Float32Array(network.layout.numParameters);
      const bias = network.layout.parameters.find(({ name }) => name === 'head/bias')!;
      const engine = await create({ network, labelSmoothing: 0 });
      try {
        for (const [logits, predicted] of [
          [[0, 0, 0, 0], 0],
          [[-1, 2, 0, 2], 1],
          [[-3, -2, -1, -1], 2],
        ] as const) {
          network.layout.view(parameters, bias).set(logits);
          engine.setParameters(parameters);
          const samples = randomSamples(network, 5, 1);
          expectPredictions(await engine.evaluate(samples), new Uint8Array(5).fill(predicted), samples);
        }
      } finally {
        await engine.dispose();
      }
    });
    it('does without label smoothing', async () => {
      const network = parseTopology(plain.topology);
      const parameters = randomParameters(network, 1);
      const samples = randomSamples(network, 4, 1);
      const engine = await create({ network, labelSmoothing: 0 });
      try {
        engine.setParameters(parameters);
        const sums = await gradientOf(engine, network, samples);
        expectTotals(network, sums, samples, judge(network, parameters, samples, 0), tolerance);
      } finally {
        await engine.dispose();
      }
    });
  });

  function describeModel(network: Network): void {
    const { layout } = network;
    const parameters = randomParameters(network, 1);
    let engine: Engine;
    let twin: Engine;
    let tfjs: Engine;

    beforeAll(async () => {
      const config = { network, labelSmoothing };
      engine = await create(config);
      twin = await create(config);
      tfjs = await createEngineOnBackend(config, await loadCpuBackend());
      for (const each of [engine, twin, tfjs]) each.setParameters(parameters);
    });
    afterAll(async () => {
      for (const each of [engine, twin, tfjs]) await each?.dispose();
    });

    it('computes the derivatives of the float64 reference along random directions', async () => {
      const samples = randomSamples(network, batchSizes[0], 2);
      const masks = dropoutMasks(network, samples.count, key);
      const weights = (await gradientOf(engine, network, samples)).subarray(0, layout.numWeights);
      for (const seed of [1, 2]) {
        const { direction, slope } = slopeAlong(network, parameters, seed, 1e-8, (shifted) =>
          referenceTraining(network, shifted, samples, labelSmoothing, masks),
        );
        const own = weights.reduce((sum, value, i) => sum + value * direction[i]!, 0);
        expect(Math.abs(own - slope) / norm(weights), `slope ${own}, reference ${slope}`).toBeLessThanOrEqual(
          tolerance,
        );
      }
    });

    it.skipIf(numSampled === 0)('computes the gradient that finite differences of it give', async () => {
      const samples = randomSamples(network, batchSizes[0], 2);
      const masks = dropoutMasks(network, samples.count, key);
      const differences = finiteDifferences(network, parameters, numSampled, 1e-6, (shifted) =>
        referenceTraining(network, shifted, samples, labelSmoothing, masks),
      );
      expect(differences.numKept / differences.numTried, 'share of coordinates without a kink').toBeGreaterThan(0.7);
      const sums = await gradientOf(engine, network, samples);
      for (const { name, error } of relativeErrors(differences, sums)) {
        expect(error, `relative error of the gradient of ${name}`).toBeLessThanOrEqual(tolerance);
      }
    });

    it('agrees with the reference and with tf.js on batches of any size', async () => {
      for (const count of batchSizes) {
        const samples = randomSamples(network, count, 10 + count);
        const sums = await gradientOf(engine, network, samples);
        expectTotals(network, sums, samples, judge(network, parameters, samples, labelSmoothing), tolerance);
        const expected = await gradientOf(tfjs, network, samples);
        const weights = expected.subarray(0, layout.numWeights);
        const error = distance(weights, sums.subarray(0, layout.numWeights)) / norm(weights);
        expect(error, `relative error of the gradient of ${count} samples`).toBeLessThanOrEqual(tolerance);
      }
    });

    it('gives zeros for no samples', async () => {
      const sums = await gradientOf(engine, network, { ...randomSamples(network, 1, 1), count: 0 });
      expect(sums.every((value) => value === 0)).toBe(true);
      const nothing = { count: 0, images: new Uint8Array(0), labels: new Uint8Array(0) };
      expect(await engine.evaluate(nothing)).toEqual({ lossSum: 0, numCorrect: 0, predictions: new Uint8Array(0) });
    });

    it('gives the same bits again, and in another instance', async () => {
      const samples = randomSamples(network, 4, 20);
      const first = await gradientOf(engine, network, samples);
      await gradientOf(engine, network, randomSamples(network, 3, 21));
      expect(bits(await gradientOf(engine, network, samples))).toEqual(bits(first));
      expect(bits(await gradientOf(twin, network, samples))).toEqual(bits(first));
    });

    it('takes groups of micro-batches as if each came by itself', async () => {
      expect(Number.isInteger(Math.log2(engine.maxGroup)), `maxGroup ${engine.maxGroup} is a power of two`).toBe(true);
      // With samples of one size, of several sizes, and with empty micro-batches among them.
      for (const counts of [[3], [2, 4, 1], [3, 0], [0, 0, 0, 2, 1]]) {
        for (let size = 1; size <= Math.min(engine.maxGroup, options.largestGroup ?? engine.maxGroup); size *= 2) {
          const batches = Array.from({ length: size }, (_, i) => ({
            samples: randomSamples(network, counts[i % counts.length]!, 60 + i),
            key: { ...key, shard: i },
          }));
          const apart: Float32Array[] = [];
          for (const batch of batches) {
            const sums = newSums(network);
            await engine.gradient([batch], sums);
            apart.push(sums);
          }
          const together = newSums(network);
          await engine.gradient(batches, together);
          expect(bits(together), `${size} micro-batches of ${counts.join(', ')} samples`).toBe(bits(addUp(apart)));
        }
      }
    });

    it('writes into shared memory, or says that it cannot', async ({ skip }) => {
      if (!engine.writesShared) skip('it says that it cannot');
      const samples = randomSamples(network, 3, 23);
      const { length } = newSums(network);
      const shared = new Float32Array(new SharedArrayBuffer(length * Float32Array.BYTES_PER_ELEMENT)).fill(Number.NaN);
      await engine.gradient([{ samples, key }], shared);
      expect(bits(shared.slice())).toEqual(bits(await gradientOf(engine, network, samples)));
    });

    it('reads no further than `count` samples', async () => {
      const long = randomSamples(network, 4, 22);
      const pictureSize = network.inputShape.reduce((product, dimension) => product * dimension, 1);
      const exact = { count: 3, images: long.images.slice(0, 3 * pictureSize), labels: long.labels.slice(0, 3) };
      const expected = await gradientOf(engine, network, exact);
      expect(bits(await gradientOf(engine, network, { ...long, count: 3 }))).toEqual(bits(expected));
    });

    it('evaluates and predicts in inference mode', async () => {
      for (const count of [3, 5]) {
        const samples = randomSamples(network, count, 30);
        const expected = referenceInference(network, parameters, samples);
        const evaluation = await engine.evaluate(samples);
        expectVector([evaluation.lossSum], [expected.lossSum], tolerance, 'loss sum');
        expect(evaluation.numCorrect).toBe(expected.numCorrect);
        expectPredictions(evaluation, expected.predictions, samples);
        const probabilities = new Float32Array(count * network.numClasses).fill(Number.NaN);
        await engine.predict(samples, probabilities);
        expectVector(probabilities, expected.probabilities, tolerance, 'probabilities');
      }
    });

    it('copies the parameters it is given', async () => {
      const samples = randomSamples(network, 3, 40);
      const others = new Float32Array(randomParameters(network, 2));
      const longer = new Float32Array([...others, 1, 2, 3]);
      const before = await gradientOf(engine, network, samples);
      try {
        engine.setParameters(longer);
        longer.fill(Number.NaN);
        const sums = await gradientOf(engine, network, samples);
        expectTotals(network, sums, samples, judge(network, others, samples, labelSmoothing), tolerance);
        twin.setParameters(others);
        expect(bits(await gradientOf(twin, network, samples))).toEqual(bits(sums));
        expectVector(
          [(await engine.evaluate(samples)).lossSum],
          [referenceInference(network, others, samples).lossSum],
          tolerance,
          'loss sum in inference mode',
        );
      } finally {
        engine.setParameters(parameters);
        twin.setParameters(parameters);
      }
      expect(bits(await gradientOf(engine, network, samples))).toEqual(bits(before));
    });
  }

  function describeTies(): void {
    it('gives the gradient to the first of equal values in row-major order', async () => {
      const network = parseTopology(ties.topology);
      const parameters = randomParameters(network, 1);
      for (const parameter of network.layout.parameters) {
        const view = network.layout.view(parameters, parameter);
        if (parameter.name === 'values/kernel') view.fill(0);
        // Two values, with a period that divides neither the row nor the window.
        if (parameter.name === 'values/bias') view.set(view.map((_, i) => (((i * i) % 7) % 3 === 0 ? 0.5 : -1)));
      }
      const samples = randomSamples(network, 2, 50);
      const config = { network, labelSmoothing };
      const tfjs = await createEngineOnBackend(config, await loadCpuBackend());
      const engine = await create(config);
      try {
        tfjs.setParameters(parameters);
        engine.setParameters(parameters);
        const sums = await gradientOf(engine, network, samples);
        expectTotals(network, sums, samples, judge(network, parameters, samples, labelSmoothing), tolerance);
        // Lowering each value by a little more than the one before makes the first of equals the largest.
        const bias = network.layout.parameters.find(({ name }) => name === 'values/bias')!;
        const broken = Float64Array.from(parameters);
        for (let i = 0; i < bias.size; i++) broken[bias.offset + i]! -= 1e-8 * i;
        const differences = finiteDifferences(network, broken, bias.size, 1e-9, (shifted) =>
          referenceTraining(network, shifted, samples, labelSmoothing, []),
        );
        expect(differences.numKept).toBe(differences.numTried);
        for (const { name, error } of relativeErrors(differences, sums)) {
          expect(error, `relative error of the gradient of ${name}`).toBeLessThanOrEqual(tolerance);
        }
        const expected = await gradientOf(tfjs, network, samples);
        const { numWeights } = network.layout;
        expectVector(sums.subarray(0, numWeights), expected.subarray(0, numWeights), tolerance, 'gradient of tf.js');
      } finally {
        await engine.dispose();
        await tfjs.dispose();
      }
    });
  }
}
