/** Seeded parameters, pictures and dropout masks for the contract suite. */
import { initializeParameters, purposes, RandomStream } from '@lockstep/core';
import { fillDropoutMask } from '../dropout.ts';
import type { RandomKey, Samples } from '../engine.ts';
import { type Network, numElements } from '../topology/network.ts';

export const randomStream = (seed: number): RandomStream => new RandomStream(seed, purposes.jitter, 0, 0, 0);

/** Initial values, with biases, scales and statistics moved off their zeros and ones, so that each of them matters. */
export function randomParameters({ layout }: Network, seed: number): Float32Array {
  const flat = new Float32Array(layout.numParameters);
  initializeParameters(layout, seed, flat);
  const random = randomStream(seed);
  for (const parameter of layout.parameters) {
    if (parameter.decays) continue;
    const view = layout.view(flat, parameter);
    for (let i = 0; i < view.length; i++) {
      view[i] = parameter.name.endsWith('variance') ? 0.5 + random.uniform() : view[i]! + 0.3 * random.normal();
    }
  }
  return flat;
}

/** Of odd seeds, pixels darker than this are black: engines may leave them out. */
const BLACK_BELOW = 160;

/**
 * Random pictures, of which every second one has a constant lower half; of odd seeds, most pixels are black. Both arrays are
 * views into larger ones and go on behind the last sample, as those of a dataset's partition do.
 */
export function randomSamples({ inputShape, numClasses }: Network, count: number, seed: number): Samples {
  const random = randomStream(seed);
  const pictureSize = numElements(inputShape);
  const images = new Uint8Array(3 + (count + 2) * pictureSize).subarray(3);
  const labels = new Uint8Array(5 + count + 2).subarray(5);
  for (let n = 0; n < count + 2; n++) {
    const pixel = (): number => {
      const value = random.below(256);
      return seed % 2 === 1 && value < BLACK_BELOW ? 0 : value;
    };
    const constant = pixel();
    for (let i = 0; i < pictureSize; i++) {
      const flat = n % 2 === 1 && i >= pictureSize / 2;
      images[n * pictureSize + i] = flat ? constant : pixel();
    }
    labels[n] = random.below(numClasses);
  }
  return { count, images, labels };
}

/** The masks that an engine draws for this micro-batch, by dropout layer. */
export function dropoutMasks({ dropouts }: Network, count: number, key: RandomKey): Uint8Array[] {
  return dropouts.map(({ rate, size }, index) => {
    const mask = new Uint8Array(count * size);
    fillDropoutMask(rate, key, index, mask);
    return mask;
  });
}
