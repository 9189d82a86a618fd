/** Convolutions with any window and strides: matrix products whose left factor is read from where it lies in the picture. */
import { invariant } from '@lockstep/core';
import type { Window } from '../topology/network.ts';
import type { Register } from './assembler.ts';
import { copyRows, fillZero } from './elementwise.ts';
import { type Depth, multiply } from './gemm.ts';
import { type Buffer, inside, type Program } from './program.ts';
import type { Pictures } from './winograd.ts';

const FLOAT_BYTES = Float32Array.BYTES_PER_ELEMENT;

/** Rows of a kernel's gradient that are worth being written out one by one. */
const MAX_LISTED = 64;

/** A picture with the zeros around it that a window needs. */
class Canvas {
  readonly #p: Program;
  readonly #pictures: Pictures;
  readonly #inner: Buffer;
  readonly row: number;
  readonly buffer: Buffer;

  constructor(p: Program, pictures: Pictures, { padding: { top, bottom, left, right } }: Window) {
    this.#p = p;
    this.#pictures = pictures;
    const { channels } = pictures;
    const width = left + pictures.width + right;
    this.row = width * channels * FLOAT_BYTES;
    // Only the pictures' own pixels are ever written: the others stay zero.
    this.buffer = p.buffer((top + pictures.height + bottom) * width * channels);
    this.#inner = inside(this.buffer, (top * width + left) * channels);
  }

  /** Takes one picture from where `from` points to. */
  fill(from: Register): void {
    const { height, width, channels } = this.#pictures;
    const values = width * channels;
    this.#p.point<[Register]>([this.#inner], (target) => {
      if (values % this.#p.lanes === 0) {
        copyRows(this.#p, height, values, [from, values * FLOAT_BYTES], [target, this.row]);
      } else {
        copyValues(this.#p, height, values, from, target, this.row);
      }
    });
  }
}

/** Copies rows of any length, value by value: pictures as they come in, which are small. */
function copyValues(p: Program, rows: number, values: number, from: Register, into: Register, intoRow: number): void {
  p.lend<[Register]>(1, (word) =>
    p.loop(
      rows,
      [
        [from, values * FLOAT_BYTES],
        [into, intoRow],
      ],
      () =>
        p.strips(
          values,
          8,
          [
            [from, FLOAT_BYTES],
            [into, FLOAT_BYTES],
          ],
          (width) => {
            for (let i = 0; i < width; i++) {
              p.asm.loadWord(word, { base: from, offset: i * FLOAT_BYTES });
              p.asm.storeWord({ base: into, offset: i * FLOAT_BYTES }, word);
            }
          },
        ),
    ),
  );
}

/** Through the kernel, along with the pixels under it. */
function windowDepth({ size: [height, width] }: Window, channels: number, row: number, kernelRow: number): Depth[] {
  const across = width * channels;
  return [
    { count: height, left: row, right: across * kernelRow },
    { count: across, left: FLOAT_BYTES, right: kernelRow },
  ];
}

/**
 * Convolves `count` pictures.
 * @param pictures their channels need not be filled up
 * @param kernel [height, width, channels of the pictures, filled up channels of the results]
 * @param bias [filled up channels of the results]
 */
export function convolveDirectly(
  p: Program,
  count: number,
  into: Buffer,
  results: Pictures,
  from: Buffer,
  pictures: Pictures,
  window: Window,
  kernel: Buffer,
  bias: Buffer | undefined,
): void {
  const canvas = new Canvas(p, pictures, window);
  const pixel = pictures.channels * FLOAT_BYTES;
  const outputRow = results.channels * FLOAT_BYTES;
  p.point<[Register, Register]>([into, from], (target, source) => {
    p.loop(
      count,
      [
        [target, results.height * results.width * outputRow],
        [source, pictures.height * pictures.width * pixel],
      ],
      () => {
        canvas.fill(source);
        p.point<[Register, Register]>([canvas.buffer, kernel], (left, right) => {
          p.loop(
            results.height,
            [
              [target, results.width * outputRow],
              [left, window.strides[0] * canvas.row],
            ],
            () =>
              multiply(p, target, left, right, {
                rows: results.width,
                columns: results.channels,
                depth: windowDepth(window, pictures.channels, canvas.row, outputRow),
                leftRows: window.strides[1] * pixel,
                intoRow: outputRow,
                start: bias ?? 'zero',
              }),
          );
        });
      },
    );
  });
}

/** The gradient of a kernel, summed over `count` pictures; see {@link convolveDirectly}. */
export function kernelGradientDirectly(
  p: Program,
  count: number,
  into: Buffer,
  gradient: Buffer,
  results: Pictures,
  from: Buffer,
  pictures: Pictures,
  window: Window,
): void {
  const {
    size: [height, width],
    strides: [down, across],
  } = window;
  const { channels } = pictures;
  const canvas = new Canvas(p, pictures, window);
  const pixel = channels * FLOAT_BYTES;
  const outputRow = results.channels * FLOAT_BYTES;
  const depth = [
    { count: results.height, left: down * canvas.row, right: results.width * outputRow },
    { count: results.width, left: across * pixel, right: outputRow },
  ];
  const product = { columns: results.channels, depth, intoRow: outputRow, start: 'product' } as const;
  const numRows = height * width * channels;
  fillZero(p, into, numRows * results.channels);
  p.point<[Register, Register]>([gradient, from], (slope, source) => {
    p.loop(
      count,
      [
        [slope, results.height * results.width * outputRow],
        [source, pictures.height * pictures.width * pixel],
      ],
      () => {
        canvas.fill(source);
        p.point<[Register, Register]>([into, canvas.buffer], (target, left) => {
          if (numRows <= MAX_LISTED) {
            const leftRows = Array.from({ length: numRows }, (_, i) => {
              const [tap, channel] = [Math.floor(i / channels), i % channels];
              return Math.floor(tap / width) * canvas.row + (tap % width) * pixel + channel * FLOAT_BYTES;
            });
            multiply(p, target, left, slope, { ...product, rows: numRows, leftRows });
            return;
          }
          p.loop(
            height,
            [
              [target, width * channels * outputRow],
              [left, canvas.row],
            ],
            () =>
              p.loop(
                width,
                [
                  [target, channels * outputRow],
                  [left, pixel],
                ],
                () => multiply(p, target, left, slope, { ...product, rows: channels, leftRows: FLOAT_BYTES }),
              ),
          );
        });
      },
    );
  });
}

/**
 * The window that takes gradients of a convolution's results back to its pictures, over the kernel turned by half a turn; strides
 * of 1 only.
 */
export function backWindow({ size: [height, width], strides, padding }: Window): Window {
  invariant(strides[0] === 1 && strides[1] === 1, 'gradients of strided convolutions are refused before');
  const { top, bottom, left, right } = padding;
  return {
    size: [height, width],
    strides: [1, 1],
    padding: { top: height - 1 - top, bottom: height - 1 - bottom, left: width - 1 - left, right: width - 1 - right },
  };
}
