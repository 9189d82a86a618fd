/** Newton-Schulz iterations in double precision, on the matrix itself: what `orthogonalize` does on its Gram matrix. */
import type { MatrixShape } from '../orthogonalize.ts';

const [A, B, C] = [3.4445, -4.775, 2.0315];

/** @param values row by row */
export function orthogonalized(values: Float64Array, { rows, columns }: MatrixShape): Float64Array {
  const norm = Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
  let x = values.map((value) => value / norm);
  for (let i = 0; i < 5; i++) {
    const gram = product(transposed(x, rows, columns), x, columns, rows, columns);
    const square = product(gram, gram, columns, columns, columns);
    const factor = gram.map((value, at) => B * value + C * square[at]!);
    const change = product(x, factor, rows, columns, columns);
    x = x.map((value, at) => A * value + change[at]!);
  }
  return x;
}

export function transposed(values: Float64Array, rows: number, columns: number): Float64Array {
  return values.map((_, at) => values[(at % rows) * columns + Math.floor(at / rows)]!);
}

/** [rows, depth] times [depth, columns]. */
export function product(
  left: Float64Array,
  right: Float64Array,
  rows: number,
  depth: number,
  columns: number,
): Float64Array {
  const result = new Float64Array(rows * columns);
  for (let i = 0; i < rows; i++) {
    for (let k = 0; k < depth; k++) {
      for (let j = 0; j < columns; j++) result[i * columns + j]! += left[i * depth + k]! * right[k * columns + j]!;
    }
  }
  return result;
}
