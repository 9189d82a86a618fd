/**
 * What `/api/status` answers and `/events` streams: all that a display of a run needs. A stream begins with one `status`
 * and goes on with the run's events as they happen; a `status` comes again every second. Times are milliseconds since
 * 1970 where they are called `…At`; losses are mean cross-entropy in nats, accuracies are fractions.
 */
import { z } from 'zod';
import { datasetEvent, epochEvent, modelEvent } from './events.ts';

const count = z.int().nonnegative();
const fraction = z.number().min(0).max(1);
const range = z.object({ from: count, to: count });

/** One worker. */
const memberStatus = z.object({
  id: z.string(),
  kind: z.enum(['local', 'remote']),
  /** What it calls itself. */
  name: z.string(),
  threads: count,
  engine: z.string(),
  device: z.string(),
  runtime: z.string(),
  state: z.enum(['connected', 'joining', 'ready', 'quarantined']),
  /** Why it is in this state. */
  reason: z.string().optional(),
  /** Shards of the latest step. */
  shards: range.optional(),
  /** Its own rate, as measured: samples per second while it computes. */
  samplesPerSecond: z.number().optional(),
  /** From question to answer, without computing. */
  roundTripMs: z.number().optional(),
  /** How long it was waited for in the latest step, after everybody else had answered. */
  waitMs: z.number().optional(),
  bytesSent: count,
  bytesReceived: count,
});

/** Mean milliseconds per step over the latest steps, by what they were spent on. */
const phases = z.object({
  /** Parameters and assignments are handed to the network. */
  broadcast: z.number(),
  /** The slowest member computes. */
  compute: z.number(),
  /** From the end of computing to the last partial sum: network, unpacking, checks. */
  gather: z.number(),
  /** Sum along the tree and the optimizer's update. */
  update: z.number(),
});

/** The training curve, thinned out to at most a thousand points. */
const curve = z.object({
  runStep: z.array(count),
  loss: z.array(z.number()),
  accuracy: z.array(z.number()),
  samplesPerSecond: z.array(z.number()),
});

/** What the model says about the test pictures after the latest epoch. */
const predictions = z.object({
  epoch: count,
  /** Rows: true class, columns: predicted class. */
  confusion: z.array(z.array(count)),
  /** Those of the pictures in `/api/pictures.png`, which shows them side by side in one row, 28 x 28 pixels each. */
  pictures: z.array(z.object({ label: count, predicted: count })),
});

export const runStatus = z.object({
  state: z.enum(['starting', 'waiting', 'training', 'evaluating', 'finished', 'stopped', 'failed']),
  /** Why it waits, stopped or failed. */
  reason: z.string().optional(),
  startedAt: z.number(),
  /** Identifies this start of the coordinator: a display that sees another one begins anew. */
  startId: z.string(),
  version: z.string(),
  classNames: z.array(z.string()),
  dataset: datasetEvent.optional(),
  model: modelEvent.optional(),
  /** Steps committed, over the whole run. */
  runStep: count,
  totalSteps: count,
  epoch: count,
  fraction,
  samplesPerSecond: z.number(),
  etaSeconds: z.number().optional(),
  epochs: z.array(epochEvent),
  /** Of the test pictures, once the run is over. */
  result: z.object({ testLoss: z.number(), testAccuracy: fraction }).optional(),
  curve,
  members: z.array(memberStatus),
  phases: phases.optional(),
  /** Rate of the run over the sum of its members' own rates. */
  efficiency: z.number().optional(),
  /** Counts by reason. */
  refused: z.record(z.string(), count),
  reassigned: z.record(z.string(), count),
  predictions: predictions.optional(),
  /** The latest things that happened, oldest first, at most 200. */
  log: z.array(z.object({ at: z.number(), level: z.enum(['info', 'warning', 'error']), text: z.string() })),
});

/** What `/api/invitation` answers: how browsers of other machines join. */
export interface Invitation {
  /** Of the coordinator: http:// or https://. */
  readonly url: string;
  /** Whether other machines can reach that. */
  readonly reachable: boolean;
  /** What they must show; missing where none is needed. */
  readonly token?: string | undefined;
}

export type RunStatus = z.infer<typeof runStatus>;
export type MemberStatus = z.infer<typeof memberStatus>;
