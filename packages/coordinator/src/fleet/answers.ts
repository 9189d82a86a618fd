/** Answers to assignments: whether they are what was asked for, and their sums on the way into the pool. */
import {
  coveringNodes,
  type ParameterLayout,
  packedBytes,
  type SparseSums,
  unpackSparse,
  type WireFormat,
} from '@lockstep/core';
import type { MessageOf, WorkerMessage } from '@lockstep/protocol';
import type { PartialSum } from '@lockstep/worker';
import type { Counters } from './counters.ts';
import type { Owed } from './ledger.ts';
import type { Accumulator } from './local-member.ts';
import type { StepRun } from './step-run.ts';

/** What answers are held to, and where they go. */
export interface AnswerTerms {
  readonly layout: Pick<ParameterLayout, 'numWeights' | 'sumLength'>;
  readonly numShards: number;
  /** Entries of an answer in the format `topk`; undefined in runs without it. */
  readonly numEntries: number | undefined;
  readonly pool: Pick<Accumulator, 'accept' | 'acceptSparse' | 'isFinite' | 'release'>;
  /** Partial sums that were not needed. */
  readonly refused: Counters;
}

/** A sum vector per node, one behind the other. */
interface PackedSums {
  readonly wire: WireFormat;
  readonly bytes: Uint8Array;
}

/** By node, the sums of an answer that are of use; or why it is none. */
export type Taken =
  | { readonly kind: 'sums'; readonly values: ReadonlyMap<number, PartialSum> }
  | { readonly kind: 'refused'; readonly reason: string };

/** Takes the sums of an answer that was owed. */
export function takeAnswer(
  owed: Owed<StepRun>,
  message: MessageOf<WorkerMessage, 'result'>,
  payload: Uint8Array,
  terms: AnswerTerms,
): Taken {
  const { pool } = terms;
  const read = readAnswer(owed, message, payload, terms);
  if (typeof read === 'string') return { kind: 'refused', reason: read };
  const { nodes } = message;
  const values = 'bytes' in read ? acceptEach(owed, nodes, read, terms) : acceptAll(owed, nodes, read, terms);
  const partials = [...values.values()];
  if (partials.every((value) => pool.isFinite(value))) return { kind: 'sums', values };
  pool.release(partials);
  return { kind: 'refused', reason: 'not finite' };
}

/** The sums of an answer, packed or sparse; or why it is not one to the assignment. */
function readAnswer(
  { generation, step, range }: Owed<StepRun>,
  message: MessageOf<WorkerMessage, 'result'>,
  payload: Uint8Array,
  { layout: { numWeights, sumLength }, numShards, numEntries }: AnswerTerms,
): PackedSums | SparseSums | string {
  const { wire, runStep } = step.plan;
  if (message.generation !== generation || message.runStep !== runStep) return 'wrong generation';
  if (message.nodes.join() !== coveringNodes(range, numShards).join()) return 'other shards';
  if (wire === 'topk') return unpackSparse(payload, numEntries!, numWeights, sumLength) ?? 'wrong entries';
  const expected = message.nodes.length * packedBytes(wire, numWeights, sumLength);
  return payload.length === expected ? { wire, bytes: payload } : 'wrong length';
}

/** One by one: a sum that somebody else was faster with is left out. */
function acceptEach(
  { assignment, step }: Owed<StepRun>,
  nodes: readonly number[],
  { wire, bytes }: PackedSums,
  { pool, refused }: AnswerTerms,
): Map<number, PartialSum> {
  const values = new Map<number, PartialSum>();
  const size = bytes.length / nodes.length;
  for (const [i, node] of nodes.entries()) {
    if (!step.isOpen(assignment) || !step.machine.wants(node)) {
      refused.add('duplicate');
      continue;
    }
    const value = pool.accept(node, bytes.subarray(i * size, (i + 1) * size), wire);
    // Somebody computes it again, when others have made room.
    if (value) values.set(node, value);
    else refused.add('no room');
  }
  return values;
}

/** All together: an entry says nothing about which of the nodes it comes from. */
function acceptAll(
  { assignment, step, range }: Owed<StepRun>,
  nodes: readonly number[],
  sums: SparseSums,
  { pool, refused }: AnswerTerms,
): Map<number, PartialSum> {
  if (!step.isOpen(assignment) || !step.machine.wantsAll(range)) {
    refused.add('duplicate', nodes.length);
    return new Map();
  }
  const partials = pool.acceptSparse(nodes, sums);
  if (!partials) refused.add('no room', nodes.length);
  return new Map(partials?.map((partial) => [partial.node, partial]));
}
