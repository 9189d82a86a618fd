import { describe, expect, it } from 'vitest';
import { randomStream } from '../testing/inputs.ts';
import { missing } from '../testing/processor.ts';
import type { Isa } from './assembler.ts';
import { bitsOfColumns, bitsOfRows } from './bits.ts';
import { multiply, type Product } from './gemm.ts';
import { Code, Memory } from './machine.ts';
import { Arena, type Buffer, Program } from './program.ts';
import { multiplySparse, type RowsTogether, SparseMatrix } from './sparse.ts';

const BYTES = Float32Array.BYTES_PER_ELEMENT;

interface Case {
  readonly rows: number;
  readonly depth: number;
  readonly columns: number;
  /** Share of the left factor's values that are not zero. */
  readonly density: number;
}

/** Words that are full, begun and empty; panels that are whole and not. */
const cases: readonly Case[] = [
  { rows: 64, depth: 784, columns: 256, density: 0.5 },
  { rows: 7, depth: 80, columns: 112, density: 0.6 },
  { rows: 3, depth: 48, columns: 16, density: 0.02 },
  { rows: 1, depth: 64, columns: 144, density: 0 },
];

/** Parts of the depth, as micro-batches of a step divide it: of whole words and not, of a few, and of nothing. */
const partings = [[48], [64, 64], [70, 1, 130, 64], [3, 3, 3, 3, 3, 3, 3, 2], [3, 0], [0, 5, 0, 0]];

class Bench {
  readonly p: Program;
  readonly #arena = new Arena();
  #memory: Memory | undefined;

  constructor(isa: Isa) {
    this.p = new Program(isa, this.#arena);
  }

  get memory(): Memory {
    this.#memory ??= new Memory(this.#arena);
    return this.#memory;
  }

  fill({ offset }: Buffer, length: number, density: number, seed: number): void {
    const random = randomStream(seed);
    const values = this.memory.floats(offset, length);
    for (let i = 0; i < length; i++) values[i] = random.uniform() < density ? random.normal() : 0;
  }

  run(...codes: readonly Uint8Array[]): void {
    for (const bytes of codes) {
      const code = new Code(bytes);
      code.call(this.memory.address, 0, 0);
      code.dispose();
    }
  }

  bits({ offset }: Buffer, length: number): Uint32Array {
    return new Uint32Array(this.memory.floats(offset, length).slice().buffer);
  }
}

/** Whole arrays that differ take a minute to print. */
const numDifferent = (found: Uint32Array, expected: Uint32Array): number =>
  found.reduce((count, bits, i) => count + Number(bits !== expected[i]), 0);

describe.each(['avx2', 'avx512'] as const)('products that leave out zeros, %s', (isa) => {
  const skip = missing(isa) !== undefined;

  it.skipIf(skip).each(cases)('have the bits of those that do not: %o', ({ rows, depth, columns, density }) => {
    const bench = new Bench(isa);
    const { p } = bench;
    const [left, right, bias] = [p.buffer(rows * depth), p.buffer(depth * columns), p.buffer(columns)];
    const results = [p.buffer(rows * columns), p.buffer(rows * columns)] as const;
    const product: Product = {
      rows,
      columns,
      depth: [{ count: depth, left: BYTES, right: columns * BYTES }],
      leftRows: depth * BYTES,
      intoRow: columns * BYTES,
      start: bias,
      relu: true,
    };
    p.point<[number, number, number]>([results[0], left, right], (into, a, b) => multiply(p, into, a, b, product));
    const plain = p.finish();
    const bits = bitsOfRows(p, { from: left, rows, columns: depth }, p.buffer(1));
    p.point<[number, number, number]>([results[1], left, right], (into, a, b) =>
      multiplySparse(p, into, a, b, product, bits, 1),
    );
    const sparse = p.finish();
    bench.fill(left, rows * depth, density, 1);
    bench.fill(right, depth * columns, 1, 2);
    bench.fill(bias, columns, 1, 3);
    bench.run(plain, sparse);
    const [expected, found] = results.map((result) => bench.bits(result, rows * columns));
    expect(numDifferent(found!, expected!)).toBe(0);
    expect(expected!.some((value) => value !== 0)).toBe(true);
  });

  it.skipIf(skip).each(partings.flatMap((parts) => ([1, 2] as const).map((together) => ({ parts, together }))))(
    'have them over columns, in parts that are added up along the tree: %o',
    ({ parts, together }: { parts: readonly number[]; together: RowsTogether }) => {
      const bench = new Bench(isa);
      const { p } = bench;
      // More rows than are held at a time, and no multiple of them.
      const [rows, columns] = [240, 144];
      const depth = parts.reduce((a, b) => a + b);
      const [left, right] = [p.buffer(depth * rows), p.buffer(depth * columns)];
      const results = [p.buffer(rows * columns), p.buffer(rows * columns)] as const;
      const product: Product = {
        rows,
        columns,
        depth: [{ count: depth, left: rows * BYTES, right: columns * BYTES }],
        parts,
        order: 'rows',
        leftRows: BYTES,
        intoRow: columns * BYTES,
        start: 'zero',
      };
      p.point<[number, number, number]>([results[0], left, right], (into, a, b) => multiply(p, into, a, b, product));
      const plain = p.finish();
      const bits = bitsOfColumns(p, { from: left, rows: depth, columns: rows }, parts);
      p.point<[number, number, number]>([results[1], left, right], (into, a, b) =>
        multiplySparse(p, into, a, b, product, bits, together),
      );
      const sparse = p.finish();
      bench.fill(left, depth * rows, 0.4, 1);
      bench.fill(right, depth * columns, 1, 2);
      bench.run(plain, sparse);
      const [expected, found] = results.map((result) => bench.bits(result, rows * columns));
      expect(numDifferent(found!, expected!)).toBe(0);
    },
  );

  it.skipIf(skip)('read only what stands beside values that are not zero, and are chosen where these are few', () => {
    const bench = new Bench(isa);
    const { p } = bench;
    const [rows, depth, columns] = [16, 64, 128];
    const [left, right, result] = [p.buffer(rows * depth), p.buffer(depth * columns), p.buffer(rows * columns)];
    const product: Product = {
      rows,
      columns,
      depth: [{ count: depth, left: BYTES, right: columns * BYTES }],
      leftRows: depth * BYTES,
      intoRow: columns * BYTES,
      start: 'zero',
    };
    const matrix = new SparseMatrix(p, { from: left, rows, columns: depth });
    p.point<[number, number, number]>([result, left, right], (into, a, b) =>
      matrix.multiply(into, a, b, product, () => multiply(p, into, a, b, product)),
    );
    const code = p.finish();
    const factor = bench.memory.floats(left.offset, rows * depth);
    // NaN beside zeros tells the two apart.
    bench.memory.floats(right.offset, columns).fill(Number.NaN);
    const isSparse = (share: number): boolean => {
      for (let i = 0; i < factor.length; i++) factor[i] = i % depth > 0 && i % depth <= share * depth ? 1 : 0;
      bench.run(code);
      return !Number.isNaN(bench.memory.floats(result.offset, 1)[0]);
    };
    expect([0, 0.5, 0.7, 0.8, 0.95, 0.7].map(isSparse)).toEqual([true, true, true, false, false, true]);
  });
});
