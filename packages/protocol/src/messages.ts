/**
 * What a coordinator and a worker say to each other: one plain sentence per message. Vectors and pictures do not stand in
 * a message but behind it, as the payload of its frame.
 */
import { z } from 'zod';
import { digest } from './job.ts';

const count = z.int().nonnegative();
const shard = z.int().min(0).max(4095);
const shards = z.array(shard).max(4096);
/** Milliseconds of the sender's own clock; the receiver only sends them back. */
const stamp = z.number();

/** Milliseconds of the worker's own clock; only differences count, and by pings the coordinator finds the one to its own. */
const ownTime = z.number();

/**
 * Elements `from` up to, without it, `to` of each vector in the payload: the whole when it is missing. Slices come one after the
 * other, from the first element to the last, each in a message of its own.
 */
const slice = z.object({ from: count, to: count }).optional();

/** How sums of gradients and changes of parameters are rounded and packed. */
export const wireFormat = z.enum(['fp32', 'fp16', 'int8']);
/** With `topk` a worker sends some entries of its sums, and keeps the rest for its next ones. */
const sumFormat = z.enum([...wireFormat.options, 'topk']);

/** "I speak this version; this is who I am." The first message of a worker. */
const hello = z.object({
  type: z.literal('hello'),
  protocol: count,
  /** For people: host name, or what the user called it. */
  name: z.string().max(64),
  threads: z.int().min(1).max(4096),
  /** What it runs in: `node`, `browser`, or what else speaks the protocol. */
  runtime: z.string().max(32),
});

/** "I have understood the job, my engine computes this in the self-test, and I hold the partitions of these shards." */
const ready = z.object({
  type: z.literal('ready'),
  jobHash: digest,
  layoutHash: digest,
  engine: z.string().max(32),
  device: z.string().max(128),
  shards,
  /** What its engine computes in the self-test: of each parameter's gradient the norm and projections, and the loss. */
  sketch: z.array(z.union([z.number(), z.nan()])).max(2048),
});

/** "I hold the partitions of these shards too." */
const holds = z.object({ type: z.literal('holds'), shards });

/** "Send me this partition from this byte on." */
const fetch = z.object({ type: z.literal('fetch'), digest, offset: count });

/**
 * "Here are the partial sums of an assignment": the payload is one packed sum vector per node, in this order; with `topk` it is
 * one for all of them.
 */
const result = z.object({
  type: z.literal('result'),
  assignment: count,
  generation: count,
  /** Step in the run. */
  runStep: count,
  /** Nodes of the reduction tree, ascending by shard; together exactly the shards of the assignment. */
  nodes: z.array(z.int().min(1).max(8191)).max(64),
  startedAt: ownTime,
  /** From the first gradient, at `startedAt`, to the last addition. */
  computeMs: z.number().nonnegative(),
  /** Not with `topk`. */
  slice,
});

/** "I could not do an assignment, for this reason." */
const failed = z.object({ type: z.literal('failed'), assignment: count, reason: z.string().max(500) });

/** "I am here": answers a ping. */
const pong = z.object({ type: z.literal('pong'), sentAt: stamp, at: ownTime });

export const workerMessage = z.discriminatedUnion('type', [hello, ready, holds, fetch, result, failed, pong]);

/** "You are a member; this is the job." Answers a hello. */
const welcome = z.object({
  type: z.literal('welcome'),
  member: z.string().max(64),
  /** JSON text of the job description. */
  job: z.string().max(4e6),
  jobHash: digest,
  /** A ping comes this often; after so many missing ones the connection counts as dead, on both sides. */
  heartbeatMs: z.number().positive().max(3_600_000),
  heartbeatMisses: z.int().positive(),
});

/** "You will soon be asked for these shards: fetch their partitions." */
const hold = z.object({ type: z.literal('hold'), shards });

/** "Here is a part of a partition": the payload is its bytes from the offset on. */
const part = z.object({ type: z.literal('part'), digest, offset: count, total: count });

/** "These are the parameters before this step": the payload is the flat vector. */
const parameters = z.object({ type: z.literal('parameters'), runStep: count, slice });

/** "Since the step before this one the parameters changed by this": the payload is the change, packed; statistics are whole. */
const change = z.object({ type: z.literal('change'), runStep: count, wire: wireFormat, slice });

/** "Compute the gradients of these shards at this step, from the parameters that I sent before." */
const work = z.object({
  type: z.literal('work'),
  assignment: count,
  /** Of the membership; comes back in the result. */
  generation: count,
  epoch: count,
  /** In the epoch. */
  step: count,
  runStep: count,
  from: shard,
  to: z.int().min(1).max(4096),
  /** Of the partial sums in the result, each of which was rounded when it was formed. */
  wire: sumFormat,
  /** In how many slices the result had best come, on a slow line: what it is used for begins with the first. */
  slices: z.int().min(2).max(64).optional(),
});

/**
 * "Your result of this assignment counts", or it does not, since others were faster or it was refused. Answers each result in
 * the format `topk`: only now is it known what stays behind in the worker.
 */
const outcome = z.object({ type: z.literal('outcome'), assignment: count, taken: z.boolean() });

/** "Others were faster: you need not finish this assignment, but answer it (failed will do), so that I can count on you again." */
const cancel = z.object({ type: z.literal('cancel'), assignment: count });

/** "Are you there?" */
const ping = z.object({ type: z.literal('ping'), sentAt: stamp });

/** "I am about to close the connection, for this reason." The code is one of the close codes. */
const bye = z.object({ type: z.literal('bye'), code: count, reason: z.string().max(1000) });

export const coordinatorMessage = z.discriminatedUnion('type', [
  welcome,
  hold,
  part,
  parameters,
  change,
  work,
  outcome,
  cancel,
  ping,
  bye,
]);

export type WorkerMessage = z.infer<typeof workerMessage>;
export type CoordinatorMessage = z.infer<typeof coordinatorMessage>;
export type MessageOf<Message extends { type: string }, Type extends Message['type']> = Extract<
  Message,
  { type: Type }
>;
