/** Vectors in a pool's memory as they travel: rounded, packed, and back. */
import {
  changeFormat,
  invariant,
  type KernelFunctions,
  type ParameterLayout,
  pack,
  packedBytes,
  type RoundingTerms,
  type SparseSums,
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
   * A vector that was rounded, packed; as float32 it is a view into the memory.
   * @param at its byte offset @param length in elements
   */
  pack(at: number, wire: WireFormat, length: number): Uint8Array {
    if (wire === 'fp32') return this.#bytes(at, length * 4);
    const { numWeights } = this.#layout;
    pack(this.#kernels, wire, this.#scratch, at, numWeights, length);
    return this.#bytes(this.#scratch, packedBytes(wire, numWeights, length)).slice();
  }

  /** Puts a packed vector of `length` elements at `at`. */
  unpack(at: number, bytes: Uint8Array, wire: WireFormat, length: number): void {
    const { numWeights } = this.#layout;
    invariant(bytes.length === packedBytes(wire, numWeights, length), `${bytes.length} bytes hold ${length} values`);
    const from = wire === 'fp32' ? at : this.#scratch;
    this.#bytes(from, bytes.length).set(bytes);
    if (wire !== 'fp32') unpack(this.#kernels, wire, at, from, numWeights, length);
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
   * @param bytes the change, packed
   */
  applyChange(into: number, before: number, change: number, bytes: Uint8Array, wire: WireFormat): void {
    const { numWeights, numParameters } = this.#layout;
    this.unpack(change, bytes, wire, numParameters);
    this.#kernels.add(into, before, change, numWeights);
    this.#kernels.copy(into + numWeights * 4, change + numWeights * 4, numParameters - numWeights);
  }

  #bytes(at: number, length: number): Uint8Array {
    return new Uint8Array(this.#memory.buffer, at, length);
  }
}
