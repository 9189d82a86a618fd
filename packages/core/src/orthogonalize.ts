/**
 * Orthogonalization by Newton-Schulz iterations, as the Muon optimizer uses it (Jordan and others, 2024): all singular values
 * of a matrix become about 1, by products of matrices alone.
 *
 * An iteration is X <- X p(X'X), p(A) = aI + bA + cA^2. What multiplies X is a polynomial of the first A = X'X, so all iterations
 * are done on matrices as wide as X's shorter side, and X is read twice, however many they are. All of these are symmetric and
 * commute, so half of each is enough.
 *
 * Threads share the work by strips of rows. Whoever computes an element adds it up in the same order, so the bits do not
 * depend on their number.
 */
import type { KernelFunctions } from './kernels.ts';

/** Raises small singular values fast; the larger ones end between 0.7 and 1.2 (Jordan and others, 2024). */
const COEFFICIENTS = [3.4445, -4.775, 2.0315] as const;
const NUM_ITERATIONS = 5;
/** Of the norm that a matrix is divided by: the reciprocal still is a float32. */
const LEAST_NORM = 1e-30;

const FLOAT_BYTES = Float32Array.BYTES_PER_ELEMENT;
/** Rows that a thread takes at a time, and columns that the loops do. */
const STRIP = 8;
/** Unused values behind each row: rows a power of two apart would push each other out of the cache. */
const GAP = 8;

export interface MatrixShape {
  readonly rows: number;
  readonly columns: number;
}

/** One of several threads that do the same work together. */
export interface Part {
  readonly index: number;
  readonly count: number;
}

/** Lets parts, or matrices, go on from one yield to the next together; all have as many. */
export function* together(runs: readonly Generator<void, void, void>[]): Generator<void, void, void> {
  while (runs.map((run) => run.next().done).includes(false)) yield;
}

/** The matrix, or its transpose if that one is narrower, with its columns filled up to whole strips. */
function sidesOf({ rows, columns }: MatrixShape): {
  readonly long: number;
  readonly short: number;
  readonly padded: number;
  /** From a row to the next one. */
  readonly stride: number;
} {
  const short = Math.min(rows, columns);
  const padded = Math.ceil(short / STRIP) * STRIP;
  return { long: Math.max(rows, columns), short, padded, stride: padded + GAP };
}

/** Matrices of scratch memory: as large as the matrix itself, and as wide as its shorter side. */
const NUM_LONG = 2;
const NUM_SQUARE = 5;

/** float32 values of scratch memory that a matrix takes. */
export function orthogonalizeScratch(shape: MatrixShape): number {
  const { long, padded, stride } = sidesOf(shape);
  return (NUM_LONG * long + NUM_SQUARE * padded) * stride;
}

/**
 * Replaces a matrix by an almost orthogonal one with the same singular vectors; zero stays zero. Yields where all parts must have
 * come as far before any goes on; the result is there when all have ended.
 * @param matrix byte offset of its elements, row by row without padding
 * @param scratch byte offset of {@link orthogonalizeScratch} values, the same for all parts
 */
export function* orthogonalize(
  kernels: KernelFunctions,
  matrix: number,
  shape: MatrixShape,
  scratch: number,
  part: Part,
): Generator<void, void, void> {
  const { long, short, padded, stride } = sidesOf(shape);
  const row = stride * FLOAT_BYTES;
  const squares = scratch + NUM_LONG * long * row;
  const [x, product] = [scratch, scratch + long * row];
  const [gram, step, between, even, odd] = Array.from({ length: NUM_SQUARE }, (_, i) => squares + i * padded * row) as [
    number,
    number,
    number,
    number,
    number,
  ];
  const whole = shape.columns * FLOAT_BYTES;
  const [down, beside] = shape.columns <= shape.rows ? [whole, FLOAT_BYTES] : [FLOAT_BYTES, whole];

  /** Does this part's strips [from, to) of some rows. */
  const share = (numRows: number, work: (from: number, to: number) => void): void => {
    for (let from = part.index * STRIP; from < numRows; from += part.count * STRIP) {
      work(from, Math.min(from + STRIP, numRows));
    }
  };
  /** Where row `from` meets the diagonal. */
  const corner = (square: number, from: number): number => square + from * (row + FLOAT_BYTES);
  /** A strip of the product of symmetric matrices that commute, from the diagonal on. */
  const multiplyHalf = (into: number, left: number, right: number, from: number, to: number): void => {
    const [place, rows, across] = [corner(into, from), left + from * row, right + from * FLOAT_BYTES];
    kernels.multiply(place, rows, across, to - from, padded - from, padded, row, row, FLOAT_BYTES, row);
  };
  const multiply = (into: number, left: number, right: number, from: number, to: number): void => {
    multiplyHalf(into, left, right, from, to);
    kernels.mirror(into, padded, row, from, to);
  };

  const norm = Math.max(Math.sqrt(kernels.sumSquares(matrix, shape.rows * shape.columns)), LEAST_NORM);
  share(long, (from, to) => {
    kernels.spread(x + from * row, matrix + from * down, to - from, short, row, down, beside, 1 / norm);
  });
  yield;
  share(padded, (from, to) => {
    const columns = x + from * FLOAT_BYTES;
    kernels.multiply(corner(gram, from), columns, columns, to - from, padded - from, long, row, FLOAT_BYTES, row, row);
    kernels.mirror(gram, padded, row, from, to);
  });
  yield;
  for (let i = 0; i < NUM_ITERATIONS; i++) {
    const isLast = i === NUM_ITERATIONS - 1;
    share(padded, (from, to) => {
      multiplyHalf(between, gram, gram, from, to);
      const [into, a, b] = [corner(step, from), corner(gram, from), corner(between, from)];
      kernels.polynomial(into, a, b, to - from, padded - from, row, ...COEFFICIENTS);
      kernels.mirror(step, padded, row, from, to);
    });
    yield;
    const [factor, before] = i % 2 === 0 ? [even, odd] : [odd, even];
    share(padded, (from, to) => {
      if (i === 0) kernels.copy(factor + from * row, step + from * row, (to - from) * stride);
      else multiply(factor, before, step, from, to);
      if (!isLast) multiply(between, gram, step, from, to);
    });
    yield;
    if (isLast) break;
    share(padded, (from, to) => multiply(gram, between, step, from, to));
    yield;
  }
  const factor = NUM_ITERATIONS % 2 === 1 ? even : odd;
  share(long, (from, to) => {
    const place = product + from * row;
    kernels.multiply(place, x + from * row, factor, to - from, padded, padded, row, row, FLOAT_BYTES, row);
    kernels.collect(matrix + from * down, place, to - from, short, row, down, beside);
  });
}
