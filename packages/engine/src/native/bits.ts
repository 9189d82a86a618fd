/** Finds out which values of a matrix are not zero. */
import { at, type Register } from './assembler.ts';
import { type Buffer, inside, type Program } from './program.ts';

const FLOAT_BYTES = Float32Array.BYTES_PER_ELEMENT;
export const WORD_BITS = 64;
export const HALF_BITS = 32;

/** As a float32: the integer 1. */
const LOWEST_BIT = 2 ** -149;

/** Which values of a matrix are not zero: bits for up to 64 steps along its rows, in two halves of 32, the first one lowest. */
export interface Bits {
  readonly words: Buffer;
  /** Values from a row's half of a word to the next row's. */
  readonly row: number;
  /** From the lower half to the upper one. */
  readonly half: number;
  /** From one word to the next. */
  readonly block: number;
}

/** Steps along a row that share a word. */
export interface Block {
  readonly part: number;
  readonly first: number;
  readonly steps: number;
  readonly isFirst: boolean;
  readonly isLast: boolean;
}

/** Values of a matrix, row by row. */
export interface Matrix {
  readonly from: Buffer;
  readonly rows: number;
  /** A multiple of the vector's length. */
  readonly columns: number;
}

/** @param parts of the depth, each of which begins a new word; one of nothing has one, too */
export function blocksOf(parts: readonly number[]): Block[] {
  let before = 0;
  return parts.flatMap((length, part) => {
    const start = before;
    before += length;
    return Array.from({ length: Math.max(1, Math.ceil(length / WORD_BITS)) }, (_, i): Block => {
      const first = i * WORD_BITS;
      const steps = Math.min(WORD_BITS, length - first);
      return { part, first: start + first, steps, isFirst: first === 0, isLast: first + steps === length };
    });
  });
}

/** Finds the bits of rows. To be given back. @param count is left how many values are not zero, an integer */
export function bitsOfRows(p: Program, { from, rows, columns }: Matrix, count: Buffer): Bits {
  const halves = 2 * Math.ceil(columns / WORD_BITS);
  const bits = { words: p.borrow(rows * halves), row: halves, half: 1, block: 2 };
  const zero = 0;
  const spare = 1;
  p.asm.zero(zero);
  p.point<[Register, Register]>([bits.words, from], (words, values) =>
    p.lend<[Register, Register]>(2, (piece, sum) => {
      p.asm.setRegister(sum, 0);
      p.loop(
        rows,
        [
          [words, halves * FLOAT_BYTES],
          [values, columns * FLOAT_BYTES],
        ],
        () => {
          // What no piece reaches is read as well.
          for (let half = Math.floor(columns / HALF_BITS); half < halves; half++)
            p.asm.storeZeroWord(at(words, half * FLOAT_BYTES));
          for (let column = 0; column < columns; column += p.lanes) {
            p.asm.nonZeroBits(piece, at(values, column * FLOAT_BYTES), zero, spare);
            p.asm.storeBits(at(words, column / 8), piece, p.lanes);
            p.asm.countBits(piece, piece);
            p.asm.addRegister(sum, piece);
          }
        },
      );
      p.asm.storeWord(p.place(count), sum);
    }),
  );
  return bits;
}

/** Finds the bits of columns, which are then rows. To be given back. @param parts of the matrix's rows, each of which begins a new word */
export function bitsOfColumns(p: Program, { from, columns }: Matrix, parts: readonly number[]): Bits {
  const blocks = blocksOf(parts);
  const bits = { words: p.borrow(2 * blocks.length * columns), row: 1, half: columns, block: 2 * columns };
  const [zero, marks, bit, spare] = [0, 1, 2, 3];
  p.asm.zero(zero);
  blocks.forEach(({ first, steps }, i) => {
    for (const half of [0, 1]) {
      const before = half * HALF_BITS;
      const height = Math.min(HALF_BITS, Math.max(0, steps - before));
      const source = inside(from, (first + before) * columns);
      p.point<[Register, Register]>([inside(bits.words, (2 * i + half) * columns), source], (words, values) =>
        p.loop(
          columns / p.lanes,
          [
            [words, p.vectorBytes],
            [values, p.vectorBytes],
          ],
          () => {
            p.asm.zero(marks);
            p.constant(bit, LOWEST_BIT);
            p.loop(height, [[values, columns * FLOAT_BYTES]], () => {
              p.asm.markNonZero(marks, bit, at(values), zero, spare);
              p.asm.addIntegers(bit, bit, bit);
            });
            p.asm.store(at(words), marks);
          },
        ),
      );
    }
  });
  return bits;
}
