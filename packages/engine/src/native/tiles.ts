/** Pictures cut into overlapping tiles, and the transforms of tiles, for one vector of channels at a time. */
import { invariant } from '@lockstep/core';
import { at, type Place, type Register, type Vector } from './assembler.ts';
import { copyRows } from './elementwise.ts';
import { type Buffer, type Move, type Program, WIDEST } from './program.ts';
import { chooseTiling, type Matrix, type Tiling } from './tiling.ts';

const FLOAT_BYTES = Float32Array.BYTES_PER_ELEMENT;

/** Tiles whose products are formed together, roughly: enough rows for the loops, few enough for the cache. */
const GROUP_TILES = 64;

/** Positions a power of two apart would push each other out of the cache. */
export const spaced = (floats: number): number => floats + WIDEST;

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
export class TileTransform {
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

export const numValues = ({ height, width, channels }: Pictures): number => height * width * channels;

/** The tiles of pictures of one size, and where they are transformed. */
export class Tiles {
  readonly rows: number;
  readonly columns: number;
  /** Pictures that are transformed together, at most. */
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

  /** Borrows room for the transformed tiles of a group. */
  borrow(channels: number): Buffer {
    return this.#p.borrow(this.numPositions * spaced(this.group * this.number * channels));
  }

  /** Pixels on the sides of a picture that tiles of `side` pixels cover. */
  canvas(side: number): { readonly height: number; readonly width: number } {
    const { size } = this.tiling;
    const margin = side - size;
    return { height: this.rows * size + margin, width: this.columns * size + margin };
  }

  /**
   * Goes over the tiles of one picture. Moves `canvas` on by whole tiles and `transformed` by one row of channels each.
   * @param perChannel what is the same for all tiles, such as biases
   * @param body for one vector of channels
   */
  each(
    canvas: Register,
    width: number,
    transformed: Register,
    channels: number,
    perChannel: readonly Register[],
    body: () => void,
  ): void {
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
              [canvas, transformed, ...perChannel].map((pointer): Move => [pointer, p.vectorBytes]),
              body,
            ),
        ),
    );
  }
}

/** Copies pictures onto a canvas with zeros around them, and transforms its tiles. */
export class ToTiles {
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
          this.#tiles.each(source, canvas.width, into, channels, [], () =>
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
export class FromTiles {
  readonly #p: Program;
  readonly #tiles: Tiles;
  readonly #pictures: Pictures;
  readonly #transform: TileTransform;
  /** Where tiles go that reach over the edge. */
  readonly #canvas: Buffer | undefined;
  readonly #bias: Buffer | undefined;

  /** @param bias added to all pixels, one value a channel */
  constructor(p: Program, tiles: Tiles, pictures: Pictures, bias: Buffer | undefined) {
    this.#p = p;
    this.#bias = bias;
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
    const transform = (target: Register): void => {
      const tiles = (bias: Register | undefined): void =>
        this.#tiles.each(target, canvas.width, from, channels, bias === undefined ? [] : [bias], () =>
          this.#transform.tile(
            (row, column) => at(from, (row * span + column) * position),
            (row, column, value) => {
              if (bias !== undefined) p.asm.add(value, value, at(bias));
              p.asm.store(at(target, (row * canvas.width + column) * pixel), value);
            },
          ),
        );
      if (this.#bias) p.point<[Register]>([this.#bias], (bias) => tiles(bias));
      else tiles(undefined);
    };
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
