/**
 * The fixed binary tree along which partial sums combine. Nodes are numbered as in a binary heap: 1 is the root, node k
 * has the children 2k and 2k + 1, and shard v of V is the leaf V + v. Since (left + right) is always formed the same way,
 * a sum over shards has the same bits whoever computed which part of it.
 */
import { invariant } from './errors.ts';
import type { Range } from './shards.ts';

export const ROOT = 1;

/** The shards under `node`. */
export function shardsUnder(node: number, numShards: number): Range {
  const level = Math.floor(Math.log2(node));
  const width = numShards / 2 ** level;
  const from = (node - 2 ** level) * width;
  return { from, to: from + width };
}

/** Those of some sums whose shards lie under `node`. */
export function sumsUnder<Sum extends { readonly node: number }>(
  sums: readonly Sum[],
  node: number,
  numShards: number,
): Sum[] {
  const { from, to } = shardsUnder(node, numShards);
  return sums.filter((sum) => {
    const shards = shardsUnder(sum.node, numShards);
    return shards.from >= from && shards.to <= to;
  });
}

/** The fewest nodes whose shards are exactly `range`, in ascending order of shard: at most 2 log2(V). */
export function coveringNodes(range: Range, numShards: number): number[] {
  const left: number[] = [];
  const right: number[] = [];
  let from = range.from + numShards;
  let to = range.to + numShards;
  while (from < to) {
    if (from % 2 === 1) left.push(from++);
    if (to % 2 === 1) right.push(--to);
    from /= 2;
    to /= 2;
  }
  return [...left, ...right.reverse()];
}

/** Where an addition reads from: a partial sum given from outside, or the result of an earlier addition. */
export type Operand =
  | { readonly kind: 'source'; readonly index: number }
  | { readonly kind: 'register'; readonly index: number };

export interface Addition {
  /** Node of the tree whose sum it forms. */
  readonly node: number;
  /** Register that receives left + right. */
  readonly into: number;
  readonly left: Operand;
  readonly right: Operand;
}

/** The additions that combine given partial sums into the sum at one node. */
export interface Reduction {
  readonly additions: readonly Addition[];
  readonly result: Operand;
  readonly numRegisters: number;
}

/**
 * Plans the sum at `node` from partial sums at `sources`, which must cover the node's shards exactly once.
 * @throws when they do not: the caller must have waited for all of them
 */
export function planReduction(sources: readonly number[], node: number, numShards: number): Reduction {
  const additions: Addition[] = [];
  const free: number[] = [];
  const indexOf = new Map(sources.map((source, index) => [source, index]));
  invariant(indexOf.size === sources.length, `no partial sum appears twice in [${sources.join(', ')}]`);
  let numRegisters = 0;
  let used = 0;

  const visit = (at: number): Operand => {
    const index = indexOf.get(at);
    if (index !== undefined) {
      used++;
      return { kind: 'source', index };
    }
    invariant(at < numShards, `shard ${at - numShards} is covered by the partial sums [${sources.join(', ')}]`);
    const left = visit(2 * at);
    const right = visit(2 * at + 1);
    for (const operand of [left, right]) if (operand.kind === 'register') free.push(operand.index);
    const into = free.pop() ?? numRegisters++;
    additions.push({ node: at, into, left, right });
    return { kind: 'register', index: into };
  };

  const result = visit(node);
  invariant(used === sources.length, `every partial sum in [${sources.join(', ')}] is used once under node ${node}`);
  return { additions, result, numRegisters };
}
