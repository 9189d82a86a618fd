/** Copies scattered samples out of shared memory into one batch. */
import type { Samples } from '@lockstep/engine';
import type { SharedSplit } from './job.ts';

export class Gatherer {
  readonly #split: SharedSplit;
  readonly #sampleSize: number;
  readonly #images: Uint8Array;
  readonly #labels: Uint8Array;

  /** @param sampleSize bytes of one picture */
  constructor(split: SharedSplit, sampleSize: number, maxBatchSize: number) {
    this.#split = split;
    this.#sampleSize = sampleSize;
    this.#images = new Uint8Array(maxBatchSize * sampleSize);
    this.#labels = new Uint8Array(maxBatchSize);
  }

  /** The samples at these places of the split. The arrays are used again by the next call. */
  gather(indices: Uint32Array): Samples {
    const { images, labels } = this.#split;
    const size = this.#sampleSize;
    for (let i = 0; i < indices.length; i++) {
      const sample = indices[i]!;
      this.#labels[i] = labels[sample]!;
      this.#images.set(images.subarray(sample * size, (sample + 1) * size), i * size);
    }
    return { count: indices.length, images: this.#images, labels: this.#labels };
  }
}
