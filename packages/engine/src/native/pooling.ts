/** Pooling, and its gradient. */
import type { Window } from '../topology/network.ts';
import { at, type Register } from './assembler.ts';
import { fillZero } from './elementwise.ts';
import type { Buffer, Program } from './program.ts';
import type { Pictures } from './winograd.ts';

const FLOAT_BYTES = Float32Array.BYTES_PER_ELEMENT;

/** Whether windows lie beside each other, and whole ones within the picture: what is written here handles nothing else. */
export function isTiling({ size, strides, padding }: Window): boolean {
  return size[0] <= strides[0] && size[1] <= strides[1] && Object.values(padding).every((number) => number === 0);
}

/** Goes over all windows of all pictures, moving `picture` and the pointers of `results` on. */
function forEachWindow(
  p: Program,
  count: number,
  { strides }: Window,
  pictures: Pictures,
  results: Pictures,
  picture: readonly Register[],
  result: readonly Register[],
  body: () => void,
): void {
  const pixel = results.channels * FLOAT_BYTES;
  const moves = (pictureBytes: number, resultBytes: number) => [
    ...picture.map((pointer) => [pointer, pictureBytes] as const),
    ...result.map((pointer) => [pointer, resultBytes] as const),
  ];
  p.loop(count, moves(pictures.height * pictures.width * pixel, results.height * results.width * pixel), () =>
    p.loop(results.height, moves(strides[0] * pictures.width * pixel, results.width * pixel), () =>
      p.loop(results.width, moves(strides[1] * pixel, pixel), () =>
        p.loop(results.channels / p.lanes, moves(p.vectorBytes, p.vectorBytes), body),
      ),
    ),
  );
}

/** Bytes from a window's first pixel to each, in row-major order. */
function windowOffsets({ size: [height, width] }: Window, { width: pictureWidth, channels }: Pictures): number[] {
  return Array.from({ length: height * width }, (_, i) => {
    return (Math.floor(i / width) * pictureWidth + (i % width)) * channels * FLOAT_BYTES;
  });
}

export function maxPool(
  p: Program,
  count: number,
  into: Buffer,
  results: Pictures,
  from: Buffer,
  pictures: Pictures,
  window: Window,
): void {
  const [first, ...others] = windowOffsets(window, pictures);
  p.point<[Register, Register]>([from, into], (source, target) =>
    forEachWindow(p, count, window, pictures, results, [source], [target], () => {
      p.asm.load(0, at(source, first));
      for (const other of others) p.asm.maximum(0, 0, at(source, other));
      p.asm.store(at(target), 0);
    }),
  );
}

/** The first of equals in row-major order gets the gradient. */
export function maxPoolGradient(
  p: Program,
  count: number,
  into: Buffer,
  gradient: Buffer,
  results: Pictures,
  output: Buffer,
  from: Buffer,
  pictures: Pictures,
  window: Window,
): void {
  const { size, strides } = window;
  const covers =
    size[0] === strides[0] &&
    size[1] === strides[1] &&
    results.height * size[0] === pictures.height &&
    results.width * size[1] === pictures.width;
  if (!covers) fillZero(p, into, count * pictures.height * pictures.width * pictures.channels);
  const offsets = windowOffsets(window, pictures);
  p.point<[Register, Register, Register, Register]>([into, from, gradient, output], (target, source, slope, largest) =>
    forEachWindow(p, count, window, pictures, results, [target, source], [slope, largest], () => {
      const [left, maximum, value, part, spare] = [0, 1, 2, 3, 4];
      p.asm.load(left, at(slope));
      p.asm.load(maximum, at(largest));
      offsets.forEach((offset, i) => {
        p.asm.load(value, at(source, offset));
        p.asm.select(part, left, 'equal', value, maximum, spare);
        p.asm.store(at(target, offset), part);
        if (i < offsets.length - 1) p.asm.select(left, left, 'unequal', value, maximum, spare);
      });
    }),
  );
}

/** Means over height and width. */
export function globalAveragePool(p: Program, count: number, into: Buffer, from: Buffer, pictures: Pictures): void {
  const { height, width, channels } = pictures;
  const pixel = channels * FLOAT_BYTES;
  p.constant(1, 1 / (height * width));
  p.point<[Register, Register]>([from, into], (source, target) =>
    p.loop(
      count,
      [
        [source, height * width * pixel],
        [target, pixel],
      ],
      () =>
        p.loop(
          channels / p.lanes,
          [
            [source, p.vectorBytes],
            [target, p.vectorBytes],
          ],
          () => {
            p.asm.zero(0);
            p.loop(height * width, [[source, pixel]], () => p.asm.add(0, 0, at(source)));
            p.asm.multiply(0, 0, 1);
            p.asm.store(at(target), 0);
          },
        ),
    ),
  );
}

export function globalAveragePoolGradient(
  p: Program,
  count: number,
  into: Buffer,
  gradient: Buffer,
  pictures: Pictures,
): void {
  const { height, width, channels } = pictures;
  const pixel = channels * FLOAT_BYTES;
  p.constant(1, 1 / (height * width));
  p.point<[Register, Register]>([into, gradient], (target, slope) =>
    p.loop(
      count,
      [
        [target, height * width * pixel],
        [slope, pixel],
      ],
      () =>
        p.loop(
          channels / p.lanes,
          [
            [target, p.vectorBytes],
            [slope, p.vectorBytes],
          ],
          () => {
            p.asm.load(0, at(slope));
            p.asm.multiply(0, 0, 1);
            p.loop(height * width, [[target, pixel]], () => p.asm.store(at(target), 0));
          },
        ),
    ),
  );
}
