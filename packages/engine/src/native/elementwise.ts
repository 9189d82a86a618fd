/** Loops over whole buffers, a vector at a time. */
import { at, type Place, type Register } from './assembler.ts';
import { type Buffer, inside, type Move, type Program } from './program.ts';

/** Vectors that a turn of a loop takes. */
const UNROLLED = 4;

/**
 * Goes over buffers in step.
 * @param floats in each, a multiple of the vector's length
 * @param body writes the code for the vectors at these places, one of each buffer
 */
function forEachVector(
  p: Program,
  floats: number,
  buffers: readonly Buffer[],
  body: (...places: Place[]) => void,
): void {
  p.point<Register[]>([...buffers], (...pointers) => vectorsAt(p, floats, pointers, body));
}

/** The same from where pointers point to. */
function vectorsAt(
  p: Program,
  floats: number,
  pointers: readonly Register[],
  body: (...places: Place[]) => void,
): void {
  const moves = pointers.map((pointer): Move => [pointer, p.vectorBytes]);
  p.strips(floats / p.lanes, UNROLLED, moves, (width) => {
    for (let i = 0; i < width; i++) body(...pointers.map((pointer) => at(pointer, i * p.vectorBytes)));
  });
}

export function fillZero(p: Program, buffer: Buffer, floats: number): void {
  p.asm.zero(0);
  forEachVector(p, floats, [buffer], (place) => p.asm.store(place, 0));
}

/** Copies rows of `floats` values each, any number; `from` and `into` move on by their own distances, in bytes. */
export function copyRows(p: Program, rows: number, floats: number, [from, fromRow]: Move, [into, intoRow]: Move): void {
  const rest = floats % p.lanes;
  p.loop(
    rows,
    [
      [from, fromRow],
      [into, intoRow],
    ],
    () => {
      vectorsAt(p, floats - rest, [from, into], (source, target) => {
        p.asm.load(0, source);
        p.asm.store(target, 0);
      });
      if (rest === 0) return;
      p.lend<[Register]>(1, (word) => {
        for (let i = floats - rest; i < floats; i++) {
          p.asm.loadWord(word, at(from, i * Float32Array.BYTES_PER_ELEMENT));
          p.asm.storeWord(at(into, i * Float32Array.BYTES_PER_ELEMENT), word);
        }
      });
    },
  );
}

export function copyBuffer(p: Program, floats: number, into: Buffer, from: Buffer): void {
  forEachVector(p, floats, [into, from], (target, source) => {
    p.asm.load(0, source!);
    p.asm.store(target!, 0);
  });
}

/** into = sum of `terms`. */
export function addBuffers(p: Program, floats: number, into: Buffer, terms: readonly Buffer[]): void {
  forEachVector(p, floats, [into, ...terms], (target, first, ...others) => {
    p.asm.load(0, first!);
    for (const other of others) p.asm.add(0, 0, other);
    p.asm.store(target!, 0);
  });
}

/** into = left * right, element by element. */
export function multiplyBuffers(p: Program, floats: number, into: Buffer, left: Buffer, right: Buffer): void {
  forEachVector(p, floats, [into, left, right], (target, one, other) => {
    p.asm.load(0, one!);
    p.asm.multiply(0, 0, other!);
    p.asm.store(target!, 0);
  });
}

/** into = from * factor. */
export function scaleBuffer(p: Program, floats: number, into: Buffer, from: Buffer, factor: number): void {
  p.constant(1, factor);
  forEachVector(p, floats, [into, from], (target, source) => {
    p.asm.multiply(0, 1, source!);
    p.asm.store(target!, 0);
  });
}

export function relu(p: Program, floats: number, into: Buffer, from: Buffer): void {
  p.asm.zero(1);
  forEachVector(p, floats, [into, from], (target, source) => {
    p.asm.load(0, source!);
    // In this order, so that NaN stays.
    p.asm.maximum(0, 1, 0);
    p.asm.store(target!, 0);
  });
}

/** Lets a gradient through where the ReLU's output is positive. */
export function reluGradient(p: Program, floats: number, into: Buffer, gradient: Buffer, output: Buffer): void {
  p.asm.zero(1);
  forEachVector(p, floats, [into, gradient, output], (target, source, positive) => {
    p.asm.load(0, source!);
    p.asm.select(0, 0, 'less', 1, positive!, 2);
    p.asm.store(target!, 0);
  });
}

/** into = bytes / 255, as float32 nearest to byte * (1 / 255). */
export function scalePixels(p: Program, pixels: number, into: Buffer, bytes: Buffer): void {
  p.constant(1, 1 / 255);
  p.point<[Register, Register]>([into, bytes], (target, source) => {
    p.loop(
      pixels / p.lanes,
      [
        [target, p.vectorBytes],
        [source, p.lanes],
      ],
      () => {
        p.asm.loadBytes(0, at(source));
        p.asm.multiply(0, 0, 1);
        p.asm.store(at(target), 0);
      },
    );
  });
}

/** Sums of columns: into[c] = sum over rows of from[row][c], in ascending order. @param columns a multiple of the vector's length */
export function sumRows(p: Program, rows: number, columns: number, into: Buffer, from: Buffer): void {
  const row = columns * Float32Array.BYTES_PER_ELEMENT;
  p.point<[Register, Register]>([into, from], (target, source) => {
    p.strips(
      columns / p.lanes,
      UNROLLED,
      [
        [target, p.vectorBytes],
        [source, p.vectorBytes],
      ],
      (vectors) => {
        for (let i = 0; i < vectors; i++) p.asm.zero(i);
        p.loop(rows, [[source, row]], () => {
          for (let i = 0; i < vectors; i++) p.asm.add(i, i, at(source, i * p.vectorBytes));
        });
        for (let i = 0; i < vectors; i++) p.asm.store(at(target, i * p.vectorBytes), i);
      },
    );
  });
}

/**
 * The same for parts of the rows, each of so many and a sum of its own; they are added up along a binary tree.
 * @param parts a power of two of them
 */
export function sumPartsOfRows(
  p: Program,
  parts: readonly number[],
  columns: number,
  into: Buffer,
  from: Buffer,
): void {
  if (parts.length === 1) {
    sumRows(p, parts[0]!, columns, into, from);
    return;
  }
  const left = parts.slice(0, parts.length / 2);
  const halves = [p.buffer(columns), p.buffer(columns)];
  sumPartsOfRows(p, left, columns, halves[0]!, from);
  const behind = inside(from, left.reduce((a, b) => a + b, 0) * columns);
  sumPartsOfRows(p, parts.slice(parts.length / 2), columns, halves[1]!, behind);
  addBuffers(p, columns, into, halves);
}

/** into = the transpose of [rows, columns]. Distances between rows are in values. */
export function transpose(
  p: Program,
  rows: number,
  columns: number,
  into: Buffer,
  intoRow: number,
  from: Buffer,
  fromRow: number,
): void {
  const SIDE = 8;
  const bytes = Float32Array.BYTES_PER_ELEMENT;
  p.point<[Register, Register]>([into, from], (target, source) => {
    p.lend<[Register]>(1, (word) => {
      const down: Move[] = [
        [source, fromRow * bytes],
        [target, bytes],
      ];
      const across: Move[] = [
        [source, bytes],
        [target, intoRow * bytes],
      ];
      p.strips(rows, SIDE, down, (height) => {
        p.strips(columns, SIDE, across, (width) => {
          for (let column = 0; column < width; column++) {
            for (let row = 0; row < height; row++) {
              p.asm.loadWord(word, at(source, (row * fromRow + column) * bytes));
              p.asm.storeWord(at(target, (column * intoRow + row) * bytes), word);
            }
          }
        });
      });
    });
  });
}
