/** A member that is far slower than the others must not hold them up for long. */
import { purposes, RandomStream, ShardPlan } from '@lockstep/core';
import { describeJob } from '@lockstep/protocol';
import { expect, it } from 'vitest';
import { Fleet } from './fleet.ts';
import { MEMBERSHIP } from './membership.ts';
import { Partitions } from './partitions.ts';
import { TIMING } from './step-machine.ts';
import { SimulatedWorker } from './testing/simulated-worker.ts';
import { TOY_LAYOUT, ToyPool } from './testing/toy-model.ts';
import { VirtualClock } from './testing/virtual-time.ts';

const NUM_SHARDS = 8;
const LOCAL_MS = 10;
const NUM_STEPS = 300;
const LAYOUT_HASH = 'a'.repeat(64);

/** Mean virtual time of the later steps, with a local member and a remote one. */
async function meanStepMs(remoteMsPerShard: number): Promise<number> {
  const plan = new ShardPlan(NUM_SHARDS * NUM_STEPS, NUM_SHARDS, NUM_SHARDS);
  const clock = new VirtualClock();
  const labels = new Uint8Array(plan.numSamples);
  const partitions = new Partitions(plan, { images: new Uint8Array(4 * labels.length), labels, count: labels.length });
  const { numSamples, numShards, batchSize } = plan;
  const job = { topology: {}, labelSmoothing: 0, seed: 0, numSamples, numShards, batchSize };
  const fleet = new Fleet({
    plan,
    layout: TOY_LAYOUT,
    sliceUnit: 1,
    numEntries: undefined,
    sampleBytes: 5,
    pool: new ToyPool(plan, clock, LOCAL_MS),
    local: { name: 'local', threads: 1, engine: 'toy', device: 'cpu', runtime: 'node' },
    minWorkers: 2,
    joinTimeoutMs: 60_000,
    terms: () => ({
      job: describeJob({ ...job, partitions: [...partitions.digests] }),
      layoutHash: LAYOUT_HASH,
      partitions,
      checkSketch: async () => undefined,
    }),
    clock,
    membership: MEMBERSHIP,
    timing: TIMING,
    report: () => {},
    onStep: () => {},
  });
  new SimulatedWorker(plan, clock, fleet, new RandomStream(1, purposes.jitter, 0, 0, 0), {
    msPerShard: remoteMsPerShard,
    network: { latencyMs: 1, jitterMs: 0, reorders: false },
    layoutHash: LAYOUT_HASH,
  }).connect();
  let laterFrom = 0;
  for (let runStep = 0; runStep < NUM_STEPS; runStep++) {
    if (runStep === NUM_STEPS / 3) laterFrom = clock.now();
    const step = {
      epoch: 0,
      step: runStep,
      runStep,
      wire: 'fp32' as const,
      count: plan.stepSize(runStep),
      learningRate: 0.5,
    };
    await clock.until(fleet.steps([step], undefined, undefined), Number.POSITIVE_INFINITY);
  }
  fleet.close('finished', '');
  return (clock.now() - laterFrom) / ((NUM_STEPS * 2) / 3);
}

it.each([100, 1000, 3000, 20_000])(
  'one that takes %i ms for what another does in 10 costs little in the long run',
  async (msPerShard) => {
    expect(await meanStepMs(msPerShard)).toBeLessThan(NUM_SHARDS * LOCAL_MS * 1.2);
  },
);

it('one that is as fast halves the time', async () => {
  expect(await meanStepMs(LOCAL_MS)).toBeLessThan((NUM_SHARDS * LOCAL_MS) / 1.8);
});
