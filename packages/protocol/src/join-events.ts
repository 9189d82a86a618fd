/**
 * What a remote worker says as it goes: one plain sentence per event. `lockstep join --json` writes them one JSON object a
 * line, and `join()` yields them. Steps and epochs count from 1, as in the events of a run.
 */
import { z } from 'zod';

const count = z.int().nonnegative();

/** The worker dials its coordinator. */
const connectingEvent = z.object({
  event: z.literal('connecting'),
  url: z.string(),
  /** From 1, since the worker was a member last. */
  attempt: z.int().positive(),
});

/** The worker is a member of the run and ready for work. */
const joinedEvent = z.object({
  event: z.literal('joined'),
  /** What the coordinator calls this worker. */
  member: z.string(),
  engine: z.string(),
  device: z.string(),
  threads: count,
  /** Why this engine. */
  reason: z.string(),
  jobHash: z.string(),
  /** Name of the topology. */
  model: z.string(),
  numParameters: count,
  batchSize: count,
  /** Of the job; this worker gets some of them. */
  shards: count,
  /** How many of them it holds the data of already. */
  held: count,
});

/** The worker fetches the data of a shard; the bytes are those of all shards that it lacks now. */
const fetchingEvent = z.object({
  event: z.literal('fetching'),
  shard: count,
  doneBytes: count,
  totalBytes: count,
});

/** The worker has sent the gradients of the shards [from, to) at one step. */
const stepEvent = z.object({
  event: z.literal('step'),
  epoch: count,
  /** In the run. */
  runStep: count,
  from: count,
  to: count,
  samples: count,
  computeMs: z.number().nonnegative(),
});

/** The connection could not be made, or was lost; the worker will dial again. */
const waitingEvent = z.object({
  event: z.literal('waiting'),
  reason: z.string(),
  retryInMs: z.number().nonnegative(),
});

/** Something that the worker can do without went wrong. */
const noticeEvent = z.object({ event: z.literal('notice'), message: z.string() });

/** The run is over; the sums are over all connections of this worker. */
const finishedEvent = z.object({
  event: z.literal('finished'),
  samples: count,
  /** Steps in which this worker had a part. */
  steps: count,
  seconds: z.number().nonnegative(),
});

export const joinEvent = z.discriminatedUnion('event', [
  connectingEvent,
  joinedEvent,
  fetchingEvent,
  stepEvent,
  waitingEvent,
  noticeEvent,
  finishedEvent,
]);

/** What `join()` yields; errors are thrown there. */
export type JoinEvent = z.infer<typeof joinEvent>;
