/** The file format: what a benchmark found, as JSON. Rates are samples per second, times milliseconds. */
import { z } from 'zod';

/** Grows when a reader of older files would misunderstand newer ones. */
export const FORMAT = 1;

const count = z.int().nonnegative();

const estimate = z.object({ median: z.number(), low: z.number(), high: z.number(), confidence: z.number() });

/** On what it was measured. */
const machine = z.object({
  cpu: z.string(),
  /** That this process may use. */
  cores: count,
  memoryBytes: count,
  platform: z.string(),
  /** Of the operating system's kernel. */
  release: z.string(),
  node: z.string(),
  lockstep: z.string(),
});

/** What else the machine did before the start. */
const load = z.object({
  /** Over 1, 5 and 15 minutes, in processes. */
  average: z.tuple([z.number(), z.number(), z.number()]),
  /** Share of all cores that was busy while nothing was measured yet. */
  busy: z.number(),
  /** What to make of it, when it is too much. */
  warning: z.string().nullable(),
});

const header = {
  format: z.literal(FORMAT),
  /** ISO 8601. */
  startedAt: z.string(),
  seconds: z.number(),
  /** As it was typed, but for secrets. */
  command: z.string(),
  machine,
  load,
  rounds: count,
  /** Wanted length of a block, in seconds. */
  blockSeconds: z.number(),
};

const memory = z.object({
  /** Bytes read and written per second by one thread that copies. */
  oneThread: z.number(),
  /** By one thread per core at once. */
  allThreads: z.number(),
});

const phases = z.object({
  broadcast: z.number(),
  compute: z.number(),
  gather: z.number(),
  update: z.number(),
});

/** Between the coordinator and all remote workers of a run. */
const network = z.object({
  roundTripMs: z.number(),
  /** Per step, over all workers. */
  bytesDown: z.number(),
  bytesUp: z.number(),
  /** Partial sums per step, over all workers. */
  partialSums: z.number(),
  /** Bytes of a step over the time that broadcast and gather took beyond a round trip: packing and checks included. */
  bytesPerSecond: z.number(),
});

const point = z.object({
  workers: count,
  batchSize: count,
  shards: count,
  /** One a round. */
  rates: z.array(z.number()),
  rate: estimate,
  /** Against one worker of the same place, from the ratios of each round; null when that was not measured. */
  speedup: estimate.nullable(),
  /** Speed-up by number of workers. */
  efficiency: estimate.nullable(),
  /** By Karp and Flatt; null for one worker and for weak scaling. */
  serialShare: z.number().nullable(),
  /** Against as many local threads; null for those themselves, and where they were not measured. */
  againstLocal: estimate.nullable(),
  /** Milliseconds of a step. */
  stepMs: z.number(),
  /** Milliseconds of them, averages over the steps at the end of each block. */
  phases: phases.nullable(),
  network: network.nullable(),
  /** Of the workers that joined: what each reached while it computed. */
  members: z.array(
    z.object({ name: z.string(), threads: count, engine: z.string(), device: z.string(), rate: z.number() }),
  ),
});

const tooFew = z.object({ kind: z.literal('too-few'), needed: count, found: count });
const fit = z.object({
  kind: z.literal('fit'),
  rate1: z.number(),
  sigma: z.number(),
  kappa: z.number(),
  worstDeviation: z.number(),
  bestWorkers: count.nullable(),
  bestRate: z.number().nullable(),
});
const law = z.discriminatedUnion('kind', [fit, tooFew]);

const places = ['local', 'remote', 'joined'] as const;

/** One model in one setting, over numbers of workers. */
const series = z.object({
  model: z.string(),
  numParameters: count,
  engine: z.string(),
  device: z.string(),
  /** How numbers travel. */
  wire: z.string(),
  /** Samples per step with one worker. */
  batchSize: count,
  /** Where the workers are: threads here, processes on loopback, or other machines. */
  place: z.enum(places),
  scaling: z.enum(['strong', 'weak']),
  points: z.array(point),
  /** Of strong scaling; null for weak. */
  amdahl: law.nullable(),
  usl: law.nullable(),
});

/** What one thread reaches that only computes gradients. */
const engineRate = z.object({
  model: z.string(),
  engine: z.string(),
  device: z.string(),
  microBatch: count,
  rates: z.array(z.number()),
  rate: estimate,
});

const predictedPoint = z.object({
  workers: count,
  rate: z.number(),
  stepMs: z.number(),
  computeMs: z.number(),
  transferMs: z.number(),
  latencyMs: z.number(),
  updateMs: z.number(),
  /** Measured rate over predicted, where that many workers were measured. */
  measured: z.number().nullable(),
});

const prediction = z.object({
  model: z.string(),
  engine: z.string(),
  wire: z.string(),
  batchSize: count,
  shards: count,
  link: z.object({ name: z.string(), bytesPerSecond: z.number().nullable(), roundTripMs: z.number() }),
  points: z.array(predictedPoint),
});

const compared = z.object({
  subject: z.string(),
  before: z.number(),
  now: z.number(),
  /** Now by before. */
  ratio: estimate,
  verdict: z.enum(['slower', 'same', 'faster']),
});

const comparison = z.object({
  /** Of the file. */
  baseline: z.string(),
  startedAt: z.string(),
  tolerance: z.number(),
  /** Sentences about what is not the same beside the program. */
  differences: z.array(z.string()),
  points: z.array(compared),
  /** Geometric mean of the ratios. */
  mean: z.number(),
  /** What only one of the two measured. */
  onlyBefore: z.array(z.string()),
  onlyNow: z.array(z.string()),
});

const skipped = z.array(z.object({ what: z.string(), reason: z.string() }));

const trainingReport = z.object({
  ...header,
  kind: z.literal('training'),
  data: z.object({ name: z.string(), sha256: z.string(), samples: count }),
  memory,
  series: z.array(series),
  engineAlone: z.array(engineRate),
  predictions: z.array(prediction),
  skipped,
  comparison: comparison.nullable(),
});

const enginesReport = z.object({
  ...header,
  kind: z.literal('engines'),
  engines: z.array(engineRate),
  skipped,
  comparison: comparison.nullable(),
});

const aggregateReport = z.object({
  ...header,
  kind: z.literal('aggregate'),
  workers: count,
  numParameters: count,
  threads: count,
  memory,
  /** The coordinator's sum and update, without a network. */
  update: z.object({
    ms: estimate,
    /** Read and written by one update. */
    bytes: z.number(),
    bytesPerSecond: z.number(),
    /** Of what all threads reach together when they only copy. */
    shareOfMemory: z.number(),
  }),
  /** Whole steps over loopback, with workers that compute nothing. */
  traffic: z.object({
    stepMs: estimate,
    phases: phases.nullable(),
    /** Per step, all workers together. */
    bytesUp: z.number(),
    bytesDown: z.number(),
    /** Gradients that arrived, by the whole time. */
    bytesUpPerSecond: z.number(),
    bytesBothPerSecond: z.number(),
  }),
  comparison: comparison.nullable(),
});

const frameworks = ['lockstep', 'pytorch'] as const;

const accuracyRun = z.object({
  model: z.string(),
  /** What trained it, by the same recipe. */
  framework: z.enum(frameworks).default('lockstep'),
  seed: count,
  /** Name of the dataset. */
  data: z.string(),
  /** On the test pictures, after the last epoch. */
  accuracy: z.number(),
  /** Of all epochs, evaluations included. */
  seconds: z.number(),
  /** Null for PyTorch's. */
  weightsSha256: z.string().nullable(),
  /** Per target, seconds until the first epoch that reached it; null for never. */
  reached: z.array(z.number().nullable()),
  /** Seconds since the beginning, and accuracy, after each epoch. */
  epochs: z.array(z.object({ seconds: z.number(), accuracy: z.number() })),
});

const accuracyReport = z.object({
  ...header,
  kind: z.literal('accuracy'),
  targets: z.array(z.number()),
  runs: z.array(accuracyRun),
  /** What trained beside Lockstep; null where it was not there, or not wanted. */
  pytorch: z
    .object({
      version: z.string(),
      threads: count,
      /** Of each model, the memory layouts that were the faster ones in its runs. */
      layouts: z.record(z.string(), z.array(z.string())),
    })
    .nullable()
    .default(null),
  skipped: skipped.default([]),
  comparison: z.null(),
});

export const benchReport = z.discriminatedUnion('kind', [
  trainingReport,
  enginesReport,
  aggregateReport,
  accuracyReport,
]);

export type BenchReport = z.infer<typeof benchReport>;
export type TrainingReport = z.infer<typeof trainingReport>;
export type EnginesReport = z.infer<typeof enginesReport>;
export type AggregateReport = z.infer<typeof aggregateReport>;
export type AccuracyReport = z.infer<typeof accuracyReport>;
export type AccuracyRun = z.infer<typeof accuracyRun>;
export type Framework = (typeof frameworks)[number];
export type Machine = z.infer<typeof machine>;
export type Load = z.infer<typeof load>;
export type MemoryRate = z.infer<typeof memory>;
export type Phases = z.infer<typeof phases>;
export type NetworkRate = z.infer<typeof network>;
export type Series = z.infer<typeof series>;
export type Point = z.infer<typeof point>;
export type EngineRate = z.infer<typeof engineRate>;
export type Prediction = z.infer<typeof prediction>;
export type Comparison = z.infer<typeof comparison>;
export type Place = (typeof places)[number];
export type Skipped = z.infer<typeof skipped>[number];

/** Everything that every report begins with. */
export type Header = Pick<BenchReport, keyof typeof header>;
