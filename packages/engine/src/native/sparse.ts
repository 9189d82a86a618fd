/**
 * Matrix products that leave out where the left factor is zero: half of a picture is black, and a ReLU leaves not much more. An element
 * is added up in the order of `gemm.ts`, and a product with zero changes no sum, so that its bits are the same, as long as the right
 * factor is finite.
 */
import { invariant } from '@lockstep/core';
import { at, type Register } from './assembler.ts';
import {
  type Bits,
  type Block,
  bitsOfColumns,
  bitsOfRows,
  blocksOf,
  HALF_BITS,
  type Matrix,
  WORD_BITS,
} from './bits.ts';
import type { Depth, Product } from './gemm.ts';
import type { Buffer, Move, Program } from './program.ts';

const FLOAT_BYTES = Float32Array.BYTES_PER_ELEMENT;
/** Above this share of values that are not zero, leaving out the others does not pay. */
const WORTHWHILE = 0.75;

const partsOf = ({ depth, parts }: Product): readonly number[] => parts ?? [depth[0]!.count];

/** A left factor whose zeros are left out where they are many. */
export class SparseMatrix {
  readonly #p: Program;
  readonly #matrix: Matrix;
  /** How many values are not zero, an integer. */
  readonly #count: Buffer;

  constructor(p: Program, matrix: Matrix) {
    this.#p = p;
    this.#matrix = matrix;
    this.#count = p.buffer(1);
  }

  /**
   * Writes the product of matrix and `right`. The registers keep their values.
   * @param left points to the matrix
   * @param densely writes it for a matrix with few zeros
   */
  multiply(into: Register, left: Register, right: Register, product: Product, densely: () => void): void {
    const bits = bitsOfRows(this.#p, this.#matrix, this.#count);
    this.#choose(() => multiplySparse(this.#p, into, left, right, product, bits, 1), densely);
    this.#p.giveBack(bits.words);
  }

  /**
   * The same for the transposed matrix. To be called after {@link multiply}, which counts zeros.
   * @param product `parts` are those of the matrix's rows
   * @param together how many of its columns
   */
  multiplyTransposed(
    into: Register,
    left: Register,
    right: Register,
    product: Product,
    together: RowsTogether,
    densely: () => void,
  ): void {
    this.#choose(() => {
      const bits = bitsOfColumns(this.#p, this.#matrix, partsOf(product));
      multiplySparse(this.#p, into, left, right, product, bits, together);
      this.#p.giveBack(bits.words);
    }, densely);
  }

  /** Writes both, of which one runs. */
  #choose(sparse: () => void, dense: () => void): void {
    const { asm } = this.#p;
    const { rows, columns } = this.#matrix;
    const limit = Math.floor(WORTHWHILE * rows * columns);
    this.#p.lend<[Register]>(1, (count) => {
      asm.loadWord(count, this.#p.place(this.#count));
      asm.compareNumber(count, limit);
    });
    const isDense = asm.jump('notLess');
    sparse();
    const end = asm.jump('always');
    asm.land(isDense);
    dense();
    asm.land(end);
  }
}

/** Rows of the product whose sums of parts stay in the cache; even. */
const HELD_ROWS = 112;

/** Rows of the left factor that are gone through together, leaving out where both are zero: worth it where neighbours are alike. */
export type RowsTogether = 1 | 2;

/** Vectors of columns that are added up in registers, of that many rows. */
function panelOf({ asm: { numVectors } }: Program, together: RowsTogether): number {
  return together === 2 && numVectors < 32 ? 4 : 8;
}

/**
 * Writes the product of `left` and `right`. The registers keep their values.
 * @param product of one level of depth, begun with zero or biases; a multiple of `together` rows, evenly apart
 * @param bits those of the left factor, each of its parts beginning a new word
 */
export function multiplySparse(
  p: Program,
  into: Register,
  left: Register,
  right: Register,
  product: Product,
  bits: Bits,
  together: RowsTogether,
): void {
  const { rows, columns, start } = product;
  const parts = partsOf(product);
  const panel = panelOf(p, together);
  const bias = typeof start === 'object' ? start : undefined;
  /** Steps of the right factor, side by side: elsewhere they would push each other out of the cache. */
  const packed = p.borrow(WORD_BITS * panel * p.lanes);
  const heldRows = parts.length > 1 ? Math.min(rows, HELD_ROWS) : rows;
  /** Sums of left halves of the parts, for each level of the tree. */
  const held = Array.from({ length: Math.log2(parts.length) }, () => p.borrow(heldRows * panel * p.lanes));
  const panels = (biasPointer: Register | undefined): void => {
    const moves = [into, right, ...(biasPointer === undefined ? [] : [biasPointer])];
    p.strips(
      columns / p.lanes,
      panel,
      moves.map((pointer): Move => [pointer, p.vectorBytes]),
      (vectors) => {
        const writer = new PanelWriter(p, { product, bits, together, parts, packed, held, bias: biasPointer }, vectors);
        writer.write(into, left, right, heldRows);
      },
    );
  };
  if (bias) p.point<[Register]>([bias], panels);
  else panels(undefined);
  p.giveBack(packed, ...held);
}

interface PanelOptions {
  readonly product: Product;
  readonly bits: Bits;
  readonly together: RowsTogether;
  readonly parts: readonly number[];
  readonly packed: Buffer;
  readonly held: readonly Buffer[];
  readonly bias: Register | undefined;
}

/** Writes what becomes of some vectors of columns. */
class PanelWriter {
  readonly #p: Program;
  readonly #options: PanelOptions;
  readonly #depth: Depth;
  readonly #leftRow: number;
  readonly #vectors: number;
  /** Of a packed row. */
  readonly #rowBytes: number;

  constructor(p: Program, options: PanelOptions, vectors: number) {
    const { depth, leftRows, rows } = options.product;
    invariant(depth.length === 1 && typeof leftRows === 'number', 'rows are evenly apart, and steps too');
    invariant(rows % options.together === 0, 'rows go together');
    this.#p = p;
    this.#options = options;
    this.#depth = depth[0]!;
    this.#leftRow = leftRows;
    this.#vectors = vectors;
    this.#rowBytes = vectors * p.vectorBytes;
  }

  /** @param height rows at a time */
  write(into: Register, left: Register, right: Register, height: number): void {
    const p = this.#p;
    const { bits, product, parts } = this.#options;
    p.point<[Register]>([bits.words], (words) =>
      p.strips(product.rows, height, this.#rowMoves(into, left, words), (rows) => {
        for (const [i, block] of blocksOf(parts).entries()) {
          this.#pack(right, block);
          const [first, firstWord] = [block.first * this.#depth.left, i * bits.block * FLOAT_BYTES];
          p.asm.addNumber(left, first);
          p.asm.addNumber(words, firstWord);
          p.park([right], () => this.#addBlock(into, left, words, block, rows));
          p.asm.addNumber(words, -firstWord);
          p.asm.addNumber(left, -first);
        }
      }),
    );
  }

  /** From row to row. */
  #rowMoves(into: Register, left: Register, words: Register): Move[] {
    const { bits, product } = this.#options;
    return [
      [into, product.intoRow],
      [left, this.#leftRow],
      [words, bits.row * FLOAT_BYTES],
    ];
  }

  /** Adds a block of the depth to some rows. */
  #addBlock(into: Register, left: Register, words: Register, block: Block, rows: number): void {
    const p = this.#p;
    const { together, packed, held } = this.#options;
    p.point<Register[]>([packed, ...held.slice(0, 1)], (panel, heldRows) => {
      const moves: Move[] = this.#rowMoves(into, left, words);
      if (heldRows !== undefined) moves.push([heldRows, this.#rowBytes]);
      p.loop(
        rows / together,
        moves.map(([pointer, bytes]) => [pointer, together * bytes]),
        () => this.#addRows(into, left, panel!, words, heldRows, block),
      );
    });
  }

  #pack(right: Register, { first, steps }: Block): void {
    const p = this.#p;
    const step = this.#depth.right;
    p.asm.addNumber(right, first * step);
    p.point<[Register]>([this.#options.packed], (target) =>
      p.loop(
        steps,
        [
          [right, step],
          [target, this.#rowBytes],
        ],
        () => {
          for (let vector = 0; vector < this.#vectors; vector++) {
            p.asm.load(vector, at(right, vector * p.vectorBytes));
            p.asm.store(at(target, vector * p.vectorBytes), vector);
          }
        },
      ),
    );
    p.asm.addNumber(right, -first * step);
  }

  /** @param held where the first level's sums are kept */
  #addRows(
    into: Register,
    left: Register,
    panel: Register,
    words: Register,
    held: Register | undefined,
    block: Block,
  ): void {
    const p = this.#p;
    const { asm } = p;
    this.#begin(into, block);
    p.lend<[Register, Register, Register]>(3, (word, element, row) => {
      this.#loadWord(word, words, element, row);
      const end = asm.jump('zero');
      const next = asm.length;
      asm.lowestBit(element, word);
      asm.multiplyNumber(row, element, this.#rowBytes);
      asm.addRegister(row, panel);
      asm.multiplyNumber(element, element, this.#depth.left);
      asm.addRegister(element, left);
      this.#addStep(element, row);
      asm.clearLowestBit(word, element);
      asm.jumpBack('notZero', next);
      asm.land(end);
    });
    this.#end(into, held, block);
  }

  #sum(row: number, vector: number): number {
    return row * this.#vectors + vector;
  }

  #each(body: (row: number, vector: number) => void): void {
    for (let row = 0; row < this.#options.together; row++)
      for (let vector = 0; vector < this.#vectors; vector++) body(row, vector);
  }

  #begin(into: Register, { isFirst }: Block): void {
    const { asm, vectorBytes } = this.#p;
    const { product, bias } = this.#options;
    this.#each((row, vector) => {
      const sum = this.#sum(row, vector);
      if (!isFirst) asm.load(sum, at(into, row * product.intoRow + vector * vectorBytes));
      else if (bias !== undefined) asm.load(sum, at(bias, vector * vectorBytes));
      else asm.zero(sum);
    });
  }

  /** The bits of all rows; flags tell whether there is none. */
  #loadWord(word: Register, words: Register, spare: Register, other: Register): void {
    const { asm } = this.#p;
    const { bits, together } = this.#options;
    for (let row = 0; row < together; row++) {
      const into = row === 0 ? word : other;
      const half = (number: number) => at(words, (row * bits.row + number * bits.half) * FLOAT_BYTES);
      asm.loadWord(into, half(1));
      asm.shiftLeft(into, HALF_BITS);
      asm.loadWord(spare, half(0));
      asm.or(into, spare);
      if (row > 0) asm.or(word, into);
    }
  }

  /** Adds one product to each sum. */
  #addStep(element: Register, row: Register): void {
    const { asm, vectorBytes } = this.#p;
    const { together } = this.#options;
    const numSums = together * this.#vectors;
    const factor = numSums + together;
    for (let i = 0; i < together; i++) asm.broadcast(numSums + i, at(element, i * this.#leftRow));
    for (let vector = 0; vector < this.#vectors; vector++) {
      const place = at(row, vector * vectorBytes);
      if (together === 1) {
        asm.multiplyAdd(this.#sum(0, vector), numSums, place);
        continue;
      }
      asm.load(factor + vector, place);
      for (let i = 0; i < together; i++) asm.multiplyAdd(this.#sum(i, vector), numSums + i, factor + vector);
    }
  }

  /** Puts sums where they go: on with the same part, or up the tree. */
  #end(into: Register, heldRows: Register | undefined, { part, isLast }: Block): void {
    const { asm, vectorBytes } = this.#p;
    const { product, together, parts, held } = this.#options;
    const target = (row: number, vector: number) => at(into, row * product.intoRow + vector * vectorBytes);
    const heldAt = (level: number) => (row: number, vector: number) =>
      at(heldRows!, held[level]!.offset - held[0]!.offset + row * this.#rowBytes + vector * vectorBytes);
    let place = target;
    if (isLast) {
      let level = 0;
      for (let half = part; half % 2 === 1; half = (half - 1) / 2) {
        const left = heldAt(level++);
        this.#each((row, vector) => asm.add(this.#sum(row, vector), this.#sum(row, vector), left(row, vector)));
      }
      if (part < parts.length - 1) place = heldAt(level);
      else if (product.relu) {
        const zero = together * this.#vectors;
        asm.zero(zero);
        // In this order, so that NaN stays.
        this.#each((row, vector) => asm.maximum(this.#sum(row, vector), zero, this.#sum(row, vector)));
      }
    }
    this.#each((row, vector) => asm.store(place(row, vector), this.#sum(row, vector)));
  }
}
