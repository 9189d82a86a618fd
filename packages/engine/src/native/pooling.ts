/** Pooling, and its gradient. */
import type { Window } from '../topology/network.ts';
import { at, type Register } from './assembler.ts';
import type { Buffer, Program } from './program.ts';
import type { Pictures } from './tiles.ts';

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

/**
 * Max pooling of some pictures.
 * @param index receives the number of each largest pixel in its window, as a float32: the first of equals in row-major order
 */
export function maxPool(
  p: Program,
  count: number,
  into: Register,
  index: Register,
  results: Pictures,
  from: Register,
  pictures: Pictures,
  window: Window,
): void {
  const { asm } = p;
  const [largest, value, best, number, spare] = [0, 1, 2, 3, 4];
  const [first, ...others] = windowOffsets(window, pictures);
  forEachWindow(p, count, window, pictures, results, [from], [into, index], () => {
    asm.load(largest, at(from, first));
    asm.zero(best);
    others.forEach((offset, i) => {
      asm.load(value, at(from, offset));
      p.constant(number, i + 1);
      asm.replace(best, number, 'less', largest, value, spare);
      asm.maximum(largest, largest, value);
    });
    asm.store(at(into), largest);
    asm.store(at(index), best);
  });
}

/** @param into its pixels in windows are written, and no others @param index as {@link maxPool} left it */
export function maxPoolGradient(
  p: Program,
  count: number,
  into: Register,
  pictures: Pictures,
  gradient: Register,
  index: Register,
  results: Pictures,
  window: Window,
): void {
  const { asm } = p;
  const [slope, best, number, part, spare] = [0, 1, 2, 3, 4];
  const offsets = windowOffsets(window, pictures);
  forEachWindow(p, count, window, pictures, results, [into], [gradient, index], () => {
    asm.load(slope, at(gradient));
    asm.load(best, at(index));
    offsets.forEach((offset, i) => {
      p.constant(number, i);
      asm.select(part, slope, 'equal', best, number, spare);
      asm.store(at(into, offset), part);
    });
  });
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
