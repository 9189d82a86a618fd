/** What a coordinator can make of a remote worker: work, goodbyes, lost connections, other jobs. */
import { LockstepError, slicesOf } from '@lockstep/core';
import { closeCodes, joinEvent, layoutHash } from '@lockstep/protocol';
import { describe, expect, it, vi } from 'vitest';
import { WorkerPool } from '../pool.ts';
import { job, localGradient, NUM_SHARDS, network, otherJob, parametersOf, partitions, plan } from './testing/job.ts';
import { assign, pair, sendParameters } from './testing/scene.ts';

describe('join', () => {
  it('computes the same bits as a local pool, from the data that it fetches', async () => {
    const { coordinator, worker } = await pair({ options: { workers: 2 } });
    const peer = await coordinator.welcome(job);
    const { message: ready } = await peer.next('ready');
    expect(ready).toMatchObject({ jobHash: job.hash, layoutHash: layoutHash(network.layout.parameters), shards: [] });
    peer.serveAll(partitions);
    peer.send({ type: 'hold', shards: [0, 2] });
    expect((await peer.next('holds')).message.shards).toEqual([0]);
    expect((await peer.next('holds')).message.shards).toEqual([2]);

    // Two versions of the parameters, ranges of whole and of several subtrees, and a step of the second epoch.
    const cases = [
      { runStep: 0, from: 0, to: NUM_SHARDS, seed: 1 },
      { runStep: 1, from: 1, to: 4, seed: 2 },
      { runStep: plan.stepsPerEpoch + 1, from: 2, to: 3, seed: 3 },
    ];
    const asked = cases.map(({ runStep, from, to, seed }) => {
      sendParameters(peer, runStep, parametersOf(seed));
      return assign(peer, runStep, from, to);
    });
    for (const [i, { runStep, from, to, seed }] of cases.entries()) {
      const { message, payload } = await peer.next('result');
      const expected = await localGradient(runStep, parametersOf(seed), { from, to });
      expect(message).toMatchObject({ assignment: asked[i], generation: 7, runStep, nodes: expected.nodes });
      expect(Buffer.compare(payload, expected.bytes)).toBe(0);
    }

    peer.goodbye(closeCodes.finished, 'The run is over.');
    expect(await worker.ended).toBeUndefined();
    for (const event of worker.events) expect(joinEvent.parse(event)).toEqual(event);
    expect(worker.of('step').map(({ epoch, runStep, samples }) => [epoch, runStep, samples])).toEqual([
      [1, 1, 80],
      [1, 2, 60],
      [2, plan.stepsPerEpoch + 2, 20],
    ]);
    expect(worker.events.at(-1)).toMatchObject({ event: 'finished', samples: 160, steps: 3 });
  });

  it('keeps its pool and its data when it was dropped', async () => {
    const { coordinator, worker } = await pair();
    const first = await coordinator.welcome(job);
    first.serveAll(partitions);
    await first.next('ready');
    first.send({ type: 'hold', shards: [0, 1, 3] });
    for (let i = 0; i < 3; i++) await first.next('holds');
    first.drop();
    const second = await coordinator.welcome(job);
    expect((await second.next('ready')).message.shards).toEqual([0, 1, 3]);
    expect(worker.pools).toHaveLength(1);
    expect(worker.of('waiting')).toMatchObject([{ reason: 'the connection broke' }]);
    expect(worker.of('connecting').map(({ attempt }) => attempt)).toEqual([1, 2]);

    const parameters = parametersOf(1);
    sendParameters(second, 0, parameters);
    assign(second, 0, 0, 2);
    const expected = await localGradient(0, parameters, { from: 0, to: 2 });
    expect(Buffer.compare((await second.next('result')).payload, expected.bytes)).toBe(0);
  });

  it('takes parameters in slices, and sends its sums in them when asked to', async () => {
    const { coordinator } = await pair();
    const peer = await coordinator.welcome(job);
    peer.serveAll(partitions);
    const [first, second] = [parametersOf(1), parametersOf(2)];
    const sendSlice = (runStep: number, of: Uint8Array, slice: { from: number; to: number }): void =>
      peer.send({ type: 'parameters', runStep, slice }, of.subarray(slice.from * 4, slice.to * 4));
    const [head, middle, tail] = slicesOf(network.layout.numParameters, 3);
    sendParameters(peer, 0, first);
    // The beginning of the next ones changes nothing of those that are there.
    sendSlice(1, second, head!);
    const early = assign(peer, 0, 0, 2);
    const whole = await peer.next('result');
    expect(whole.message).toMatchObject({ assignment: early });
    const expected = await localGradient(0, first, { from: 0, to: 2 });
    expect(Buffer.compare(whole.payload, expected.bytes)).toBe(0);

    // What begins anew replaces what was not finished.
    sendSlice(1, first, head!);
    sendSlice(1, first, middle!);
    for (const slice of [head!, middle!, tail!]) sendSlice(1, second, slice);
    const slices = 4;
    const assignment = assign(peer, 1, 1, 4, slices);
    const { bytes, nodes } = await localGradient(1, second, { from: 1, to: 4 });
    const sums = nodes.map((_, i) => bytes.subarray((i * bytes.length) / 2, ((i + 1) * bytes.length) / 2));
    expect(nodes).toHaveLength(2);
    for (const slice of slicesOf(network.layout.sumLength, slices)) {
      const { message, payload } = await peer.next('result');
      expect(message).toMatchObject({ assignment, nodes, slice });
      const parts = sums.map((sum) => sum.subarray(slice.from * 4, slice.to * 4));
      expect(Buffer.compare(payload, Buffer.concat(parts))).toBe(0);
    }
    expect(peer.unread).not.toContain('result');
  });

  it.each([
    ['do not follow each other', 0, { from: 4096, to: 8192 }],
    ['end anywhere', 0, { from: 0, to: 5000 }],
    ['are empty', 0, { from: 0, to: 0 }],
    ['are longer than the parameters', 0, { from: 0, to: 409_600 }],
    ['are of another step than those before', 1, { from: 4096, to: 8192 }],
  ])('parts from a coordinator whose slices %s', async (_, runStep, slice) => {
    const { coordinator } = await pair();
    const peer = await coordinator.welcome(job);
    peer.serveAll(partitions);
    await peer.next('ready');
    if (runStep === 1) {
      peer.send({ type: 'parameters', runStep: 0, slice: { from: 0, to: 4096 } }, new Uint8Array(4096 * 4));
    }
    peer.send({ type: 'parameters', runStep, slice }, new Uint8Array(Math.max(0, slice.to - slice.from) * 4));
    expect(await peer.closed).toBe(closeCodes.malformed);
  });

  it('goes on making its pool when it was dropped meanwhile', async () => {
    let open = (): void => {};
    const gate = new Promise<void>((resolve) => {
      open = resolve;
    });
    class GatedPool extends WorkerPool {
      override async prepare() {
        await gate;
        return super.prepare();
      }
    }
    const { coordinator, worker } = await pair({ Pool: GatedPool });
    (await coordinator.welcome(job)).drop();
    const second = await coordinator.welcome(job);
    open();
    await second.next('ready');
    expect(worker.pools).toHaveLength(1);
    await worker.event('joined');
    expect(worker.of('joined')).toHaveLength(1);
  });

  it('drops what it computes when the connection is lost, and works for the next', async () => {
    const { coordinator } = await pair();
    const first = await coordinator.welcome(job);
    first.serveAll(partitions);
    sendParameters(first, 0, parametersOf(1));
    for (let i = 0; i < 20; i++) assign(first, 0, 0, NUM_SHARDS);
    await first.next('result');
    first.drop();
    const second = await coordinator.welcome(job);
    await second.next('ready');
    sendParameters(second, 0, parametersOf(2));
    const assignment = assign(second, 0, 0, NUM_SHARDS);
    // Whatever was left over of the first would come before it.
    const { message, payload } = await second.next('result');
    expect(message.assignment).toBe(assignment);
    const expected = await localGradient(0, parametersOf(2), { from: 0, to: NUM_SHARDS });
    expect(Buffer.compare(payload, expected.bytes)).toBe(0);
  });

  it('makes a new pool for another job, and takes its data from the disk', async () => {
    const { coordinator, worker } = await pair();
    const first = await coordinator.welcome(job);
    first.serveAll(partitions);
    await first.next('ready');
    first.send({ type: 'hold', shards: [2] });
    await first.next('holds');
    first.goodbye(closeCodes.stopping, 'The coordinator stops.');
    const second = await coordinator.welcome(otherJob);
    expect((await second.next('ready')).message).toMatchObject({ jobHash: otherJob.hash, shards: [2] });
    expect(worker.pools).toHaveLength(2);
  });

  it('does not compute from parameters that it does not have', async () => {
    const { coordinator } = await pair();
    const peer = await coordinator.welcome(job);
    peer.serveAll(partitions);
    const tooEarly = assign(peer, 0, 0, 1);
    expect((await peer.next('failed')).message).toMatchObject({ assignment: tooEarly, reason: /parameters of step 0/ });
    sendParameters(peer, 0, parametersOf(1));
    sendParameters(peer, 1, parametersOf(2));
    const outdated = assign(peer, 0, 0, 1);
    expect((await peer.next('failed')).message.assignment).toBe(outdated);
    const current = assign(peer, 1, 0, 1);
    expect((await peer.next('result')).message.assignment).toBe(current);
  });

  it('reports a gradient that fails, and goes on', async () => {
    class FailingPool extends WorkerPool {
      override gradient(...args: Parameters<WorkerPool['gradient']>) {
        if (args[0].runStep === 1) return Promise.reject(new Error(`no memory ${'!'.repeat(600)}`));
        return super.gradient(...args);
      }
    }
    const { coordinator } = await pair({ Pool: FailingPool });
    const peer = await coordinator.welcome(job);
    peer.serveAll(partitions);
    sendParameters(peer, 1, parametersOf(1));
    const failing = assign(peer, 1, 0, 1);
    sendParameters(peer, 2, parametersOf(1));
    const working = assign(peer, 2, 0, 1);
    const { message } = await peer.next('failed');
    expect(message.assignment).toBe(failing);
    expect(message.reason).toMatch(/^no memory !+$/);
    expect(message.reason).toHaveLength(500);
    expect((await peer.next('result')).message.assignment).toBe(working);
  });

  it('says so and ends when a thread hangs', async () => {
    class HungPool extends WorkerPool {
      override gradient(): Promise<never> {
        return Promise.reject(new LockstepError('worker-timeout', 'A thread hangs.', 'Look at it.'));
      }
    }
    const { coordinator, worker } = await pair({ Pool: HungPool });
    const peer = await coordinator.welcome(job);
    peer.serveAll(partitions);
    sendParameters(peer, 0, parametersOf(1));
    const assignment = assign(peer, 0, 0, 1);
    expect((await peer.next('failed')).message).toEqual({ type: 'failed', assignment, reason: 'A thread hangs.' });
    expect(await worker.ended).toMatchObject({ code: 'worker-timeout' });
    expect(await peer.closed).toBe(closeCodes.leaving);
  });

  it('ends with the reason when no engine works', async () => {
    const { coordinator, worker } = await pair({ options: { engine: 'tensorflow' } });
    const peer = await coordinator.welcome(job);
    expect(await worker.ended).toMatchObject({ code: 'engine-unavailable' });
    expect(await peer.closed).toBe(closeCodes.leaving);
  });

  it.each([
    [closeCodes.version, 'You speak version 1.'],
    [closeCodes.job, 'Other\u001b[31m parameters.'],
  ])('is told why it is sent away with code %s', async (code, reason) => {
    const { coordinator, worker } = await pair();
    const peer = await coordinator.accept();
    peer.goodbye(code, reason);
    const failure = await worker.ended;
    expect(failure).toMatchObject({ code: 'coordinator-refused' });
    expect(failure!.message).toContain(reason.replace('\u001b', ' '));
    expect(coordinator.dials).toHaveLength(1);
  });

  it('does not need the network to be slow for a goodbye to count', async () => {
    const { coordinator, worker } = await pair();
    const peer = await coordinator.welcome(job);
    await peer.next('ready');
    peer.send({ type: 'bye', code: closeCodes.finished, reason: 'The run is over.' });
    // The connection is never closed by the coordinator.
    expect(await worker.ended).toBeUndefined();
  });

  it('refuses a job that is not the one of its hash', async () => {
    const { coordinator, worker } = await pair();
    await coordinator.welcome({ text: job.text, hash: otherJob.hash });
    expect(await worker.ended).toMatchObject({ code: 'coordinator-refused', message: /does not match its hash/ });
  });
});

describe('cancel', () => {
  /** Its first gradient takes until it is cancelled. */
  class SlowPool extends WorkerPool {
    static onGradient: () => void;
    #cancelled: (() => void) | undefined;
    override async gradient(...args: Parameters<WorkerPool['gradient']>) {
      if (this.#cancelled) return super.gradient(...args);
      await new Promise<void>((resolve) => {
        this.#cancelled = resolve;
        SlowPool.onGradient();
      });
      // A real one may be done before it hears of it.
      return undefined;
    }
    override cancel(): void {
      this.#cancelled!();
    }
  }

  it('ends work that waits, work that is computed, and work whose data is fetched', async () => {
    const computing = new Promise<void>((resolve) => {
      SlowPool.onGradient = resolve;
    });
    const { coordinator } = await pair({ Pool: SlowPool });
    const peer = await coordinator.welcome(job);
    sendParameters(peer, 0, parametersOf(1));
    const fetching = assign(peer, 0, 0, NUM_SHARDS);
    const slow = assign(peer, 0, 0, 1);
    const waiting = assign(peer, 0, 0, 1);
    const unknown = 1e6;
    await peer.serve(partitions, 1);
    for (const assignment of [unknown, waiting, fetching]) peer.send({ type: 'cancel', assignment });
    for (const assignment of [waiting, fetching]) {
      expect((await peer.next('failed')).message).toEqual({ type: 'failed', assignment, reason: 'cancelled' });
    }
    peer.serveAll(partitions);
    await computing;
    sendParameters(peer, 1, parametersOf(2));
    const last = assign(peer, 1, 0, 1);
    peer.send({ type: 'cancel', assignment: slow });
    expect((await peer.next('failed')).message).toEqual({ type: 'failed', assignment: slow, reason: 'cancelled' });
    const { message, payload } = await peer.next('result');
    expect(message.assignment).toBe(last);
    const expected = await localGradient(1, parametersOf(2), { from: 0, to: 1 });
    expect(Buffer.compare(payload, expected.bytes)).toBe(0);
  });

  it('keeps only the parameters that work waits for', async () => {
    const loads: number[] = [];
    class CountingPool extends SlowPool {
      override load(runStep: number, bytes: Uint8Array, from: number): void {
        loads.push(runStep);
        super.load(runStep, bytes, from);
      }
    }
    const computing = new Promise<void>((resolve) => {
      SlowPool.onGradient = resolve;
    });
    const { coordinator } = await pair({ Pool: CountingPool });
    const peer = await coordinator.welcome(job);
    peer.serveAll(partitions);
    sendParameters(peer, 0, parametersOf(1));
    const slow = assign(peer, 0, 0, 1);
    await computing;
    const begin = (runStep: number): void => {
      const slice = { from: 0, to: 4096 };
      peer.send({ type: 'parameters', runStep, slice }, parametersOf(1).subarray(0, 4 * slice.to));
    };
    for (let runStep = 1; runStep <= 10; runStep++) {
      begin(runStep);
      sendParameters(peer, runStep, parametersOf(1));
      const assignment = assign(peer, runStep, 0, 1);
      if (runStep < 10) peer.send({ type: 'cancel', assignment });
    }
    for (let i = 0; i < 10; i++) begin(11);
    // Answered when all of that has come.
    peer.send({ type: 'ping', sentAt: 0 });
    await peer.next('pong');
    peer.send({ type: 'cancel', assignment: slow });
    expect((await peer.next('result')).message.runStep).toBe(10);
    await vi.waitFor(() => expect(loads).toEqual([0, 10, 11]));
  });
});
