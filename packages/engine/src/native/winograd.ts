/**
 * Convolutions with windows of 3 x 3 by Winograd's minimal filtering (Lavin and Gray, 2016): tiles of the picture and of the kernel
 * are transformed, multiplied position by position, which are matrix products over the channels, and transformed back. Tiles of 2 x 2
 * pixels take 4 multiplications a pixel instead of 9.
 */
import { invariant } from '@lockstep/core';
import { at, type Place, type Register, type Vector } from './assembler.ts';
import { copyRows, fillZero } from './elementwise.ts';
import { multiply } from './gemm.ts';
import { type Buffer, type Program, WIDEST } from './program.ts';
import { chooseTiling, type Matrix, type Tiling, transposed, WINDOW } from './tiling.ts';

const FLOAT_BYTES = Float32Array.BYTES_PER_ELEMENT;

/** Tiles whose products are formed together, roughly: enough rows for the loops, few enough for the cache. */
const GROUP_TILES = 64;

/** Positions a power of two apart would push each other out of the cache. */
const spaced = (floats: number): number => floats + WIDEST;

/** Coefficients other than 1 and -1, each once, without sign. */
function factorsOf(matrix: Matrix): number[] {
  return [...new Set(matrix.flat().map(Math.abs))].filter((factor) => factor !== 0 && factor !== 1);
}

/** result = sum of coefficients times inputs. Vectors that hold the factors are given. */
function combine(
  p: Program,
  result: Vector,
  row: readonly number[],
  inputs: readonly Vector[],
  factors: ReadonlyMap<number, Vector>,
): void {
  const { asm } = p;
  const terms = row
    .map((coefficient, i) => ({ coefficient, input: inputs[i]! }))
    .filter(({ coefficient }) => coefficient !== 0)
    // Something to begin with that needs no multiplication.
    .sort((a, b) => Number(b.coefficient === 1) - Number(a.coefficient === 1));
  const [first, ...others] = terms;
  invariant(first, 'no row of a transform is empty');
  let sum = first.input;
  if (first.coefficient !== 1) {
    const factor = factors.get(Math.abs(first.coefficient));
    if (first.coefficient > 0) {
      asm.multiply(result, first.input, factor!);
    } else {
      asm.zero(result);
      if (factor === undefined) asm.subtract(result, result, first.input);
      else asm.multiplySubtract(result, first.input, factor);
    }
    sum = result;
  }
  for (const { coefficient, input } of others) {
    const factor = factors.get(Math.abs(coefficient));
    if (factor === undefined) {
      if (coefficient > 0) asm.add(result, sum, input);
      else asm.subtract(result, sum, input);
    } else {
      if (sum !== result) asm.move(result, sum);
      if (coefficient > 0) asm.multiplyAdd(result, input, factor);
      else asm.multiplySubtract(result, input, factor);
    }
    sum = result;
  }
  if (sum !== result) asm.move(result, sum);
}

/** A transform of square tiles on both sides, matrix * tile * transposed matrix, for one vector of channels at a time. */
class TileTransform {
  readonly #p: Program;
  readonly #matrix: Matrix;
  readonly #factors: ReadonlyMap<number, Vector>;
  /** Where the half transformed tile goes that does not fit into registers. */
  readonly #between: Buffer | undefined;

  constructor(p: Program, matrix: Matrix) {
    this.#p = p;
    this.#matrix = matrix;
    const factors = factorsOf(matrix);
    this.#factors = new Map(factors.map((factor, i) => [factor, p.asm.numVectors - 1 - i]));
    const numBetween = matrix.length * matrix[0]!.length;
    const needed = numBetween + matrix[0]!.length + 1 + factors.length;
    this.#between = needed <= p.asm.numVectors ? undefined : p.buffer(numBetween * p.lanes);
  }

  /** To be written once, before tiles. */
  prepare(): void {
    for (const [factor, vector] of this.#factors) this.#p.constant(vector, factor);
  }

  /** @param from where row and column of the tile are @param store writes what becomes of the result's row and column */
  tile(
    from: (row: number, column: number) => Place,
    store: (row: number, column: number, value: Vector) => void,
  ): void {
    const { asm, vectorBytes } = this.#p;
    const matrix = this.#matrix;
    const height = matrix.length;
    const size = matrix[0]!.length;
    const inputs = Array.from({ length: size }, (_, i) => i);
    const result = size;
    const kept = size + 1;
    const between = this.#between;
    for (let column = 0; column < size; column++) {
      for (const row of inputs) asm.load(row, from(row, column));
      for (let row = 0; row < height; row++) {
        const number = row * size + column;
        const into = between ? result : kept + number;
        combine(this.#p, into, matrix[row]!, inputs, this.#factors);
        if (between) asm.store(this.#p.place(between, number * (vectorBytes / FLOAT_BYTES)), into);
      }
    }
    for (let row = 0; row < height; row++) {
      for (const column of inputs) {
        if (between) asm.load(column, this.#p.place(between, (row * size + column) * (vectorBytes / FLOAT_BYTES)));
      }
      const halves = between ? inputs : inputs.map((column) => kept + row * size + column);
      for (let column = 0; column < height; column++) {
        combine(this.#p, result, matrix[column]!, halves, this.#factors);
        store(row, column, result);
      }
    }
  }
}

/** Pictures with their channels filled up, one after the other. */
export interface Pictures {
  readonly height: number;
  readonly width: number;
  readonly channels: number;
}

/** Rows and columns of zeros in front of a picture. */
export interface Before {
  readonly top: number;
  readonly left: number;
}

const numValues = ({ height, width, channels }: Pictures): number => height * width * channels;

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

/** The tiles of pictures of one size, and where they are transformed. */
class Tiles {
  readonly rows: number;
  readonly columns: number;
  /** Pictures that are transformed together. */
  readonly group: number;
  readonly tiling: Tiling;
  /** Pixels of a tile of the picture: so many products are formed. */
  readonly numPositions: number;
  readonly #p: Program;

  constructor(p: Program, { height, width }: Pictures, count: number) {
    this.#p = p;
    this.tiling = chooseTiling(height, width);
    this.numPositions = this.tiling.span ** 2;
    this.rows = Math.ceil(height / this.tiling.size);
    this.columns = Math.ceil(width / this.tiling.size);
    this.group = Math.min(count, Math.max(1, Math.round(GROUP_TILES / (this.rows * this.columns))));
  }

  /** Of a picture. */
  get number(): number {
    return this.rows * this.columns;
  }

  /** Room for the transformed tiles of a group. */
  buffer(channels: number): Buffer {
    return this.#p.buffer(this.numPositions * spaced(this.group * this.number * channels));
  }

  /** Pixels on the sides of a picture that tiles of `side` pixels cover. */
  canvas(side: number): { readonly height: number; readonly width: number } {
    const { size } = this.tiling;
    const margin = side - size;
    return { height: this.rows * size + margin, width: this.columns * size + margin };
  }

  /**
   * Goes over the tiles of one picture. Moves `canvas` on by whole tiles and `transformed` by one row of channels each.
   * @param body for one vector of channels
   */
  each(canvas: Register, width: number, transformed: Register, channels: number, body: () => void): void {
    const p = this.#p;
    const pixel = channels * FLOAT_BYTES;
    const { size } = this.tiling;
    p.loop(
      this.rows,
      [
        [canvas, size * width * pixel],
        [transformed, this.columns * pixel],
      ],
      () =>
        p.loop(
          this.columns,
          [
            [canvas, size * pixel],
            [transformed, pixel],
          ],
          () =>
            p.loop(
              channels / p.lanes,
              [
                [canvas, p.vectorBytes],
                [transformed, p.vectorBytes],
              ],
              body,
            ),
        ),
    );
  }
}

/** Copies pictures onto a canvas with zeros around them, and transforms its tiles. */
class ToTiles {
  readonly #p: Program;
  readonly #tiles: Tiles;
  readonly #pictures: Pictures;
  readonly #before: Before;
  readonly #transform: TileTransform;
  readonly #side: number;
  readonly #canvas: Buffer;

  constructor(p: Program, tiles: Tiles, matrix: Matrix, pictures: Pictures, before: Before) {
    this.#p = p;
    this.#tiles = tiles;
    this.#pictures = pictures;
    this.#before = before;
    this.#transform = new TileTransform(p, matrix);
    this.#side = matrix[0]!.length;
    const { height, width } = tiles.canvas(this.#side);
    invariant(
      height >= before.top + pictures.height && width >= before.left + pictures.width,
      'the canvas is large enough',
    );
    // Only the pictures' own pixels are ever written: the others stay zero.
    this.#canvas = p.buffer(height * width * pictures.channels);
  }

  /** @param from pictures @param into transformed tiles of `count` pictures, at most a group */
  write(from: Register, into: Register, count: number, groupTiles: number): void {
    const p = this.#p;
    const { height, width, channels } = this.#pictures;
    const canvas = this.#tiles.canvas(this.#side);
    const pixel = channels * FLOAT_BYTES;
    const inner = {
      ...this.#canvas,
      offset: this.#canvas.offset + (this.#before.top * canvas.width + this.#before.left) * pixel,
    };
    const position = spaced(groupTiles * channels) * FLOAT_BYTES;
    this.#transform.prepare();
    p.loop(
      count,
      [
        [from, height * width * pixel],
        [into, this.#tiles.number * pixel],
      ],
      () => {
        p.point<[Register]>([inner], (target) =>
          copyRows(p, height, width * channels, [from, width * pixel], [target, canvas.width * pixel]),
        );
        p.point<[Register]>([this.#canvas], (source) =>
          this.#tiles.each(source, canvas.width, into, channels, () =>
            this.#transform.tile(
              (row, column) => at(source, (row * canvas.width + column) * pixel),
              (row, column, value) => p.asm.store(at(into, (row * this.#tiles.tiling.span + column) * position), value),
            ),
          ),
        );
      },
    );
  }
}

/** Transforms tiles back and puts them together to pictures. */
class FromTiles {
  readonly #p: Program;
  readonly #tiles: Tiles;
  readonly #pictures: Pictures;
  readonly #transform: TileTransform;
  /** Where tiles go that reach over the edge. */
  readonly #canvas: Buffer | undefined;

  constructor(p: Program, tiles: Tiles, pictures: Pictures) {
    this.#p = p;
    this.#tiles = tiles;
    this.#pictures = pictures;
    this.#transform = new TileTransform(p, tiles.tiling.result);
    const { height, width } = tiles.canvas(tiles.tiling.size);
    const fits = height === pictures.height && width === pictures.width;
    this.#canvas = fits ? undefined : p.buffer(height * width * pictures.channels);
  }

  write(from: Register, into: Register, count: number, groupTiles: number): void {
    const p = this.#p;
    const { height, width, channels } = this.#pictures;
    const { size, span } = this.#tiles.tiling;
    const canvas = this.#tiles.canvas(size);
    const pixel = channels * FLOAT_BYTES;
    const position = spaced(groupTiles * channels) * FLOAT_BYTES;
    this.#transform.prepare();
    const transform = (target: Register): void =>
      this.#tiles.each(target, canvas.width, from, channels, () =>
        this.#transform.tile(
          (row, column) => at(from, (row * span + column) * position),
          (row, column, value) => p.asm.store(at(target, (row * canvas.width + column) * pixel), value),
        ),
      );
    p.loop(
      count,
      [
        [into, height * width * pixel],
        [from, this.#tiles.number * pixel],
      ],
      () => {
        if (!this.#canvas) {
          transform(into);
          return;
        }
        p.point<[Register]>([this.#canvas], (source) => {
          transform(source);
          copyRows(p, height, width * channels, [source, canvas.width * pixel], [into, width * pixel]);
        });
      },
    );
  }
}

/** Goes over all pictures group by group. @param moves what is apart by so many bytes a picture */
function forEachGroup(
  p: Program,
  count: number,
  group: number,
  moves: readonly (readonly [pointer: Register, bytes: number])[],
  body: (pictures: number) => void,
): void {
  p.strips(count, group, moves, body);
}

/**
 * Convolves `count` pictures with strides of 1.
 * @param kernel as {@link transformKernel} left it
 */
export function convolve(
  p: Program,
  count: number,
  into: Buffer,
  results: Pictures,
  from: Buffer,
  pictures: Pictures,
  before: Before,
  kernel: Buffer,
): void {
  const tiles = new Tiles(p, results, count);
  const { tiling, numPositions } = tiles;
  const [transformed, products] = [tiles.buffer(pictures.channels), tiles.buffer(results.channels)];
  const toTiles = new ToTiles(p, tiles, tiling.picture, pictures, before);
  const fromTiles = new FromTiles(p, tiles, results);
  const [inputRow, outputRow] = [pictures.channels * FLOAT_BYTES, results.channels * FLOAT_BYTES];
  p.point<[Register, Register]>([into, from], (target, source) => {
    const moves = [
      [target, numValues(results) * FLOAT_BYTES],
      [source, numValues(pictures) * FLOAT_BYTES],
    ] as const;
    forEachGroup(p, count, tiles.group, moves, (group) => {
      const rows = group * tiles.number;
      p.point<[Register]>([transformed], (pointer) => toTiles.write(source, pointer, group, rows));
      p.point<[Register, Register, Register]>([products, transformed, kernel], (product, left, right) => {
        p.loop(
          numPositions,
          [
            [product, spaced(rows * results.channels) * FLOAT_BYTES],
            [left, spaced(rows * pictures.channels) * FLOAT_BYTES],
            [right, spaced(pictures.channels * results.channels) * FLOAT_BYTES],
          ],
          () =>
            multiply(p, product, left, right, {
              rows,
              columns: results.channels,
              depth: [{ count: pictures.channels, left: FLOAT_BYTES, right: outputRow }],
              leftRows: inputRow,
              intoRow: outputRow,
              start: 'zero',
            }),
        );
      });
      p.point<[Register]>([products], (pointer) => fromTiles.write(pointer, target, group, rows));
    });
  });
}

/**
 * The gradient of a kernel [3, 3, inputs, outputs], summed over `count` pictures.
 * @param gradient with respect to the results of the convolution
 */
export function kernelGradient(
  p: Program,
  count: number,
  into: Buffer,
  gradient: Buffer,
  results: Pictures,
  from: Buffer,
  pictures: Pictures,
  before: Before,
): void {
  const tiles = new Tiles(p, results, count);
  const { tiling, numPositions } = tiles;
  const [transformed, spread] = [tiles.buffer(pictures.channels), tiles.buffer(results.channels)];
  const length = pictures.channels * results.channels;
  const sums = p.buffer(numPositions * spaced(length));
  const pictureTiles = new ToTiles(p, tiles, tiling.picture, pictures, before);
  const resultTiles = new ToTiles(p, tiles, transposed(tiling.result), results, { top: 0, left: 0 });
  const [inputRow, outputRow] = [pictures.channels * FLOAT_BYTES, results.channels * FLOAT_BYTES];
  fillZero(p, sums, numPositions * spaced(length));
  p.point<[Register, Register]>([gradient, from], (slope, source) => {
    const moves = [
      [slope, numValues(results) * FLOAT_BYTES],
      [source, numValues(pictures) * FLOAT_BYTES],
    ] as const;
    forEachGroup(p, count, tiles.group, moves, (group) => {
      const rows = group * tiles.number;
      p.point<[Register]>([transformed], (pointer) => pictureTiles.write(source, pointer, group, rows));
      p.point<[Register]>([spread], (pointer) => resultTiles.write(slope, pointer, group, rows));
      p.point<[Register, Register, Register]>([sums, transformed, spread], (sum, left, right) => {
        p.loop(
          numPositions,
          [
            [sum, spaced(length) * FLOAT_BYTES],
            [left, spaced(rows * pictures.channels) * FLOAT_BYTES],
            [right, spaced(rows * results.channels) * FLOAT_BYTES],
          ],
          () =>
            multiply(p, sum, left, right, {
              rows: pictures.channels,
              columns: results.channels,
              depth: [{ count: rows, left: inputRow, right: outputRow }],
              leftRows: FLOAT_BYTES,
              intoRow: outputRow,
              start: 'product',
            }),
        );
      });
    });
  });
  const back = new TileTransform(p, transposed(tiling.kernel));
  back.prepare();
  p.point<[Register, Register]>([into, sums], (target, source) => {
    p.loop(
      length / p.lanes,
      [
        [target, p.vectorBytes],
        [source, p.vectorBytes],
      ],
      () =>
        back.tile(
          (row, column) => at(source, (row * tiling.span + column) * spaced(length) * FLOAT_BYTES),
          (row, column, value) => p.asm.store(at(target, (row * WINDOW + column) * length * FLOAT_BYTES), value),
        ),
    );
  });
}
