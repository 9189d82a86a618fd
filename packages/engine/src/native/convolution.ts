/** Convolutions with any window and strides: matrix products whose left factor is read from where it lies in the picture. */
import { invariant } from '@lockstep/core';
import type { Window } from '../topology/network.ts';
import type { Register } from './assembler.ts';
import { copyBuffer, copyRows, fillZero } from './elementwise.ts';
import { type Depth, multiply } from './gemm.ts';
import { type Buffer, inside, type Program } from './program.ts';
import type { Pictures } from './tiles.ts';

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
      copyRows(this.#p, height, values, [from, values * FLOAT_BYTES], [target, this.row]);
    });
  }
}

/** Through the kernel, along with the pixels under it. */
function windowDepth({ size: [height, width] }: Window, channels: number, row: number, kernelRow: number): Depth[] {
  const across = width * channels;
  return [
    { count: height, left: row, right: across * kernelRow },
    { count: across, left: FLOAT_BYTES, right: kernelRow },
  ];
}

/** Convolves pictures, some at a time. */
export interface Convolution {
  /** How many it takes, at most. */
  readonly group: number;
  /** @param into where the results go @param from pictures */
  write(into: Register, from: Register, count: number): void;
  /** Nothing more is convolved. */
  end(): void;
}

/** Adds up the gradient of a kernel, some pictures at a time. */
export interface KernelGradient {
  /** How many it takes, at most. */
  readonly group: number;
  /** @param gradient with respect to the results @param from pictures */
  add(gradient: Register, from: Register, count: number): void;
  finish(into: Buffer): void;
}

export class DirectConvolution implements Convolution {
  readonly group = 1;
  readonly #p: Program;
  readonly #results: Pictures;
  readonly #pictures: Pictures;
  readonly #window: Window;
  readonly #kernel: Buffer;
  readonly #bias: Buffer | undefined;
  readonly #canvas: Canvas;

  /**
   * @param pictures their channels need not be filled up
   * @param kernel [height, width, channels of the pictures, filled up channels of the results]
   * @param bias [filled up channels of the results]
   */
  constructor(
    p: Program,
    results: Pictures,
    pictures: Pictures,
    window: Window,
    kernel: Buffer,
    bias: Buffer | undefined,
  ) {
    this.#p = p;
    this.#results = results;
    this.#pictures = pictures;
    this.#window = window;
    this.#kernel = kernel;
    this.#bias = bias;
    this.#canvas = new Canvas(p, pictures, window);
  }

  write(into: Register, from: Register): void {
    const p = this.#p;
    const { height, width, channels } = this.#results;
    const { strides } = this.#window;
    const canvas = this.#canvas;
    const pixel = this.#pictures.channels * FLOAT_BYTES;
    const outputRow = channels * FLOAT_BYTES;
    canvas.fill(from);
    p.park([from], () =>
      p.point<[Register, Register]>([canvas.buffer, this.#kernel], (left, right) =>
        p.loop(
          height,
          [
            [into, width * outputRow],
            [left, strides[0] * canvas.row],
          ],
          () =>
            multiply(p, into, left, right, {
              rows: width,
              columns: channels,
              depth: windowDepth(this.#window, this.#pictures.channels, canvas.row, outputRow),
              leftRows: strides[1] * pixel,
              intoRow: outputRow,
              start: this.#bias ?? 'zero',
            }),
        ),
      ),
    );
  }

  /** Its canvas is for itself. */
  end(): void {}
}

export class DirectKernelGradient implements KernelGradient {
  readonly group = 1;
  readonly #p: Program;
  readonly #results: Pictures;
  readonly #pictures: Pictures;
  readonly #window: Window;
  readonly #canvas: Canvas;
  readonly #sums: Buffer;

  constructor(p: Program, results: Pictures, pictures: Pictures, window: Window) {
    this.#p = p;
    this.#results = results;
    this.#pictures = pictures;
    this.#window = window;
    this.#canvas = new Canvas(p, pictures, window);
    this.#sums = p.borrow(this.#numRows * results.channels);
    fillZero(p, this.#sums, this.#numRows * results.channels);
  }

  get #numRows(): number {
    const { size } = this.#window;
    return size[0] * size[1] * this.#pictures.channels;
  }

  add(gradient: Register, from: Register): void {
    const p = this.#p;
    const canvas = this.#canvas;
    const {
      size: [height, width],
      strides: [down, across],
    } = this.#window;
    const results = this.#results;
    const { channels } = this.#pictures;
    const pixel = channels * FLOAT_BYTES;
    const outputRow = results.channels * FLOAT_BYTES;
    const depth = [
      { count: results.height, left: down * canvas.row, right: results.width * outputRow },
      { count: results.width, left: across * pixel, right: outputRow },
    ];
    const product = { columns: results.channels, depth, intoRow: outputRow, start: 'product' } as const;
    canvas.fill(from);
    p.point<[Register, Register]>([this.#sums, canvas.buffer], (target, left) => {
      const rows = this.#numRows;
      if (rows <= MAX_LISTED) {
        const leftRows = Array.from({ length: rows }, (_, i) => {
          const [tap, channel] = [Math.floor(i / channels), i % channels];
          return Math.floor(tap / width) * canvas.row + (tap % width) * pixel + channel * FLOAT_BYTES;
        });
        multiply(p, target, left, gradient, { ...product, rows, leftRows });
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
            () => multiply(p, target, left, gradient, { ...product, rows: channels, leftRows: FLOAT_BYTES }),
          ),
      );
    });
  }

  finish(into: Buffer): void {
    copyBuffer(this.#p, this.#numRows * this.#results.channels, into, this.#sums);
    this.#p.giveBack(this.#sums);
  }
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
