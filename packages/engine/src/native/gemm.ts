/**
 * Matrix products. An element of the product is one sum, added up along the depth in ascending order by fused multiply-adds, however
 * the work is cut up: its bits do not depend on the width of vectors.
 */
import { at, type Register } from './assembler.ts';
import type { Buffer, Move, Program } from './program.ts';

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
  /**
   * Cuts the depth, which then has one level, into a power of two of parts of so many steps. Each is a sum of its own; they are added up
   * along a binary tree.
   */
  readonly parts?: readonly number[];
  /** Bytes between rows of the product. */
  readonly intoRow: number;
  /** What sums begin with: zero, the product's old value, or a row of biases. */
  readonly start: 'zero' | 'product' | Buffer;
  readonly relu?: boolean;
  /** What the outer loop goes over: the smaller factor should fit into the cache. Columns by default. */
  readonly order?: 'columns' | 'rows';
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
  const { columns, start, order = 'columns' } = product;
  const { maxVectors } = tileOf(p);
  const bias = typeof start === 'object' ? start : undefined;
  const panels = (biasPointer: Register | undefined, body: (vectors: number) => void): void => {
    const moves = [into, right, ...(biasPointer === undefined ? [] : [biasPointer])];
    p.strips(
      columns / p.lanes,
      maxVectors,
      moves.map((pointer) => [pointer, p.vectorBytes]),
      body,
    );
  };
  const whole = (biasPointer: Register | undefined): void => {
    const block = (vectors: number) => (first: number, rows: number) =>
      tile(p, into, left, right, product, first, rows, vectors, biasPointer);
    if (order === 'columns') panels(biasPointer, (vectors) => forEachBlock(p, into, left, product, block(vectors)));
    else {
      forEachBlock(p, into, left, product, (first, rows) =>
        panels(biasPointer, (vectors) => block(vectors)(first, rows)),
      );
    }
  };
  if (bias) p.point<[Register]>([bias], (pointer) => whole(pointer));
  else whole(undefined);
}

/** Goes over the rows, in blocks as even as can be. @param body told its first row, from where pointers are, and how many */
function forEachBlock(
  p: Program,
  into: Register,
  left: Register,
  { rows, leftRows, intoRow }: Product,
  body: (first: number, rows: number) => void,
): void {
  const { maxRows } = tileOf(p);
  if (typeof leftRows !== 'number') {
    for (let first = 0; first < rows; first += maxRows) body(first, Math.min(maxRows, rows - first));
    return;
  }
  const numBlocks = Math.ceil(rows / maxRows);
  const tall = Math.ceil(rows / numBlocks);
  const numTall = rows - numBlocks * (tall - 1);
  const moves = (height: number): Move[] => [
    [into, height * intoRow],
    [left, height * leftRows],
  ];
  p.loop(numTall, moves(tall), () => body(0, tall));
  if (numTall === numBlocks) return;
  const on = (sign: number): void => {
    for (const [pointer, bytes] of moves(tall)) p.asm.addNumber(pointer, sign * numTall * bytes);
  };
  on(1);
  p.loop(numBlocks - numTall, moves(tall - 1), () => body(0, tall - 1));
  on(-1);
}

/** Adds up one tile of the product in registers. */
function tile(
  p: Program,
  into: Register,
  left: Register,
  right: Register,
  { depth, parts, leftRows, intoRow, start, relu }: Product,
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
  const begin = (): void =>
    each((row, vector) => {
      if (bias !== undefined) asm.load(sum(row, vector), at(bias, vector * width));
      else if (start === 'product') asm.load(sum(row, vector), place(row, vector));
      else asm.zero(sum(row, vector));
    });
  const along = (levels: readonly Depth[]): void => {
    const [{ count, left: leftStep, right: rightStep }, ...inner] = levels as [Depth, ...Depth[]];
    if (inner.length > 0) {
      p.loop(
        count,
        [
          [left, leftStep],
          [right, rightStep],
        ],
        () => along(inner),
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
            for (let vector = 0; vector < vectors; vector++) asm.multiplyAdd(sum(row, vector), element, factor(vector));
          }
        }
      },
    );
  };
  if (parts === undefined || parts.length === 1) {
    begin();
    along(depth);
  } else {
    const [{ left: leftStep, right: rightStep }] = depth as [Depth];
    /** Sums of left halves, one for each level of the tree. */
    const held = p.buffer(Math.log2(parts.length) * rows * vectors * p.lanes);
    const move = (steps: number): void => {
      asm.addNumber(left, steps * leftStep);
      asm.addNumber(right, steps * rightStep);
    };
    const addParts = (from: number, to: number): void => {
      if (to - from === 1) {
        const before = parts.slice(0, from).reduce((a, b) => a + b, 0);
        begin();
        move(before);
        along([{ ...depth[0]!, count: parts[from]! }]);
        move(-before);
        return;
      }
      const middle = (from + to) / 2;
      const level = Math.log2(to - from) - 1;
      const slot = (row: number, vector: number) =>
        p.place(held, (level * rows * vectors + sum(row, vector)) * p.lanes);
      addParts(from, middle);
      each((row, vector) => asm.store(slot(row, vector), sum(row, vector)));
      addParts(middle, to);
      each((row, vector) => asm.add(sum(row, vector), sum(row, vector), slot(row, vector)));
    };
    addParts(0, parts.length);
  }
  if (relu) {
    asm.zero(element);
    // In this order, so that NaN stays.
    each((row, vector) => asm.maximum(sum(row, vector), element, sum(row, vector)));
  }
  each((row, vector) => asm.store(place(row, vector), sum(row, vector)));
}
