/**
 * Convolutions with windows of 3 x 3 by Winograd's minimal filtering (Lavin and Gray, 2016): tiles of the picture and of the kernel
 * are transformed, multiplied position by position, which are matrix products over the channels, and transformed back. Tiles of 2 x 2
 * pixels take 4 multiplications a pixel instead of 9, those of 4 x 4 pixels 2.25.
 */
import { at, type Register } from './assembler.ts';
import type { Convolution, KernelGradient } from './convolution.ts';
import { fillZero } from './elementwise.ts';
import { multiply } from './gemm.ts';
import type { Buffer, Program } from './program.ts';
import { type Before, FromTiles, type Pictures, spaced, Tiles, TileTransform, ToTiles } from './tiles.ts';
import { chooseTiling, transposed, WINDOW } from './tiling.ts';

const FLOAT_BYTES = Float32Array.BYTES_PER_ELEMENT;

/** Values of a kernel [3, 3, inputs, outputs] that is transformed for pictures of results. */
export const transformedLength = ({ height, width, channels }: Pictures, inputs: number): number =>
  chooseTiling(height, width).span ** 2 * spaced(inputs * channels);

/** Transforms a kernel. */
export function transformKernel(p: Program, into: Buffer, kernel: Buffer, inputs: number, results: Pictures): void {
  const { channels: outputs } = results;
  const tiling = chooseTiling(results.height, results.width);
  const size = inputs * outputs * FLOAT_BYTES;
  const position = spaced(inputs * outputs) * FLOAT_BYTES;
  const transform = new TileTransform(p, tiling.kernel);
  transform.prepare();
  p.point<[Register, Register]>([into, kernel], (target, source) => {
    p.loop(
      (inputs * outputs) / p.lanes,
      [
        [target, p.vectorBytes],
        [source, p.vectorBytes],
      ],
      () =>
        transform.tile(
          (row, column) => at(source, (row * WINDOW + column) * size),
          (row, column, value) => p.asm.store(at(target, (row * tiling.span + column) * position), value),
        ),
    );
  });
}

/** With strides of 1. */
export class TiledConvolution implements Convolution {
  readonly group: number;
  readonly #p: Program;
  readonly #tiles: Tiles;
  readonly #inputs: number;
  readonly #outputs: number;
  readonly #kernel: Buffer;
  readonly #transformed: Buffer;
  readonly #products: Buffer;
  readonly #toTiles: ToTiles;
  readonly #fromTiles: FromTiles;

  /**
   * @param kernel as {@link transformKernel} left it
   * @param bias [channels of the results]
   */
  constructor(
    p: Program,
    count: number,
    results: Pictures,
    pictures: Pictures,
    before: Before,
    kernel: Buffer,
    bias: Buffer | undefined,
  ) {
    this.#p = p;
    this.#kernel = kernel;
    this.#inputs = pictures.channels;
    this.#outputs = results.channels;
    const tiles = new Tiles(p, results, count);
    this.#tiles = tiles;
    this.group = tiles.group;
    this.#transformed = tiles.borrow(pictures.channels);
    this.#products = tiles.borrow(results.channels);
    this.#toTiles = new ToTiles(p, tiles, tiles.tiling.picture, pictures, before);
    this.#fromTiles = new FromTiles(p, tiles, results, bias);
  }

  write(into: Register, from: Register, count: number): void {
    const p = this.#p;
    const [inputs, outputs] = [this.#inputs, this.#outputs];
    const [inputRow, outputRow] = [inputs * FLOAT_BYTES, outputs * FLOAT_BYTES];
    const rows = count * this.#tiles.number;
    p.point<[Register]>([this.#transformed], (pointer) => this.#toTiles.write(from, pointer, count, rows));
    p.point<[Register, Register, Register]>(
      [this.#products, this.#transformed, this.#kernel],
      (product, left, right) => {
        p.loop(
          this.#tiles.numPositions,
          [
            [product, spaced(rows * outputs) * FLOAT_BYTES],
            [left, spaced(rows * inputs) * FLOAT_BYTES],
            [right, spaced(inputs * outputs) * FLOAT_BYTES],
          ],
          () =>
            multiply(p, product, left, right, {
              rows,
              columns: outputs,
              depth: [{ count: inputs, left: FLOAT_BYTES, right: outputRow }],
              leftRows: inputRow,
              intoRow: outputRow,
              start: 'zero',
            }),
        );
      },
    );
    p.point<[Register]>([this.#products], (pointer) => this.#fromTiles.write(pointer, into, count, rows));
  }

  end(): void {
    this.#p.giveBack(this.#transformed, this.#products);
  }
}

/** The gradient of a kernel [3, 3, inputs, outputs]. */
export class TiledKernelGradient implements KernelGradient {
  readonly group: number;
  readonly #p: Program;
  readonly #tiles: Tiles;
  readonly #inputs: number;
  readonly #outputs: number;
  readonly #transformed: Buffer;
  readonly #spread: Buffer;
  readonly #pictureTiles: ToTiles;
  readonly #resultTiles: ToTiles;
  readonly #sums: Buffer;

  constructor(p: Program, count: number, results: Pictures, pictures: Pictures, before: Before) {
    this.#p = p;
    this.#inputs = pictures.channels;
    this.#outputs = results.channels;
    const tiles = new Tiles(p, results, count);
    this.#tiles = tiles;
    this.group = tiles.group;
    this.#transformed = tiles.borrow(pictures.channels);
    this.#spread = tiles.borrow(results.channels);
    this.#pictureTiles = new ToTiles(p, tiles, tiles.tiling.picture, pictures, before);
    this.#resultTiles = new ToTiles(p, tiles, transposed(tiles.tiling.result), results, { top: 0, left: 0 });
    this.#sums = p.borrow(tiles.numPositions * this.#apart);
    fillZero(p, this.#sums, tiles.numPositions * this.#apart);
  }

  /** From a position's sums to the next one's. */
  get #apart(): number {
    return spaced(this.#inputs * this.#outputs);
  }

  add(gradient: Register, from: Register, count: number): void {
    const p = this.#p;
    const [inputs, outputs] = [this.#inputs, this.#outputs];
    const [inputRow, outputRow] = [inputs * FLOAT_BYTES, outputs * FLOAT_BYTES];
    const rows = count * this.#tiles.number;
    p.point<[Register]>([this.#transformed], (pointer) => this.#pictureTiles.write(from, pointer, count, rows));
    p.point<[Register]>([this.#spread], (pointer) => this.#resultTiles.write(gradient, pointer, count, rows));
    p.point<[Register, Register, Register]>([this.#sums, this.#transformed, this.#spread], (sum, left, right) => {
      p.loop(
        this.#tiles.numPositions,
        [
          [sum, this.#apart * FLOAT_BYTES],
          [left, spaced(rows * inputs) * FLOAT_BYTES],
          [right, spaced(rows * outputs) * FLOAT_BYTES],
        ],
        () =>
          multiply(p, sum, left, right, {
            rows: inputs,
            columns: outputs,
            depth: [{ count: rows, left: inputRow, right: outputRow }],
            leftRows: FLOAT_BYTES,
            intoRow: outputRow,
            start: 'product',
          }),
      );
    });
  }

  finish(into: Buffer): void {
    const p = this.#p;
    const { tiling } = this.#tiles;
    const length = this.#inputs * this.#outputs;
    const back = new TileTransform(p, transposed(tiling.kernel));
    back.prepare();
    p.point<[Register, Register]>([into, this.#sums], (target, source) => {
      p.loop(
        length / p.lanes,
        [
          [target, p.vectorBytes],
          [source, p.vectorBytes],
        ],
        () =>
          back.tile(
            (row, column) => at(source, (row * tiling.span + column) * this.#apart * FLOAT_BYTES),
            (row, column, value) => p.asm.store(at(target, (row * WINDOW + column) * length * FLOAT_BYTES), value),
          ),
      );
    });
    p.giveBack(this.#transformed, this.#spread, this.#sums);
  }
}
