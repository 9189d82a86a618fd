import { describe, expect, it } from 'vitest';
import { Gatherer } from './gather.ts';

describe('Gatherer', () => {
  it.each([784, 30])('copies the samples that are asked for, of %i bytes each', (size) => {
    const images = new Uint8Array(new SharedArrayBuffer(20 * size));
    const labels = new Uint8Array(new SharedArrayBuffer(20));
    images.forEach((_, i) => {
      images[i] = (i * 7) % 251;
    });
    labels.forEach((_, i) => {
      labels[i] = i % 10;
    });
    const gatherer = new Gatherer({ images, labels, count: 20 }, size, 4);
    for (const indices of [[3, 0, 19], [7], [], [5, 5, 6, 1]]) {
      const batch = gatherer.gather(Uint32Array.from(indices));
      expect(batch.count).toBe(indices.length);
      indices.forEach((sample, i) => {
        expect(batch.labels[i]).toBe(sample % 10);
        expect(batch.images.subarray(i * size, (i + 1) * size)).toEqual(
          Uint8Array.from(images.subarray(sample * size, (sample + 1) * size)),
        );
      });
    }
  });
});
