import { describe, expect, it } from 'vitest';
import { loadKernels, Region } from './kernels.ts';
import { purposes, RandomStream } from './random.ts';
import { BLOCK_LENGTH, reduceBlocks } from './reduction.ts';
import { planReduction, ROOT } from './tree.ts';

const numShards = 8;
const length = 2 * BLOCK_LENGTH + 77;

describe('reduceBlocks', () => {
  const region = new Region();
  const sources = Array.from({ length: numShards }, () => region.floats(length));
  const result = region.floats(length);
  const scratch = region.floats(4 * BLOCK_LENGTH);
  const memory = region.allocate('private');
  const kernels = loadKernels(memory);
  const view = (at: number) => new Float32Array(memory.buffer, at, length);
  const random = new RandomStream(5, purposes.jitter, 0, 0, 0);
  for (const source of sources)
    view(source).set(Float32Array.from({ length }, (_, i) => random.normal() * 10 ** (i % 6)));
  const leaves = sources.map((_, shard) => numShards + shard);
  const plan = planReduction(leaves, ROOT, numShards);

  const reduce = (cuts: number[]): Float32Array => {
    view(result).fill(Number.NaN);
    const bounds = [0, ...cuts, length];
    for (let i = 1; i < bounds.length; i++) {
      reduceBlocks(kernels, plan, sources, scratch, bounds[i - 1]!, bounds[i]!, undefined, (block, start, count) =>
        kernels.copy(result + start * 4, block, count),
      );
    }
    return view(result).slice();
  };

  it('adds along the tree, whatever the slices', () => {
    const f = Math.fround;
    const expected = Float32Array.from({ length }, (_, i) => {
      const [a, b, c, d, e, g, h, k] = sources.map((source) => view(source)[i]!) as [
        number,
        number,
        number,
        number,
        number,
        number,
        number,
        number,
      ];
      return f(f(f(a + b) + f(c + d)) + f(f(e + g) + f(h + k)));
    });
    expect(reduce([])).toEqual(expected);
    expect(reduce([BLOCK_LENGTH])).toEqual(expected);
    expect(reduce([5, 6, BLOCK_LENGTH + 3])).toEqual(expected);
  });

  it('measures a gradient in double precision', () => {
    const values = view(sources[0]!);
    const expected = values.reduce((sum, value) => sum + value * value, 0);
    expect(kernels.sumSquares(sources[0]!, length) / expected).toBeCloseTo(1, 10);
    expect(kernels.sumSquares(sources[0]!, 3)).toBeCloseTo(values[0]! ** 2 + values[1]! ** 2 + values[2]! ** 2, 10);
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])(
    'finds %d at any place, and nothing where all are finite',
    (wrong) => {
      const values = view(sources[0]!);
      const places = [0, 1, 2, 3, 4, length - 5, length - 1];
      const before = values.slice();
      values[2] = -3.4e38;
      values[3] = 1e-45;
      expect(kernels.allFinite(sources[0]!, length)).toBe(1);
      for (const place of places) {
        const kept = values[place]!;
        values[place] = wrong;
        expect(kernels.allFinite(sources[0]!, length)).toBe(0);
        // Not what lies behind.
        expect(kernels.allFinite(sources[0]!, place)).toBe(1);
        values[place] = kept;
      }
      values.set(before);
    },
  );
});
