/** Loads the SIMD loops of `kernels/kernels.ts` over a memory, private to a thread or shared between threads. */

import { invariant } from './errors.ts';
import { privateMemoryKernels, sharedMemoryKernels } from './generated/kernels.ts';

const PAGE_BYTES = 65_536;
const MAX_PAGES = 65_536;
const ALIGNMENT_BYTES = 64;

/** The exported loops. Pointers are byte offsets into the memory, lengths count float32 values. */
export interface KernelFunctions {
  add(into: number, left: number, right: number, length: number): void;
  subtract(into: number, left: number, right: number, length: number): void;
  copy(into: number, from: number, length: number): void;
  /** Rounds in place, to what fits into 16 or 8 bits. @param first index of the first value in its vector, a multiple of 256 */
  round16(values: number, length: number, first: number, key0: number, key1: number): void;
  round8(values: number, length: number, first: number, key0: number, key1: number): void;
  /** Packs rounded values. @returns the byte offset behind what was written */
  pack16(into: number, values: number, length: number): number;
  pack8(into: number, values: number, length: number): number;
  /** Undoes packing. @returns the byte offset behind what was read */
  unpack16(values: number, from: number, length: number): number;
  unpack8(values: number, from: number, length: number): number;
  /**
   * Moves the `count` values of largest magnitude out of `length`, and leaves zeros in their places; of equal ones it takes the
   * first. NaN counts as the largest.
   * @param indices receives their indices (unsigned 32-bit), ascending @param taken receives the values, in the same order
   * @param counts room for 2048 unsigned 32-bit integers
   */
  takeLargest(values: number, length: number, count: number, indices: number, taken: number, counts: number): void;
  /** Copies records of `size` bytes: number `indices[i]` (unsigned 32-bit) to place i. */
  gather(into: number, from: number, indices: number, count: number, size: number): void;
  sumSquares(values: number, length: number): number;
  /** Whether no value is NaN or infinite, as 1 or 0. */
  allFinite(values: number, length: number): number;
  adam(
    toWeights: number,
    toFirstMoment: number,
    toSecondMoment: number,
    weights: number,
    firstMoment: number,
    secondMoment: number,
    gradient: number,
    length: number,
    scale: number,
    rate: number,
    oneMinusBeta1: number,
    oneMinusBeta2: number,
    epsilon: number,
    keep: number,
  ): void;
  sgd(
    toWeights: number,
    toVelocity: number,
    weights: number,
    velocity: number,
    gradient: number,
    length: number,
    scale: number,
    rate: number,
    momentum: number,
    nesterov: number,
    keep: number,
  ): void;
  descend(toWeights: number, weights: number, direction: number, length: number, rate: number, keep: number): void;
  average(
    toStatistic: number,
    statistic: number,
    sums: number,
    length: number,
    scale: number,
    oneMinusMomentum: number,
  ): void;
  /**
   * The matrix product into = left * right. All strides are in bytes.
   * @param columns of the product, a multiple of 8
   * @param leftRow from an element of `left` to the one below it
   * @param leftStep and to the one beside it: the transpose of a matrix has the two exchanged
   */
  multiply(
    into: number,
    left: number,
    right: number,
    rows: number,
    columns: number,
    depth: number,
    intoRow: number,
    leftRow: number,
    leftStep: number,
    rightRow: number,
  ): void;
  /** Copies rows [from, to) of a square matrix, from the diagonal on, to the columns below it. */
  mirror(matrix: number, size: number, row: number, from: number, to: number): void;
  /** into = first * I + second * left + third * right, in a block that begins on the diagonal. @param columns a multiple of 4 */
  polynomial(
    into: number,
    left: number,
    right: number,
    rows: number,
    columns: number,
    row: number,
    first: number,
    second: number,
    third: number,
  ): void;
  /** Copies a matrix of any strides, times a factor, to rows that are `row` bytes apart and filled up with zeros. */
  spread(
    into: number,
    from: number,
    rows: number,
    columns: number,
    row: number,
    fromRow: number,
    fromStep: number,
    factor: number,
  ): void;
  /** Copies it back to any strides. */
  collect(
    into: number,
    from: number,
    rows: number,
    columns: number,
    row: number,
    intoRow: number,
    intoStep: number,
  ): void;
}

function decode(base64: string): Uint8Array<ArrayBuffer> {
  const text = atob(base64);
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

/** Instantiates the loops over `memory`; a shared memory gets the build that may touch it. */
export function loadKernels(memory: WebAssembly.Memory): KernelFunctions {
  const shared = !(memory.buffer instanceof ArrayBuffer);
  const module = new WebAssembly.Module(decode(shared ? sharedMemoryKernels : privateMemoryKernels));
  return new WebAssembly.Instance(module, { env: { memory } }).exports as unknown as KernelFunctions;
}

/** Hands out places in a memory that is allocated once: 64-byte aligned, never freed one by one. */
export class Region {
  #end = ALIGNMENT_BYTES;

  /** Reserves room for `length` float32 values and returns its byte offset. */
  floats(length: number): number {
    return this.bytes(length * 4);
  }

  /** Reserves `length` bytes and returns their offset. */
  bytes(length: number): number {
    const at = this.#end;
    this.#end = Math.ceil((at + length) / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;
    return at;
  }

  /** Allocates the memory for all that was reserved. */
  allocate(sharing: 'private' | 'shared'): WebAssembly.Memory {
    const pages = Math.ceil(this.#end / PAGE_BYTES);
    invariant(pages <= MAX_PAGES, `${(this.#end / 2 ** 30).toFixed(1)} GiB fit into one WebAssembly memory of 4 GiB`);
    return new WebAssembly.Memory({ initial: pages, maximum: MAX_PAGES, shared: sharing === 'shared' });
  }
}
