import { purposes, RandomStream } from '@lockstep/core';
import { describe, expect, it } from 'vitest';
import { SubtreeSummer } from './subtree.ts';

const LENGTH = 5000;
const numShards = 32;
const leaves = Array.from({ length: numShards }, (_, shard) => {
  const random = new RandomStream(shard, purposes.jitter, 0, 0, 0);
  return Float32Array.from({ length: LENGTH }, (_, i) => random.normal() * 10 ** (i % 5));
});
const sumOf = (node: number): Float32Array => {
  if (node >= numShards) return leaves[node - numShards]!;
  const right = sumOf(2 * node + 1);
  return sumOf(2 * node).map((value, i) => value + right[i]!);
};

describe('SubtreeSummer', () => {
  it.each([1, 2, 8])(
    'adds a subtree of any height along the tree, given groups of up to %i shards',
    async (maxGroup) => {
      const summer = new SubtreeSummer(numShards, LENGTH, maxGroup);
      for (const node of [1, 2, 3, 5, 9, 17, 33, 63]) {
        const result = new Float32Array(LENGTH).fill(Number.NaN);
        await summer.sum(
          node,
          async ({ from, to }, sums) => {
            expect(to - from).toBeLessThanOrEqual(maxGroup);
            sums.set(sumOf((numShards + from) / (to - from)));
          },
          (block, start, length) => result.set(summer.values.subarray(block / 4, block / 4 + length), start),
        );
        expect(result).toEqual(sumOf(node));
      }
    },
  );
});
