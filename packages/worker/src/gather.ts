/** Copies scattered samples out of shared memory into one batch. */
import type { KernelFunctions } from '@lockstep/core';
import type { Samples } from '@lockstep/engine';
import type { ThreadSetup } from './job.ts';

/** What is used of a thread's setup. */
type GatherSetup = Pick<ThreadSetup, 'memory' | 'trainLabels'> & {
  readonly layout: Pick<ThreadSetup['layout'], 'images' | 'staging'>;
};

/**
 * A batch of its own for one thread. The pictures are collected inside the shared memory, by a loop that costs little more
 * than waiting for them, and then copied out as one: engines refuse shared memory.
 */
export class Gatherer {
  readonly #setup: GatherSetup;
  readonly #kernels: KernelFunctions;
  readonly #sampleSize: number;
  readonly #images: Uint8Array;
  readonly #labels: Uint8Array;

  /** @param sampleSize bytes of one picture */
  constructor(setup: GatherSetup, kernels: KernelFunctions, sampleSize: number, maxBatchSize: number) {
    this.#setup = setup;
    this.#kernels = kernels;
    this.#sampleSize = sampleSize;
    this.#images = new Uint8Array(maxBatchSize * sampleSize);
    this.#labels = new Uint8Array(maxBatchSize);
  }

  /**
   * The training samples at these places. The arrays are used again by the next call.
   * @param share whose staging memory to use
   */
  gather(indices: Uint32Array, share: number): Samples {
    const { memory, trainLabels, layout } = this.#setup;
    const staging = layout.staging[share]!;
    const count = indices.length;
    new Uint32Array(memory.buffer, staging.indices, count).set(indices);
    this.#kernels.gather(staging.images, layout.images, staging.indices, count, this.#sampleSize);
    this.#images.set(new Uint8Array(memory.buffer, staging.images, count * this.#sampleSize));
    for (let i = 0; i < count; i++) this.#labels[i] = trainLabels[indices[i]!]!;
    return { count, images: this.#images, labels: this.#labels };
  }
}
