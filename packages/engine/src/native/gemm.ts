/**
 * Matrix products. An element of the product is one sum, added up along the depth in ascending order by fused multiply-adds, however
 * the work is cut up: its bits do not depend on the width of vectors.
 */
import { at, type Register } from './assembler.ts';
import type { Buffer, Program } from './program.ts';

/** A part of the depth: so many steps, and how far each moves on in both factors, in bytes. The innermost comes last. */
export interface Depth {
  readonly count: number;
  readonly left: number;
  readonly right: number;
}

export interface Product {
  readonly rows: number;
  /** A multiple of the vector's length. */
  readonly columns: number;
  readonly depth: readonly Depth[];
  /**
   * Where the rows of the left factor begin: bytes from the first to each. Rows that are evenly apart can be given by their
   * distance.
   */
  readonly leftRows: number | readonly number[];
  /** Bytes between rows of the product. */
  readonly intoRow: number;
  /** What sums begin with: zero, the product's old value, or a row of biases. */
  readonly start: 'zero' | 'product' | Buffer;
  readonly relu?: boolean;
}

/** Rows and vectors of columns that are added up in registers at a time. */
function tileOf({ asm: { numVectors } }: Program): { readonly maxRows: number; readonly maxVectors: number } {
  return numVectors === 32 ? { maxRows: 14, maxVectors: 2 } : { maxRows: 6, maxVectors: 2 };
}

/** Steps of the innermost loop that are written out. */
function unrolled(count: number): number {
  for (const factor of [8, 7, 6, 5, 4, 3, 2]) if (count % factor === 0) return factor;
  return 1;
}

/**
 * Writes the product of `left` and `right`. The registers keep their values.
 * @param right its rows are as `depth` says, its columns beside each other
 */
export function multiply(p: Program, into: Register, left: Register, right: Register, product: Product): void {
  const { rows, columns, leftRows, intoRow } = product;
  const { maxRows, maxVectors } = tileOf(p);
  const width = p.vectorBytes;
  const numBlocks = Math.ceil(rows / maxRows);
  const tall = Math.ceil(rows / numBlocks);
  const numTall = rows - numBlocks * (tall - 1);
  const bias = typeof product.start === 'object' ? product.start : undefined;

  const panel = (vectors: number, biasPointer: Register | undefined): void => {
    if (typeof leftRows === 'number') {
      const moves = [
        [into, tall * intoRow],
        [left, tall * leftRows],
      ] as const;
      p.loop(numTall, moves, () => tile(p, into, left, right, product, 0, tall, vectors, biasPointer));
      const done = numTall;
      if (done === numBlocks) return;
      const [skipInto, skipLeft] = [done * tall * intoRow, done * tall * leftRows];
      p.asm.addNumber(into, skipInto);
      p.asm.addNumber(left, skipLeft);
      const rest = moves.map(([pointer, bytes]) => [pointer, (bytes / tall) * (tall - 1)] as const);
      p.loop(numBlocks - done, rest, () =>
        tile(p, into, left, right, product, 0, tall - 1, vectors, biasPointer),
      );
      p.asm.addNumber(into, -skipInto);
      p.asm.addNumber(left, -skipLeft);
      return;
    }
    for (let first = 0; first < rows; first += maxRows) {
      tile(p, into, left, right, product, first, Math.min(maxRows, rows - first), vectors, biasPointer);
    }
  };
  const panels = (biasPointer: Register | undefined): void => {
    const moves = [into, right, ...(biasPointer === undefined ? [] : [biasPointer])];
    p.strips(
      columns / p.lanes,
      maxVectors,
      moves.map((pointer) => [pointer, width]),
      (vectors) => panel(vectors, biasPointer),
    );
  };
  if (bias) p.point<[Register]>([bias], (pointer) => panels(pointer));
  else panels(undefined);
}

/** Adds up one tile of the product in registers. */
function tile(
  p: Program,
  into: Register,
  left: Register,
  right: Register,
  { depth, leftRows, intoRow, start, relu }: Product,
  firstRow: number,
  rows: number,
  vectors: number,
  bias: Register | undefined,
): void {
  const { asm } = p;
  const width = p.vectorBytes;
  const sum = (row: number, vector: number): number => row * vectors + vector;
  const factor = (vector: number): number => rows * vectors + vector;
  const element = (rows + 1) * vectors;
  const place = (row: number, vector: number) => at(into, (firstRow + row) * intoRow + vector * width);
  const leftRow = (row: number): number =>
    typeof leftRows === 'number' ? (firstRow + row) * leftRows : leftRows[firstRow + row]!;
  const each = (body: (row: number, vector: number) => void): void => {
    for (let row = 0; row < rows; row++) for (let vector = 0; vector < vectors; vector++) body(row, vector);
  };
  each((row, vector) => {
    if (bias !== undefined) asm.load(sum(row, vector), at(bias, vector * width));
    else if (start === 'product') asm.load(sum(row, vector), place(row, vector));
    else asm.zero(sum(row, vector));
  });
  const along = (level: number): void => {
    const { count, left: leftStep, right: rightStep } = depth[level]!;
    if (level < depth.length - 1) {
      p.loop(
        count,
        [
          [left, leftStep],
          [right, rightStep],
        ],
        () => along(level + 1),
      );
      return;
    }
    const steps = unrolled(count);
    p.loop(
      count / steps,
      [
        [left, leftStep * steps],
        [right, rightStep * steps],
      ],
      () => {
        for (let step = 0; step < steps; step++) {
          for (let vector = 0; vector < vectors; vector++)
            asm.load(factor(vector), at(right, step * rightStep + vector * width));
          for (let row = 0; row < rows; row++) {
            asm.broadcast(element, at(left, leftRow(row) + step * leftStep));
            for (let vector = 0; vector < vectors; vector++)
              asm.multiplyAdd(sum(row, vector), element, factor(vector));
          }
        }
      },
    );
  };
  along(0);
  if (relu) {
    asm.zero(element);
    // In this order, so that NaN stays.
    each((row, vector) => asm.maximum(sum(row, vector), element, sum(row, vector)));
  }
  each((row, vector) => asm.store(place(row, vector), sum(row, vector)));
}
