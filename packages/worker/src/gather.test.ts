import { loadKernels, Region } from '@lockstep/core';
import { describe, expect, it } from 'vitest';
import { Gatherer } from './gather.ts';

describe('Gatherer', () => {
  it.each([784, 30])('copies the samples that are asked for, of %i bytes each', (size) => {
    const region = new Region();
    const images = region.bytes(20 * size);
    const staging = [0, 1].map(() => ({ indices: region.bytes(4 * 4), images: region.bytes(4 * size) }));
    const memory = region.allocate('shared');
    const pictures = new Uint8Array(memory.buffer, images, 20 * size);
    pictures.forEach((_, i) => {
      pictures[i] = (i * 7) % 251;
    });
    const trainLabels = Uint8Array.from({ length: 20 }, (_, i) => i % 10);
    const gatherer = new Gatherer({ memory, trainLabels, layout: { images, staging } }, loadKernels(memory), size, 4);
    for (const indices of [[3, 0, 19], [7], [], [5, 5, 6, 1]]) {
      const batch = gatherer.gather(Uint32Array.from(indices), 1);
      expect(batch.count).toBe(indices.length);
      indices.forEach((sample, i) => {
        expect(batch.labels[i]).toBe(sample % 10);
        expect(batch.images.subarray(i * size, (i + 1) * size)).toEqual(
          Uint8Array.from(pictures.subarray(sample * size, (sample + 1) * size)),
        );
      });
    }
  });
});
