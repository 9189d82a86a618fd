/**
 * Formats in which gradients and weights travel. A format is a rounding that happens at every node of the reduction tree,
 * whoever owns it, so the result does not depend on which sums crossed a network; and a packed form from which the
 * rounded values come back to the last bit.
 */
import type { KernelFunctions } from './kernels.ts';
import { purposes, RandomStream } from './random.ts';
import type { Range } from './shards.ts';

/** `fp32` is no rounding; `fp16` keeps 11 significant bits; `int8` is whole numbers times a power of two per 256 values. */
export const wireFormats = ['fp32', 'fp16', 'int8'] as const;
export type WireFormat = (typeof wireFormats)[number];

/**
 * Formats of sums: with `topk` a worker sends few entries of its sum as float32 and keeps the rest for later; see `sparse.ts`.
 * Nothing is rounded then but the changes of the weights.
 */
export type SumFormat = WireFormat | 'topk';

/** How the changes of the weights are rounded, given the format of the sums. */
export const changeFormat = (format: SumFormat): WireFormat => (format === 'topk' ? 'int8' : format);

/** Values that share a scale. */
const BLOCK = 256;
/** Stands for the change of the weights among the nodes of the tree, which are numbered from 1. */
export const BROADCAST = 0;

/** Bytes that a packed vector takes: its weights in the format, what stands behind them as float32. */
export function packedBytes(format: WireFormat, numWeights: number, length: number): number {
  const tail = (length - numWeights) * 4;
  if (format === 'fp32') return numWeights * 4 + tail;
  const bytesPerValue = format === 'fp16' ? 2 : 1;
  const numBlocks = Math.ceil(numWeights / BLOCK);
  return numBlocks * 4 + Math.ceil((numWeights * bytesPerValue) / 4) * 4 + tail;
}

/** Slices of vectors end at multiples of it, but for the last of each: where blocks of the reduction end, and those of the formats. */
export const SLICE_UNIT = 4096;
/** How many elements of a slice are weights. */
const weightsIn = (numWeights: number, { from, to }: Range): number =>
  Math.min(Math.max(numWeights - from, 0), to - from);

/** Bytes that a slice of a vector takes when it is packed by itself. */
export const slicedBytes = (format: WireFormat, numWeights: number, { from, to }: Range): number =>
  packedBytes(format, weightsIn(numWeights, { from, to }), to - from);

/** About so many slices of a vector, at least one. */
export function slicesOf(length: number, count: number): Range[] {
  const size = Math.ceil(length / count / SLICE_UNIT) * SLICE_UNIT;
  const slices: Range[] = [];
  for (let from = 0; from < length; from += size) slices.push({ from, to: Math.min(from + size, length) });
  return slices;
}

/** What determines the rounding of a step. */
export interface RoundingTerms {
  readonly format: WireFormat;
  readonly seed: number;
  /** Step over the whole run. */
  readonly runStep: number;
  /** Elements that are rounded; what stands behind them stays as it is. */
  readonly numWeights: number;
}

/** Rounds the sums of one step, each node with random numbers of its own. */
export class Rounding {
  readonly #kernels: KernelFunctions;
  readonly #terms: RoundingTerms;
  readonly #keys = new Map<number, readonly [number, number]>();

  constructor(kernels: KernelFunctions, terms: RoundingTerms) {
    this.#kernels = kernels;
    this.#terms = terms;
  }

  /**
   * Rounds elements [start, start + length) of the sum at a node, in place.
   * @param at byte offset of element `start`
   * @param start a multiple of 256
   */
  round(node: number, at: number, start: number, length: number): void {
    const { format, numWeights } = this.#terms;
    const count = Math.min(length, numWeights - start);
    if (format === 'fp32' || count <= 0) return;
    const [key0, key1] = this.#keysOf(node);
    if (format === 'fp16') this.#kernels.round16(at, count, start, key0, key1);
    else this.#kernels.round8(at, count, start, key0, key1);
  }

  #keysOf(node: number): readonly [number, number] {
    let keys = this.#keys.get(node);
    if (!keys) {
      const stream = new RandomStream(this.#terms.seed, purposes.rounding, this.#terms.runStep, node, 0);
      keys = [stream.uint32(), stream.uint32()];
      this.#keys.set(node, keys);
    }
    return keys;
  }
}

/**
 * Packs a slice of a vector that was rounded.
 * @param into byte offset of {@link slicedBytes} bytes that do not overlap the vector
 * @param vector byte offset of the whole vector
 */
export function pack(
  kernels: KernelFunctions,
  format: WireFormat,
  into: number,
  vector: number,
  numWeights: number,
  slice: Range,
): void {
  const { from, to } = slice;
  const at = vector + from * 4;
  if (format === 'fp32') {
    kernels.copy(into, at, to - from);
    return;
  }
  const count = weightsIn(numWeights, slice);
  const end = kernelsOf(kernels, format).packing(into, at, count);
  kernels.copy(end, at + count * 4, to - from - count);
}

/** Undoes {@link pack}. Bytes that no packing wrote give some values, perhaps NaN. */
export function unpack(
  kernels: KernelFunctions,
  format: WireFormat,
  vector: number,
  packed: number,
  numWeights: number,
  slice: Range,
): void {
  const { from, to } = slice;
  const at = vector + from * 4;
  if (format === 'fp32') {
    kernels.copy(at, packed, to - from);
    return;
  }
  const count = weightsIn(numWeights, slice);
  const end = kernelsOf(kernels, format).unpacking(at, packed, count);
  kernels.copy(at + count * 4, end, to - from - count);
}

/** Of a format that rounds: both directions of its kernel, each of which returns the byte offset behind the packed side. */
function kernelsOf(kernels: KernelFunctions, format: Exclude<WireFormat, 'fp32'>) {
  return format === 'fp16'
    ? { packing: kernels.pack16, unpacking: kernels.unpack16 }
    : { packing: kernels.pack8, unpacking: kernels.unpack8 };
}
