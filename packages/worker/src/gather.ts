/** Copies scattered samples out of shared memory into one batch. */
import type { Samples } from '@lockstep/engine';
import type { SharedSplit } from './job.ts';

const WORD_BYTES = 4;

export class Gatherer {
  readonly #split: SharedSplit;
  readonly #sampleSize: number;
  readonly #images: Uint8Array;
  readonly #labels: Uint8Array;
  /** Source and batch as words, when samples are whole words: copying those in a loop beats a call per sample. */
  /** Keeps the reads of `#touch` from being optimized away. */
  touched = 0;
  readonly #words: { readonly from: Int32Array; readonly to: Int32Array } | undefined;

  /** @param sampleSize bytes of one picture */
  constructor(split: SharedSplit, sampleSize: number, maxBatchSize: number) {
    this.#split = split;
    this.#sampleSize = sampleSize;
    this.#images = new Uint8Array(maxBatchSize * sampleSize);
    this.#labels = new Uint8Array(maxBatchSize);
    const { buffer, byteOffset, byteLength } = split.images;
    if (sampleSize % WORD_BYTES === 0 && byteOffset % WORD_BYTES === 0) {
      this.#words = {
        from: new Int32Array(buffer, byteOffset, Math.floor(byteLength / WORD_BYTES)),
        to: new Int32Array(this.#images.buffer),
      };
    }
  }

  /** The samples at these places of the split. The arrays are used again by the next call. */
  gather(indices: Uint32Array): Samples {
    const { images, labels } = this.#split;
    const size = this.#sampleSize;
    const words = this.#words;
    if (words) this.#touch(indices, words.from);
    for (let i = 0; i < indices.length; i++) {
      const sample = indices[i]!;
      this.#labels[i] = labels[sample]!;
      if (words)
        copyWords(words.from, (sample * size) / WORD_BYTES, words.to, (i * size) / WORD_BYTES, size / WORD_BYTES);
      else this.#images.set(images.subarray(sample * size, (sample + 1) * size), i * size);
    }
    return { count: indices.length, images: this.#images, labels: this.#labels };
  }

  /** Reads a word of every cache line that is about to be copied: the processor then waits for many of them at once. */
  #touch(indices: Uint32Array, words: Int32Array): void {
    const length = this.#sampleSize / WORD_BYTES;
    let seen = 0;
    for (const sample of indices) {
      const end = (sample + 1) * length;
      for (let at = sample * length; at < end; at += LINE_WORDS) seen ^= words[at]!;
    }
    this.touched = seen;
  }
}

/** Words per cache line. */
const LINE_WORDS = 16;

function copyWords(from: Int32Array, fromAt: number, to: Int32Array, toAt: number, length: number): void {
  for (let i = 0; i < length; i++) to[toAt + i] = from[fromAt + i]!;
}
