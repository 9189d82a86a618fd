import { describe, expect, it } from 'vitest';
import { coveringNodes, type Operand, planReduction, ROOT, shardsUnder } from './tree.ts';

const numShards = 16;
const ranges = Array.from({ length: numShards }, (_, from) =>
  Array.from({ length: numShards - from }, (_, width) => ({ from, to: from + width + 1 })),
).flat();

describe('coveringNodes', () => {
  it('covers every range exactly, in order, with few nodes', () => {
    for (const range of ranges) {
      const nodes = coveringNodes(range, numShards);
      let next = range.from;
      for (const node of nodes) {
        const { from, to } = shardsUnder(node, numShards);
        expect(from).toBe(next);
        next = to;
      }
      expect(next).toBe(range.to);
      expect(nodes.length).toBeLessThanOrEqual(2 * Math.log2(numShards));
    }
    expect(coveringNodes({ from: 0, to: numShards }, numShards)).toEqual([ROOT]);
    expect(coveringNodes({ from: 3, to: 3 }, numShards)).toEqual([]);
  });
});

describe('planReduction', () => {
  const values = Array.from({ length: numShards }, (_, shard) => Math.fround(Math.sin(shard) * 10 ** (shard % 5)));
  const sumAt = (node: number): number =>
    node >= numShards ? values[node - numShards]! : Math.fround(sumAt(2 * node) + sumAt(2 * node + 1));

  const run = (sources: number[]): number => {
    const { additions, result, numRegisters } = planReduction(sources, ROOT, numShards);
    const registers = new Float32Array(numRegisters);
    const read = (operand: Operand) =>
      operand.kind === 'source' ? sumAt(sources[operand.index]!) : registers[operand.index]!;
    for (const { into, left, right } of additions) registers[into] = read(left) + read(right);
    return read(result);
  };

  it('gives the same bits for every division of the shards into ranges', () => {
    const whole = sumAt(ROOT);
    for (let first = 0; first <= numShards; first++) {
      for (let second = first; second <= numShards; second++) {
        const parts = [
          { from: 0, to: first },
          { from: first, to: second },
          { from: second, to: numShards },
        ];
        expect(run(parts.flatMap((part) => coveringNodes(part, numShards)))).toBe(whole);
      }
    }
  });

  it('refuses a shard that is missing, counted twice, or not under the node', () => {
    expect(() => planReduction([2], ROOT, numShards)).toThrow(/shard 8 is covered/);
    expect(() => planReduction([1, 2], ROOT, numShards)).toThrow(/used once/);
    expect(() => planReduction([2, 3, 3], ROOT, numShards)).toThrow(/appears twice/);
    expect(() => planReduction([2, 3], 2, numShards)).toThrow(/used once/);
  });
});
