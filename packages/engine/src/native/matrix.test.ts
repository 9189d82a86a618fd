import { loadKernels, Region } from '@lockstep/core';
import { describe, expect, it } from 'vitest';
import { randomStream } from '../testing/inputs.ts';
import { here, missing } from '../testing/processor.ts';
import { withNativeProducts } from './matrix.ts';

/** Columns that are no whole panels, rows that are no whole tiles, factors of any strides, and depths that are unrolled or not. */
const shapes = [
  { rows: 8, columns: 256, depth: 256, transposed: false },
  { rows: 8, columns: 248, depth: 300, transposed: true },
  { rows: 5, columns: 56, depth: 13, transposed: true },
  { rows: 13, columns: 24, depth: 9, transposed: false },
  { rows: 1, columns: 8, depth: 1, transposed: false },
];

describe.each(['avx2', 'avx512'] as const)('products of matrices, %s', (isa) => {
  it.skipIf(missing(isa) !== undefined).each(shapes)('have the bits of the WebAssembly loop: %o', (shape) => {
    const { rows, columns, depth, transposed } = shape;
    const row = 320;
    const region = new Region();
    const [left, right] = [region.floats(row * row), region.floats(row * row)];
    const results = [region.floats(rows * row), region.floats(rows * row)] as const;
    const memory = region.allocate('shared');
    const floats = new Float32Array(memory.buffer);
    const random = randomStream(1);
    for (const factor of [left, right]) for (let i = 0; i < row * row; i++) floats[factor / 4 + i] = random.normal();
    const [leftRow, leftStep] = transposed ? [4, row * 4] : [row * 4, 4];
    const plain = loadKernels(memory);
    for (const [i, kernels] of [plain, withNativeProducts(plain, memory, isa)].entries()) {
      kernels.multiply(results[i]!, left, right, rows, columns, depth, row * 4, leftRow, leftStep, row * 4);
    }
    const [expected, found] = results.map((start) => floats.slice(start / 4, start / 4 + rows * row));
    expect(found).toEqual(expected);
    expect(expected!.some((value) => value !== 0)).toBe(true);
  });
});

it.skipIf(here.length === 0)('is the same for one call after the other', () => {
  const region = new Region();
  const [left, right, into] = [region.floats(64), region.floats(64), region.floats(64)];
  const memory = region.allocate('private');
  const floats = new Float32Array(memory.buffer);
  for (let i = 0; i < 64; i++) floats[left / 4 + i] = floats[right / 4 + i] = i % 9 === 0 ? 2 : 0;
  const { multiply } = withNativeProducts(loadKernels(memory), memory);
  // Twice the identity, again and again: other strides and places each time.
  multiply(into, left, right, 8, 8, 8, 32, 32, 4, 32);
  multiply(left, into, right, 8, 8, 8, 32, 4, 32, 32);
  expect(floats[left / 4]).toBe(8);
  expect(floats[left / 4 + 1]).toBe(0);
});
