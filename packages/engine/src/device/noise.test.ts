import { expect, it } from 'vitest';
import { parseTopology } from '../topology/parse.ts';
import { zoo } from '../zoo/recipes.ts';
import { noiseSamples } from './noise.ts';

it('half of a picture is black, the other half is not, and all classes occur', () => {
  const { count, images, labels } = noiseSamples(parseTopology(zoo.mlp.topology), 20);
  expect([count, images.length, labels.length]).toEqual([20, 20 * 784, 20]);
  for (let at = 0; at < images.length; at += 28) {
    expect(images.subarray(at, at + 14).every((pixel) => pixel === 0)).toBe(true);
    expect(new Set(images.subarray(at + 14, at + 28)).size).toBeGreaterThan(5);
  }
  expect(new Set(labels).size).toBe(10);
});
