/** What a worker must know to compute gradients, and the two hashes by which both sides make sure that they mean the same. */
import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js';
import { z } from 'zod';
import { PROTOCOL_VERSION } from './version.ts';

export const digest = z.string().regex(/^[0-9a-f]{64}$/);

/** The part of a job that determines its gradients, given the parameters. */
const description = z.object({
  protocol: z.literal(PROTOCOL_VERSION),
  /** Keras topology. */
  topology: z.unknown(),
  labelSmoothing: z.number().min(0).lt(1),
  /** Random changes of the training pictures; none when it is missing. */
  augmentation: z
    .object({ flip: z.boolean(), shift: z.int().min(0).max(4096), erase: z.number().min(0).max(1) })
    .optional(),
  /** `fast`: all shards under a node of a result are one micro-batch; else each is one by itself. */
  reduction: z.enum(['exact', 'fast']).default('exact'),
  /** Entries that a result in the format `topk` has; missing in runs without it. */
  topk: z.int().min(1).max(1e9).optional(),
  seed: z
    .int()
    .min(0)
    .max(2 ** 32 - 1),
  numSamples: z.int().min(1).max(1e9),
  numShards: z.int().min(1).max(4096),
  batchSize: z.int().min(1).max(1e9),
  /** SHA-256 of each shard's partition: its pictures, then its labels. */
  partitions: z.array(digest).max(4096),
});

export type JobDescription = z.infer<typeof description>;

/** What must hold between the fields before anybody plans with them. */
const jobDescription = description
  .refine(({ numShards }) => (numShards & (numShards - 1)) === 0, { error: 'not a power of two', path: ['numShards'] })
  .refine(({ batchSize, numShards }) => batchSize >= numShards, { error: 'less than numShards', path: ['batchSize'] })
  .refine(({ partitions, numShards }) => partitions.length === numShards, {
    error: 'not one for each shard',
    path: ['partitions'],
  });

const hashText = (text: string): string => bytesToHex(sha256(utf8ToBytes(text)));

/** A job as it travels: JSON text, so that its hash does not depend on how a peer writes JSON. */
export interface JobText {
  readonly text: string;
  /** SHA-256 of the text in UTF-8, in hexadecimal. */
  readonly hash: string;
}

export function describeJob(job: Omit<z.input<typeof description>, 'protocol'>): JobText {
  const text = JSON.stringify({ protocol: PROTOCOL_VERSION, ...job });
  return { text, hash: hashText(text) };
}

/** @throws Error with the reason when the text is not that of the hash, or not a job */
export function parseJob({ text, hash }: JobText): JobDescription {
  if (hashText(text) !== hash) throw new Error('the job does not match its hash');
  const parsed = jobDescription.safeParse(parseJson(text));
  if (!parsed.success) throw new Error(`the job is not valid: ${z.prettifyError(parsed.error)}`);
  return parsed.data;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`the job is not JSON: ${(error as Error).message}`);
  }
}

/** What is used of a parameter. */
interface Placed {
  readonly name: string;
  readonly shape: readonly number[];
  readonly kind: string;
}

/** SHA-256 of the JSON text of [[name, shape, kind], …], in the order of the flat vector. */
export const layoutHash = (parameters: readonly Placed[]): string =>
  hashText(JSON.stringify(parameters.map(({ name, shape, kind }) => [name, shape, kind])));
