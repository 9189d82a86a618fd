import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { classCounts } from './dataset.ts';
import { syntheticDataset } from './synthetic.ts';

const small = { seed: 0, numTrain: 500, numTest: 100 };
const hash = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

describe('syntheticDataset', () => {
  it('generates the same bytes everywhere and always', () => {
    const data = syntheticDataset(small);
    expect(data.sha256).toBe('d7c4fd17fb262b5d81d5f723b5d2d315967c6a0f9b0691c2921c07cdd4637fdd');
    expect(syntheticDataset(small).sha256).toBe(data.sha256);
  });

  it('has the shapes, and every class equally often', () => {
    const { train, test, classNames, imageShape, source } = syntheticDataset(small);
    expect([train.images.length, train.labels.length, train.count]).toEqual([500 * 784, 500, 500]);
    expect([test.images.length, test.labels.length, test.count]).toEqual([100 * 784, 100, 100]);
    expect(imageShape).toEqual([28, 28, 1]);
    expect(source).toBe('generated');
    expect(classCounts(train, classNames)).toEqual(classNames.map((name) => ({ name, count: 50 })));
    expect(train.images.buffer).toBeInstanceOf(SharedArrayBuffer);
    expect(train.labels.buffer).toBeInstanceOf(SharedArrayBuffer);
  });

  it('makes a smaller split a prefix of a larger one', () => {
    const prefix = syntheticDataset({ ...small, numTrain: 123 }).train;
    const { train } = syntheticDataset(small);
    expect(hash(prefix.images)).toBe(hash(train.images.subarray(0, 123 * 784)));
    expect(hash(prefix.labels)).toBe(hash(train.labels.subarray(0, 123)));
  });

  it('draws other pictures for another seed and for the other split, and no picture twice', () => {
    const { train, test } = syntheticDataset(small);
    const other = syntheticDataset({ ...small, seed: 1 }).train;
    expect(hash(other.images)).not.toBe(hash(train.images));
    const pictures = new Set<string>();
    for (const split of [train, test, other]) {
      for (let i = 0; i < split.count; i++) pictures.add(hash(split.images.subarray(i * 784, (i + 1) * 784)));
    }
    expect(pictures.size).toBe(1100);
  });

  it('draws garments: cloth in the middle, nothing around it, details within', () => {
    const { train } = syntheticDataset(small);
    for (let i = 0; i < train.count; i++) {
      const picture = train.images.subarray(i * 784, (i + 1) * 784);
      const covered = picture.filter((value) => value > 0).length / 784;
      expect(covered, `image ${i}, class ${train.labels[i]}`).toBeGreaterThan(0.05);
      expect(covered, `image ${i}, class ${train.labels[i]}`).toBeLessThan(0.85);
      expect(new Set(picture).size).toBeGreaterThan(8);
    }
  });

  it('can be told apart, though not with ease: the nearest mean picture is right in about two cases of three', () => {
    const { train, test } = syntheticDataset({ seed: 0, numTrain: 3000, numTest: 1000 });
    const means = Array.from({ length: 10 }, () => new Float64Array(784));
    for (let i = 0; i < train.count; i++) {
      const mean = means[train.labels[i]!]!;
      for (let p = 0; p < 784; p++) mean[p]! += train.images[i * 784 + p]! / 300;
    }
    let right = 0;
    for (let i = 0; i < test.count; i++) {
      const distances = means.map((mean) =>
        mean.reduce((sum, value, p) => sum + (value - test.images[i * 784 + p]!) ** 2, 0),
      );
      if (distances.indexOf(Math.min(...distances)) === test.labels[i]) right += 1;
    }
    expect(right / test.count).toBeGreaterThan(0.5);
    expect(right / test.count).toBeLessThan(0.8);
  });

  it('refuses an empty split', () => {
    expect(() => syntheticDataset({ ...small, numTest: 0 })).toThrow(/split of 0 images/);
  });
});
