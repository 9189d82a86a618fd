// Small dense matrices, row by row, for the optimizer that orthogonalizes (see src/orthogonalize.ts). Their columns are padded
// with zeros to a multiple of eight, so no loop has a scalar end. Every element of a product is added up in ascending order of
// the inner index, whatever the tiles, so its bits depend on the factors alone. Strides are in bytes.

/** Rows of a tile: with two vectors a row, its sums fit into registers. */
const TILE_ROWS: usize = 4;
/** Columns of a tile. */
const TILE_COLUMNS: usize = 8;
/** Inner indices at a time, so that what a tile reads of both factors stays in the second-level cache. */
const DEPTH: usize = 256;

/**
 * c[i, j] = sum over k of a[i, k] * b[k, j], over `rows` rows and `columns` (a multiple of 8) columns.
 * @param aRow from a[i, k] to a[i + 1, k]
 * @param aStep from a[i, k] to a[i, k + 1]: with the two exchanged a is read as its transpose
 * @param bRow from b[k, j] to b[k + 1, j]
 * @param cRow likewise
 */
export function multiply(
  c: usize, a: usize, b: usize, rows: usize, columns: usize, depth: usize,
  cRow: usize, aRow: usize, aStep: usize, bRow: usize,
): void {
  for (let from: usize = 0; from < depth; from += DEPTH) {
    const count = min(DEPTH, depth - from);
    const bFrom = b + from * bRow;
    let aFrom = a + from * aStep;
    let to = c;
    let i: usize = 0;
    for (; i + TILE_ROWS <= rows; i += TILE_ROWS) {
      for (let j: usize = 0; j < columns << 2; j += TILE_COLUMNS << 2) {
        tile4(to + j, aFrom, bFrom + j, count, cRow, aRow, aStep, bRow, from > 0);
      }
      aFrom += TILE_ROWS * aRow;
      to += TILE_ROWS * cRow;
    }
    for (; i < rows; i++) {
      for (let j: usize = 0; j < columns << 2; j += TILE_COLUMNS << 2) {
        tile1(to + j, aFrom, bFrom + j, count, aStep, bRow, from > 0);
      }
      aFrom += aRow;
      to += cRow;
    }
  }
}

function tile4(
  c: usize, a: usize, b: usize, depth: usize,
  cRow: usize, aRow: usize, aStep: usize, bRow: usize, goOn: bool,
): void {
  const c1 = c + cRow;
  const c2 = c1 + cRow;
  const c3 = c2 + cRow;
  const a1 = a + aRow;
  const a2 = a1 + aRow;
  const a3 = a2 + aRow;
  let s00 = f32x4.splat(0);
  let s01 = s00, s10 = s00, s11 = s00, s20 = s00, s21 = s00, s30 = s00, s31 = s00;
  if (goOn) {
    s00 = v128.load(c);
    s01 = v128.load(c, 16);
    s10 = v128.load(c1);
    s11 = v128.load(c1, 16);
    s20 = v128.load(c2);
    s21 = v128.load(c2, 16);
    s30 = v128.load(c3);
    s31 = v128.load(c3, 16);
  }
  let at: usize = 0;
  for (let k: usize = 0; k < depth; k++) {
    const left = v128.load(b);
    const right = v128.load(b, 16);
    const x0 = v128.load32_splat(a + at);
    s00 = f32x4.add(s00, f32x4.mul(x0, left));
    s01 = f32x4.add(s01, f32x4.mul(x0, right));
    const x1 = v128.load32_splat(a1 + at);
    s10 = f32x4.add(s10, f32x4.mul(x1, left));
    s11 = f32x4.add(s11, f32x4.mul(x1, right));
    const x2 = v128.load32_splat(a2 + at);
    s20 = f32x4.add(s20, f32x4.mul(x2, left));
    s21 = f32x4.add(s21, f32x4.mul(x2, right));
    const x3 = v128.load32_splat(a3 + at);
    s30 = f32x4.add(s30, f32x4.mul(x3, left));
    s31 = f32x4.add(s31, f32x4.mul(x3, right));
    at += aStep;
    b += bRow;
  }
  v128.store(c, s00);
  v128.store(c, s01, 16);
  v128.store(c1, s10);
  v128.store(c1, s11, 16);
  v128.store(c2, s20);
  v128.store(c2, s21, 16);
  v128.store(c3, s30);
  v128.store(c3, s31, 16);
}

function tile1(c: usize, a: usize, b: usize, depth: usize, aStep: usize, bRow: usize, goOn: bool): void {
  let left = goOn ? v128.load(c) : f32x4.splat(0);
  let right = goOn ? v128.load(c, 16) : f32x4.splat(0);
  for (let k: usize = 0; k < depth; k++) {
    const x = v128.load32_splat(a);
    left = f32x4.add(left, f32x4.mul(x, v128.load(b)));
    right = f32x4.add(right, f32x4.mul(x, v128.load(b, 16)));
    a += aStep;
    b += bRow;
  }
  v128.store(c, left);
  v128.store(c, right, 16);
}

/** Copies rows [from, to) of an n x n matrix, from the diagonal on, to the columns below it. */
export function mirror(c: usize, n: usize, row: usize, from: usize, to: usize): void {
  // Column by column: what lies below the diagonal is written once through.
  for (let j = from + 1; j < n; j++) {
    const end = min(j, to);
    for (let i = from; i < end; i++) store<f32>(c + j * row + (i << 2), load<f32>(c + i * row + (j << 2)));
  }
}

/** p = first * I + second * a + third * b, in a block that begins on the diagonal; `columns` is a multiple of 4. */
export function polynomial(
  p: usize, a: usize, b: usize, rows: usize, columns: usize, row: usize,
  first: f32, second: f32, third: f32,
): void {
  const seconds = f32x4.splat(second);
  const thirds = f32x4.splat(third);
  for (let i: usize = 0; i < rows; i++) {
    for (let j = i * row; j < i * row + (columns << 2); j += 16) {
      v128.store(p + j, f32x4.add(f32x4.mul(seconds, v128.load(a + j)), f32x4.mul(thirds, v128.load(b + j))));
    }
    const diagonal = p + i * row + (i << 2);
    store<f32>(diagonal, load<f32>(diagonal) + first);
  }
}

/**
 * Copies a matrix, times a factor, to one whose rows are `row` apart and whose padding becomes zero.
 * @param fromRow from an element to the one below it, @param fromStep and to the one beside it
 */
export function spread(
  to: usize, from: usize, rows: usize, columns: usize,
  row: usize, fromRow: usize, fromStep: usize, factor: f32,
): void {
  for (let i: usize = 0; i < rows; i++) {
    for (let j: usize = 0; j < columns; j++) {
      store<f32>(to + (j << 2), load<f32>(from + i * fromRow + j * fromStep) * factor);
    }
    memory.fill(to + (columns << 2), 0, row - (columns << 2));
    to += row;
  }
}

/** Undoes it: copies what is no padding. */
export function collect(
  to: usize, from: usize, rows: usize, columns: usize,
  row: usize, toRow: usize, toStep: usize,
): void {
  for (let i: usize = 0; i < rows; i++) {
    for (let j: usize = 0; j < columns; j++) store<f32>(to + i * toRow + j * toStep, load<f32>(from + i * row + (j << 2)));
  }
}
