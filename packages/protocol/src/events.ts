/**
 * What a run says as it goes: one plain sentence per event. `lockstep train --json` writes them one JSON object a line,
 * and `train()` yields them. Losses are mean cross-entropy in nats, accuracies are fractions.
 */
import { z } from 'zod';
import { wireFormat } from './messages.ts';

const count = z.int().nonnegative();
const fraction = z.number().min(0).max(1);

/** Which data the run trains on, and why that. */
export const datasetEvent = z.object({
  event: z.literal('dataset'),
  name: z.enum(['fashion-mnist', 'synthetic']),
  source: z.string(),
  reason: z.string(),
  /** Something the user must not miss, such as that the data is a stand-in. */
  notice: z.string().optional(),
  sha256: z.string(),
  /** Without those held out for validation. */
  trainSamples: count,
  testSamples: count,
  validationSamples: count.optional(),
});

/** Which model the run trains, and how. */
export const modelEvent = z.object({
  event: z.literal('model'),
  name: z.string(),
  numParameters: count,
  epochs: count,
  batchSize: count,
  shards: count,
  stepsPerEpoch: count,
  optimizer: z.string(),
  learningRate: z.number(),
  schedule: z.string(),
  seed: count,
  /** Set when evaluation takes the mean over each picture and its mirror image, and when over both moved by so many pixels. */
  testFlip: z.boolean().optional(),
  testShift: count.optional(),
  /** `fp16` or `int8`, to which gradients are rounded; `topk:` and the share of them that is sent; `auto`: decided later. */
  wire: z.string().optional(),
  runDir: z.string(),
});

/** Other machines can join now. */
const listeningEvent = z.object({
  event: z.literal('listening'),
  /** What workers dial. */
  url: z.string(),
  host: z.string(),
  port: count,
  /** Whether they have to show a token; it is never part of an event. */
  token: z.boolean(),
  /** SHA-256 fingerprint of the TLS certificate. */
  fingerprint: z.string().optional(),
});

/** No step begins until more workers are ready. */
const waitingEvent = z.object({ event: z.literal('waiting'), ready: count, needed: count });

/** Shards of a step were given to another worker than planned. */
const reassignedEvent = z.object({
  event: z.literal('reassigned'),
  runStep: count,
  worker: z.string(),
  /** Shards [from, to). */
  from: count,
  to: count,
  /** Why: the one before left, failed, was refused, gave no answer at all, or is only slow (speculated). */
  cause: z.enum(['planned', 'lost', 'failed', 'refused', 'late', 'speculated']),
});

/** `--wire auto` has decided in which format gradients travel from this step on. */
const wireEvent = z.object({ event: z.literal('wire'), format: wireFormat, runStep: count, reason: z.string() });

/** A member of the run changed its state. */
const workerEvent = z.object({
  event: z.literal('worker'),
  id: z.string(),
  /** What it calls itself; the local one has no name. */
  name: z.string().optional(),
  state: z.enum(['joining', 'ready', 'recovered', 'quarantined', 'left']),
  engine: z.string(),
  device: z.string(),
  threads: count,
  reason: z.string(),
});

/** How far the run is; at most ten a second, for progress displays. */
const progressEvent = z.object({
  event: z.literal('progress'),
  epoch: count,
  epochs: count,
  step: count,
  stepsPerEpoch: count,
  /** Over the whole run, of training steps. */
  fraction: fraction,
  samplesPerSecond: z.number(),
  trainLoss: z.number(),
  trainAccuracy: fraction,
  phase: z.enum(['train', 'evaluate']),
});

/** A step was committed; every `--log-every` steps. */
const stepEvent = z.object({
  event: z.literal('step'),
  epoch: count,
  step: count,
  runStep: count,
  loss: z.number(),
  accuracy: fraction,
  samples: count,
  learningRate: z.number(),
  /** Mean over the steps that the worker did in one go. */
  seconds: z.number(),
});

/** An epoch was trained and evaluated. */
export const epochEvent = z.object({
  event: z.literal('epoch'),
  epoch: count,
  epochs: count,
  trainLoss: z.number(),
  trainAccuracy: fraction,
  testLoss: z.number(),
  testAccuracy: fraction,
  /** Set when loss and accuracy are not of the test pictures but of those held out by `--validation`. */
  evaluatedOn: z.literal('validation').optional(),
  /** Set when they are of pictures as they are, though the run's result is the mean over several views of each. */
  plain: z.literal(true).optional(),
  samples: count,
  /** Of training alone. */
  samplesPerSecond: z.number(),
  /** Of training and evaluation. */
  seconds: z.number(),
});

/** A run goes on where a checkpoint was made. */
const resumedEvent = z.object({
  event: z.literal('resumed'),
  runDir: z.string(),
  epoch: count,
  step: count,
  runStep: count,
});

/** The run is over and saved. */
const doneEvent = z.object({
  event: z.literal('done'),
  testLoss: z.number(),
  testAccuracy: fraction,
  /** Of the pictures held out by `--validation`, after the last epoch. */
  validationLoss: z.number().optional(),
  validationAccuracy: fraction.optional(),
  weightsSha256: z.string(),
  runDir: z.string(),
  /** Training samples over all epochs. */
  samples: count,
  seconds: z.number(),
  /** Kinds of engines whose gradients were used, over all parts of a resumed run. */
  engines: z.array(z.string()).optional(),
  /** Whether `--target-accuracy` was reached, where it was given. */
  targetReached: z.boolean().optional(),
  /** From the start of training to the evaluation that reached it, over all parts of a resumed run. */
  secondsToTarget: z.number().optional(),
});

/** Something went wrong: the whole run when `fatal`, else something that it can do without. */
const errorEvent = z.object({
  event: z.literal('error'),
  fatal: z.boolean(),
  code: z.string(),
  message: z.string(),
  nextStep: z.string().optional(),
});

export const runEvent = z.discriminatedUnion('event', [
  datasetEvent,
  listeningEvent,
  waitingEvent,
  reassignedEvent,
  wireEvent,
  modelEvent,
  workerEvent,
  progressEvent,
  stepEvent,
  epochEvent,
  resumedEvent,
  doneEvent,
  errorEvent,
]);

export type DatasetEvent = z.infer<typeof datasetEvent>;
export type ListeningEvent = z.infer<typeof listeningEvent>;
export type ModelEvent = z.infer<typeof modelEvent>;
export type WorkerEvent = z.infer<typeof workerEvent>;
export type ProgressEvent = z.infer<typeof progressEvent>;
export type StepEvent = z.infer<typeof stepEvent>;
export type EpochEvent = z.infer<typeof epochEvent>;
export type DoneEvent = z.infer<typeof doneEvent>;
export type ErrorEvent = z.infer<typeof errorEvent>;
/** What `train()` yields; fatal errors are thrown there. */
export type TrainEvent = z.infer<typeof runEvent>;
