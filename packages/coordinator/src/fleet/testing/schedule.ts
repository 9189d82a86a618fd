/** One run under a seeded schedule of joins, kills, stops, slowness and lies. The same seed gives the same run. */
import { purposes, RandomStream, ShardPlan, type SumFormat, wireFormats } from '@lockstep/core';
import { describeJob } from '@lockstep/protocol';
import type { StepPlan, StepSums } from '@lockstep/worker';
import { Fleet, type FleetReport } from '../fleet.ts';
import { MEMBERSHIP } from '../membership.ts';
import { Partitions } from '../partitions.ts';
import { TIMING } from '../step-machine.ts';
import { type Manner, SimulatedWorker } from './simulated-worker.ts';
import { TOY_LAYOUT, ToyPool } from './toy-model.ts';
import { VirtualClock } from './virtual-time.ts';

const EPOCHS = 2;
const LAYOUT_HASH = 'a'.repeat(64);
const HOUR_MS = 3_600_000;
/** Entries of a sum in the format `topk`. */
const NUM_ENTRIES = 3;
const manners: readonly Manner[] = [
  'honest',
  'honest',
  'honest',
  'twice',
  'not finite',
  'wrong length',
  'wrong generation',
  'other shards',
  'unasked',
  'fails',
  'never',
];

export interface Outcome {
  readonly parameters: Float32Array;
  readonly sums: readonly StepSums[];
  /** Virtual time from the end of one step to the end of the next. */
  readonly stepMs: readonly number[];
  /** Partial sums that were not given back. */
  readonly numHeld: number;
  /** Slices that were updated before their step's end. */
  readonly numSlices: number;
  readonly reports: readonly FleetReport[];
  readonly fleet: Fleet;
}

/** What a seed decides about the job, not about what happens to it. */
function jobOf(
  seed: number,
  wire: SumFormat = wireFormats[seed % wireFormats.length]!,
): { plan: ShardPlan; steps: StepPlan[] } {
  const random = new RandomStream(seed, purposes.jitter, 0, 0, 0);
  const numShards = 2 ** random.below(5);
  const batchSize = numShards + random.below(40);
  const plan = new ShardPlan(batchSize * 3 + random.below(batchSize) + numShards, numShards, batchSize);
  const steps: StepPlan[] = [];
  for (let epoch = 0; epoch < EPOCHS; epoch++) {
    for (let step = 0; step < plan.stepsPerEpoch; step++) {
      const runStep = epoch * plan.stepsPerEpoch + step;
      steps.push({ epoch, step, runStep, wire, count: plan.stepSize(step), learningRate: 0.5 });
    }
  }
  return { plan, steps };
}

function open(
  plan: ShardPlan,
  clock: VirtualClock,
  local: boolean,
  minWorkers: number,
  msPerShard: number,
  numEntries?: number,
) {
  const pool = new ToyPool(plan, clock, msPerShard);
  const reports: FleetReport[] = [];
  const labels = new Uint8Array(plan.numSamples);
  const partitions = new Partitions(plan, {
    images: new Uint8Array(plan.numSamples * 4),
    labels,
    count: labels.length,
  });
  const { numSamples, numShards, batchSize } = plan;
  const job = { topology: {}, labelSmoothing: 0, topk: numEntries, seed: 0, numSamples, numShards, batchSize };
  const fleet = new Fleet({
    plan,
    layout: TOY_LAYOUT,
    sliceUnit: 1,
    numEntries,
    sampleBytes: 5,
    pool,
    local: local ? { name: 'local', threads: 1, engine: 'toy', device: 'cpu', runtime: 'node' } : undefined,
    minWorkers,
    joinTimeoutMs: 10 * 60_000,
    terms: () => ({
      job: describeJob({ ...job, partitions: [...partitions.digests] }),
      layoutHash: LAYOUT_HASH,
      partitions,
      checkSketch: async () => undefined,
    }),
    clock,
    membership: MEMBERSHIP,
    timing: TIMING,
    report: (report) => reports.push(report),
    onStep: () => {},
  });
  return { pool, fleet, reports };
}

async function train(
  clock: VirtualClock,
  { pool, fleet, reports }: ReturnType<typeof open>,
  steps: readonly StepPlan[],
): Promise<Outcome> {
  const sums: StepSums[] = [];
  const stepMs: number[] = [];
  for (const step of steps) {
    const before = clock.now();
    sums.push(...(await clock.until(fleet.steps([step], undefined, undefined), HOUR_MS)));
    stepMs.push(clock.now() - before);
  }
  const parameters = pool.parameters(steps.length).slice();
  fleet.close('finished', 'the run is over');
  return { parameters, sums, stepMs, numHeld: pool.numHeld, numSlices: pool.numSlices, reports, fleet };
}

/** The run of this seed's job by the local pool alone. */
export function quietRun(seed: number): Promise<Outcome> {
  const { plan, steps } = jobOf(seed);
  const clock = new VirtualClock();
  return train(clock, open(plan, clock, true, 1, 1), steps);
}

interface Disturbed {
  readonly run: Promise<Outcome>;
  readonly hasLocal: boolean;
  /** Samples of each step. */
  readonly counts: readonly number[];
  /** Per parameter, what was not used of the gradients as a mean over each step: as the pool and as the workers count it. */
  readonly withheld: () => { readonly missing: Float64Array; readonly kept: Float64Array };
}

/** The run of this seed's job by whoever is there. */
export function disturbedRun(seed: number, wire?: SumFormat): Disturbed {
  const { plan, steps } = jobOf(seed, wire);
  const random = new RandomStream(seed, purposes.jitter, 1, 0, 0);
  const clock = new VirtualClock();
  const hasLocal = random.below(2) === 0;
  const numWorkers = 1 + random.below(6);
  const opened = open(plan, clock, hasLocal, 1 + random.below(2), 1 + random.below(30), wire && NUM_ENTRIES);
  const below = (limit: number): number => random.below(limit);

  const workers = Array.from({ length: numWorkers }, (_, i) => {
    const worker = new SimulatedWorker(plan, clock, opened.fleet, new RandomStream(seed, purposes.jitter, 2, i, 0), {
      msPerShard: 1 + below(40) * (below(8) === 0 ? 20 : 1),
      network: { latencyMs: below(30), jitterMs: below(3) === 0 ? below(400) : below(5), reorders: below(5) === 0 },
      layoutHash: LAYOUT_HASH,
    });
    clock.after(below(1500), () => worker.connect());
    return worker;
  });
  // Two more stay and are honest, so that every run can come to its end.
  const honest = Array.from({ length: 2 }, (_, i) => {
    const worker = new SimulatedWorker(plan, clock, opened.fleet, new RandomStream(seed, purposes.jitter, 3, i, 0), {
      msPerShard: 5 + below(20),
      network: { latencyMs: 1 + below(10), jitterMs: below(3), reorders: false },
      layoutHash: LAYOUT_HASH,
    });
    clock.after(below(3000), () => worker.connect());
    return worker;
  });

  const disturb = (): void => {
    const worker = workers[below(numWorkers)]!;
    const kind = below(6);
    if (kind <= 1) {
      worker.kill();
      clock.after(below(4000), () => worker.connect());
    } else if (kind === 2) worker.stop(below(12_000));
    else if (kind === 3) worker.manner = manners[below(manners.length)]!;
    else if (kind === 4) worker.msPerShard = 1 + below(3000);
    else worker.network = { latencyMs: below(500), jitterMs: below(500), reorders: below(2) === 0 };
    clock.after(below(600), disturb);
  };
  clock.after(below(1000), disturb);
  return {
    run: train(clock, opened, steps),
    hasLocal,
    counts: steps.map(({ count }) => count),
    withheld: () => {
      const all = [...workers, ...honest].map((worker) => worker.withheld);
      const missing = opened.pool.withheld;
      return { missing, kept: missing.map((_, i) => all.reduce((sum, of) => sum + of[i]!, 0)) };
    },
  };
}
