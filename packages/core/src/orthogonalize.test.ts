import { describe, expect, it } from 'vitest';
import { loadKernels, Region } from './kernels.ts';
import { type MatrixShape, orthogonalize, orthogonalizeScratch, together } from './orthogonalize.ts';
import { purposes, RandomStream } from './random.ts';
import { orthogonalized, product, transposed } from './testing/orthogonalized.ts';

const shapes: readonly MatrixShape[] = [
  { rows: 784, columns: 256 },
  { rows: 9, columns: 32 },
  { rows: 32, columns: 9 },
  { rows: 67, columns: 67 },
  { rows: 5, columns: 2 },
  { rows: 2, columns: 301 },
  { rows: 1, columns: 7 },
];

function random({ rows, columns }: MatrixShape, scale = 1): Float64Array {
  const stream = new RandomStream(7, purposes.jitter, rows, columns, 0);
  return Float64Array.from({ length: rows * columns }, () => Math.fround(stream.normal() * scale));
}

/** @param dirt what stands in the scratch memory before */
function run(shape: MatrixShape, values: Float64Array, numParts = 1, dirt = 0): Float64Array {
  const region = new Region();
  const matrix = region.floats(values.length);
  const scratch = region.floats(orthogonalizeScratch(shape));
  const behind = region.floats(1);
  const memory = region.allocate('private');
  new Float32Array(memory.buffer, scratch, orthogonalizeScratch(shape)).fill(dirt);
  const view = new Float32Array(memory.buffer, matrix, values.length);
  view.set(values);
  const kernels = loadKernels(memory);
  const parts = Array.from({ length: numParts }, (_, index) =>
    orthogonalize(kernels, matrix, shape, scratch, { index, count: numParts }),
  );
  Array.from(together(parts));
  expect(new Float32Array(memory.buffer, behind, 1)[0], 'the scratch memory suffices').toBe(0);
  return Float64Array.from(view);
}

const largest = (values: Float64Array): number => values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);

describe('orthogonalize', () => {
  it.each(shapes)('does Newton-Schulz iterations of a $rows x $columns matrix', (shape) => {
    const values = random(shape);
    const expected = orthogonalized(values, shape);
    const difference = run(shape, values).map((value, i) => value - expected[i]!);
    expect(largest(difference)).toBeLessThan(1e-4 * largest(expected));
  });

  it.each(shapes)('brings every singular value of a $rows x $columns matrix close to 1', (shape) => {
    const { rows, columns } = shape;
    const values = run(shape, random(shape));
    const tall = rows >= columns ? values : transposed(values, rows, columns);
    const [long, short] = [Math.max(rows, columns), Math.min(rows, columns)];
    // Products with random vectors: their norms lie between the squares of the least and the largest singular value.
    const gram = product(transposed(tall, long, short), tall, short, long, short);
    const direction = random({ rows: short, columns: 1 });
    const norm = (vector: Float64Array): number => Math.hypot(...vector);
    const ratio = norm(product(gram, direction, short, short, 1)) / norm(direction);
    expect(ratio).toBeGreaterThan(0.4);
    expect(ratio).toBeLessThan(1.5);
  });

  it('does not depend on the size of the matrix, nor on what the scratch memory held', () => {
    const shape = { rows: 40, columns: 24 };
    const usual = run(shape, random(shape));
    for (const power of [-40, -10, 60]) expect(run(shape, random(shape, 2 ** power), 1, 1e30)).toEqual(usual);
  });

  it.each(shapes)('gives the same bits of a $rows x $columns matrix for any number of parts', (shape) => {
    const values = random(shape);
    const one = run(shape, values);
    for (const numParts of [2, 3, 16]) expect(run(shape, values, numParts)).toEqual(one);
  });

  it('leaves zeros, and directions without a gradient, at zero', () => {
    const shape = { rows: 30, columns: 12 };
    expect(largest(run(shape, new Float64Array(360)))).toBe(0);
    const empty = random(shape).map((value, at) => (at % 12 === 5 ? 0 : value));
    run(shape, empty).forEach((value, at) => {
      if (at % 12 === 5) expect(value).toBe(0);
    });
  });
});
