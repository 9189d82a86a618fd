import { describe, expect, it } from 'vitest';
import type { Engine, Samples } from './engine.ts';
import type { Network } from './topology/network.ts';
import { describeViews, evaluateViews, PLAIN_VIEW, predictViews } from './views.ts';

/** Pictures of 1 x 2 and two classes: how bright the left pixel is, of 255, is how probable the first class is. */
const network = { inputShape: [1, 2, 1], numClasses: 2 } as unknown as Network;
const engine = {
  async predict({ count, images }: Samples, probabilities: Float32Array) {
    for (let i = 0; i < count; i++) probabilities.set([images[2 * i]! / 255, 1 - images[2 * i]! / 255], 2 * i);
  },
} as Engine;
// With more behind the last sample, as in a partition.
const samples = {
  count: 3,
  images: Uint8Array.of(255, 51, 0, 102, 0, 0, 9, 9),
  labels: Uint8Array.of(0, 0, 0, 1),
};

const bothWays = { flip: true, shift: 0 };

describe('views', () => {
  it('predicts the mean of a picture and its mirror image, and leaves the pictures alone', async () => {
    const before = samples.images.slice();
    const probabilities = new Float32Array(6);
    await predictViews(engine, network, samples, bothWays, probabilities);
    expect([...probabilities].map((value) => Math.round(value * 100))).toEqual([60, 40, 20, 80, 0, 100]);
    expect(samples.images).toEqual(before);
  });

  it('evaluates by that mean, with a finite loss', async () => {
    const { lossSum, numCorrect, predictions } = await evaluateViews(engine, network, samples, bothWays);
    expect(predictions).toEqual(Uint8Array.of(0, 1, 1));
    expect(numCorrect).toBe(1);
    expect(lossSum).toBeCloseTo(-Math.log(0.6) - Math.log(0.2) + 126 * Math.log(2), 5);
  });

  it('moves pictures and mirror images both ways, with black coming in', async () => {
    // The pixel that the engine looks at, of a picture with 255, 51 and of its mirror image: in place; from the right below,
    // which is black; from the left above, likewise.
    const probabilities = new Float32Array(6);
    await predictViews(engine, network, samples, { flip: true, shift: 1 }, probabilities);
    expect(probabilities[0]).toBeCloseTo((1 + 0.2) / 6, 6);
    await predictViews(engine, network, samples, { flip: false, shift: 1 }, probabilities);
    expect(probabilities[0]).toBeCloseTo(1 / 3, 6);
  });

  it('leaves a picture alone to the engine', async () => {
    const evaluation = { lossSum: 1, numCorrect: 2, predictions: new Uint8Array(3) };
    const evaluating = { evaluate: async () => evaluation } as unknown as Engine;
    expect(await evaluateViews(evaluating, network, samples, PLAIN_VIEW)).toBe(evaluation);
    expect(describeViews(PLAIN_VIEW)).toBeUndefined();
  });
});
