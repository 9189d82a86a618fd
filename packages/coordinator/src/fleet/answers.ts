/** Answers to assignments: whether they are what was asked for, and their sums on the way into the pool. */
import {
  coveringNodes,
  type ParameterLayout,
  type Range,
  type SparseSums,
  slicedBytes,
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
  /** Slices of an answer end at multiples of it. */
  readonly sliceUnit: number;
  /** Entries of an answer in the format `topk`; undefined in runs without it. */
  readonly numEntries: number | undefined;
  readonly pool: Pick<Accumulator, 'expect' | 'accept' | 'acceptSparse' | 'isFinite' | 'release'>;
  /** Partial sums that were not needed. */
  readonly refused: Counters;
}

/** A sum vector's slice per node, one behind the other. */
interface PackedSums {
  readonly wire: WireFormat;
  readonly slice: Range;
  readonly bytes: Uint8Array;
}

export type Taken =
  /** By node, the sums of an answer that are of use. */
  | { readonly kind: 'sums'; readonly values: ReadonlyMap<number, PartialSum> }
  /** More of it follows. */
  | { readonly kind: 'slice' }
  /** It is none, for this reason. */
  | { readonly kind: 'refused'; readonly reason: string };

/** Takes an answer that was owed, or a slice of it. */
export function takeAnswer(
  owed: Owed<StepRun>,
  message: MessageOf<WorkerMessage, 'result'>,
  payload: Uint8Array,
  terms: AnswerTerms,
): Taken {
  const read = readAnswer(owed, message, payload, terms);
  if (typeof read === 'string') return refused(owed, read, terms);
  const { nodes } = message;
  const {
    pool,
    layout: { sumLength },
  } = terms;
  const slice = 'bytes' in read ? read.slice : { from: 0, to: sumLength };
  const values = 'bytes' in read ? acceptEach(owed, nodes, read, terms) : acceptAll(owed, nodes, read, terms);
  owed.arrived = { values, to: slice.to };
  if (![...values.values()].every((value) => pool.isFinite(value, slice))) return refused(owed, 'not finite', terms);
  if (slice.to < sumLength) return { kind: 'slice' };
  owed.arrived = undefined;
  return { kind: 'sums', values };
}

/** What has come of an answer is of no use any more. */
export function dropArrived({ arrived }: Owed<StepRun>, { pool }: Pick<AnswerTerms, 'pool'>): void {
  if (!arrived) return;
  pool.release([...arrived.values.values()]);
  arrived.values.clear();
}

function refused(owed: Owed<StepRun>, reason: string, terms: AnswerTerms): Taken {
  dropArrived(owed, terms);
  return { kind: 'refused', reason };
}

/** The sums of an answer, packed or sparse; or why it is not one to the assignment. */
function readAnswer(
  { generation, step, range, arrived }: Owed<StepRun>,
  message: MessageOf<WorkerMessage, 'result'>,
  payload: Uint8Array,
  { layout: { numWeights, sumLength }, numShards, sliceUnit, numEntries }: AnswerTerms,
): PackedSums | SparseSums | string {
  const { wire, runStep } = step.plan;
  if (message.generation !== generation || message.runStep !== runStep) return 'wrong generation';
  if (message.nodes.join() !== coveringNodes(range, numShards).join()) return 'other shards';
  if (wire === 'topk') {
    if (message.slice) return 'wrong slice';
    return unpackSparse(payload, numEntries!, numWeights, sumLength) ?? 'wrong entries';
  }
  const slice = message.slice ?? { from: 0, to: sumLength };
  const { from, to } = slice;
  if (from !== (arrived?.to ?? 0) || from >= to || to > sumLength) return 'wrong slice';
  if (to < sumLength && to % sliceUnit !== 0) return 'wrong slice';
  const expected = message.nodes.length * slicedBytes(wire, numWeights, slice);
  return payload.length === expected ? { wire, slice, bytes: payload } : 'wrong length';
}

/** One by one: a sum that somebody else was faster with is left out. */
function acceptEach(
  { assignment, step, arrived }: Owed<StepRun>,
  nodes: readonly number[],
  { wire, slice, bytes }: PackedSums,
  { pool, refused }: AnswerTerms,
): Map<number, PartialSum> {
  const values = new Map<number, PartialSum>();
  const size = bytes.length / nodes.length;
  for (const [i, node] of nodes.entries()) {
    const before = arrived?.values.get(node);
    // Of no use in an earlier slice, or no room for it then.
    if (arrived && !before) continue;
    if (!step.isOpen(assignment) || !step.machine.wants(node)) {
      refused.add('duplicate');
      if (before) pool.release([before]);
      continue;
    }
    const value = before ?? pool.expect(node);
    if (value) {
      pool.accept(value, bytes.subarray(i * size, (i + 1) * size), wire, slice);
      values.set(node, value);
    } else {
      // Somebody computes it again, when others have made room.
      refused.add('no room');
    }
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
