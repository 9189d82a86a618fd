/** Vectors in a pool's memory as they travel: rounded, packed, and back. */
import {
  changeFormat,
  invariant,
  type KernelFunctions,
  type ParameterLayout,
  pack,
  type Range,
  type RoundingTerms,
  type SparseSums,
  slicedBytes,
  unpack,
  type WireFormat,
} from '@lockstep/core';
import type { StepPosition } from './tasks.ts';

/** How the change is rounded to which a step leads; undefined where it is not. */
export function changeTerms(
  { wire, runStep }: StepPosition,
  seed: number,
  { numWeights }: Pick<ParameterLayout, 'numWeights'>,
): RoundingTerms | undefined {
  return wire === 'fp32' ? undefined : { format: changeFormat(wire), seed, runStep, numWeights };
}

/** How the sums of a step are rounded, which is how their change is, but with `topk`; undefined where nothing is. */
export const roundingTerms: typeof changeTerms = (step, seed, layout) =>
  step.wire === 'topk' ? undefined : changeTerms(step, seed, layout);

export class PackedVectors {
  readonly #memory: WebAssembly.Memory;
  readonly #kernels: KernelFunctions;
  readonly #layout: ParameterLayout;
  readonly #scratch: number;

  /** @param scratch byte offset of room for one packed vector, at most a sum vector of float32 */
  constructor(memory: WebAssembly.Memory, kernels: KernelFunctions, layout: ParameterLayout, scratch: number) {
    this.#memory = memory;
    this.#kernels = kernels;
    this.#layout = layout;
    this.#scratch = scratch;
  }

  /**
   * A slice of a vector that was rounded, packed; as float32 it is a view into the memory.
   * @param at byte offset of the vector
   */
  pack(at: number, wire: WireFormat, slice: Range): Uint8Array {
    const { from, to } = slice;
    if (wire === 'fp32') return this.#bytes(at + from * 4, (to - from) * 4);
    const { numWeights } = this.#layout;
    pack(this.#kernels, wire, this.#scratch, at, numWeights, slice);
    return this.#bytes(this.#scratch, slicedBytes(wire, numWeights, slice)).slice();
  }

  /** Puts a packed slice of the vector at `at` into its place. */
  unpack(at: number, bytes: Uint8Array, wire: WireFormat, slice: Range): void {
    const { numWeights } = this.#layout;
    const expected = slicedBytes(wire, numWeights, slice);
    invariant(bytes.length === expected, `${bytes.length} bytes in place of ${expected}`);
    const from = wire === 'fp32' ? at + slice.from * 4 : this.#scratch;
    this.#bytes(from, bytes.length).set(bytes);
    if (wire !== 'fp32') unpack(this.#kernels, wire, at, from, numWeights, slice);
  }

  /** Puts a vector of `length` elements at `at` of which only some are not zero. */
  scatter(at: number, { indices, values, tail }: SparseSums, length: number): void {
    const vector = new Float32Array(this.#memory.buffer, at, length);
    vector.fill(0);
    for (const [i, index] of indices.entries()) vector[index] = values[i]!;
    vector.set(tail, this.#layout.numWeights);
  }

  /**
   * Computes parameters from those of the step before: weights are moved, statistics replaced.
   * @param into byte offset of the new ones @param before of the old ones @param change of a vector that is overwritten
   * @param bytes a slice of the change, packed
   */
  applyChange(into: number, before: number, change: number, bytes: Uint8Array, wire: WireFormat, slice: Range): void {
    this.unpack(change, bytes, wire, slice);
    const { from, to } = slice;
    const end = Math.min(Math.max(this.#layout.numWeights, from), to);
    this.#kernels.add(into + from * 4, before + from * 4, change + from * 4, end - from);
    this.#kernels.copy(into + end * 4, change + end * 4, to - end);
  }

  #bytes(at: number, length: number): Uint8Array {
    return new Uint8Array(this.#memory.buffer, at, length);
  }
}
