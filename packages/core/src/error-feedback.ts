/**
 * What a worker sends in the format `topk`, and what stays behind. Of its sum of gradients, to which it adds what it held back
 * before, it sends the entries of largest magnitude; the rest is the new residual, once it is known that the result counts
 * (Seide et al., "1-bit stochastic gradient descent", Interspeech 2014; Stich et al., "Sparsified SGD with memory", 2018).
 * It has a memory of its own, so that it works with the pool of any platform.
 */
import { invariant } from './errors.ts';
import { type KernelFunctions, loadKernels, Region } from './kernels.ts';
import type { ParameterLayout } from './layout.ts';
import { packSparse } from './sparse.ts';

const COUNTS_BYTES = 2048 * 4;

export class ErrorFeedback {
  readonly #layout: Pick<ParameterLayout, 'numWeights' | 'sumLength'>;
  readonly #kernels: KernelFunctions;
  readonly #memory: WebAssembly.Memory;
  readonly #numEntries: number;
  /** Byte offset of what is held back, in its first `numWeights` elements. */
  #held: number;
  /** Of what will be, when the result that was packed last counts. */
  #next: number;
  /** Of one more sum vector. */
  readonly #other: number;
  readonly #indices: number;
  readonly #taken: number;
  readonly #counts: number;
  /** Samples of a step like the one from which all is held back: its unit. */
  #stepSize: number | undefined;
  #isPending = false;

  /** @param numEntries that are sent of each sum, at most the number of weights */
  constructor(layout: Pick<ParameterLayout, 'numWeights' | 'sumLength'>, numEntries: number) {
    this.#layout = layout;
    this.#numEntries = numEntries;
    const region = new Region();
    this.#held = region.floats(layout.sumLength);
    this.#next = region.floats(layout.sumLength);
    this.#other = region.floats(layout.sumLength);
    this.#indices = region.floats(numEntries);
    this.#taken = region.floats(numEntries);
    this.#counts = region.bytes(COUNTS_BYTES);
    this.#memory = region.allocate('private');
    this.#kernels = loadKernels(this.#memory);
  }

  /** [numWeights] What is held back: in the unit of sums over samples, as of the step that was packed last. A view. */
  get residual(): Float32Array {
    return this.#view(this.#held, this.#layout.numWeights);
  }

  /**
   * Adds the sums of a result's nodes and what is held back, and packs what is sent of it. The result before it must be settled.
   * @param sums sum vectors, float32 @param stepSize samples of the whole step: its gradients will be divided by them
   */
  pack(sums: readonly Uint8Array[], stepSize: number): Uint8Array {
    invariant(!this.#isPending, 'it is known whether the result before counts');
    const { numWeights, sumLength } = this.#layout;
    const [first, ...others] = sums;
    this.#put(this.#next, first!);
    for (const sum of others) {
      this.#put(this.#other, sum);
      this.#kernels.add(this.#next, this.#next, this.#other, sumLength);
    }
    this.#rescale(stepSize);
    this.#kernels.add(this.#next, this.#next, this.#held, numWeights);
    this.#kernels.takeLargest(this.#next, numWeights, this.#numEntries, this.#indices, this.#taken, this.#counts);
    this.#isPending = true;
    return packSparse({
      indices: new Uint32Array(this.#memory.buffer, this.#indices, this.#numEntries),
      values: this.#view(this.#taken, this.#numEntries),
      tail: this.#view(this.#next + numWeights * 4, sumLength - numWeights),
    });
  }

  /** @param taken whether the result that was packed last counts; else somebody else computes its samples */
  settle(taken: boolean): void {
    invariant(this.#isPending, 'a result was packed');
    this.#isPending = false;
    if (taken) [this.#held, this.#next] = [this.#next, this.#held];
  }

  /** A short step, at the end of an epoch, is divided by fewer samples: what is held back must not weigh more in it. */
  #rescale(stepSize: number): void {
    const factor = stepSize / (this.#stepSize ?? stepSize);
    this.#stepSize = stepSize;
    if (factor === 1) return;
    const { residual } = this;
    for (let i = 0; i < residual.length; i++) residual[i]! *= factor;
  }

  #put(at: number, sum: Uint8Array): void {
    new Uint8Array(this.#memory.buffer, at, this.#layout.sumLength * 4).set(sum);
  }

  #view(at: number, length: number): Float32Array {
    return new Float32Array(this.#memory.buffer, at, length);
  }
}
