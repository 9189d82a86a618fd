import { describe, expect, it } from 'vitest';
import { loadKernels, Region } from './kernels.ts';
import { purposes, RandomStream } from './random.ts';
import { numEntries, packSparse, type SparseSums, unpackSparse } from './sparse.ts';

const LENGTH = 5000;
const region = new Region();
const [vectorAt, indicesAt, takenAt] = [region.floats(LENGTH), region.floats(LENGTH), region.floats(LENGTH)];
const countsAt = region.bytes(2048 * 4);
const memory = region.allocate('private');
const kernels = loadKernels(memory);

/** What is taken of the values, and what is left of them. */
function take(given: ArrayLike<number>, count: number) {
  const rest = new Float32Array(memory.buffer, vectorAt, given.length);
  rest.set(given);
  kernels.takeLargest(vectorAt, given.length, count, indicesAt, takenAt, countsAt);
  const indices = new Uint32Array(memory.buffer, indicesAt, count).slice();
  return { indices, values: new Float32Array(memory.buffer, takenAt, count).slice(), rest: rest.slice() };
}

/** Values of all magnitudes, those of numbers too small to be normal included. */
function noise(seed: number, spread: number): Float32Array {
  const random = new RandomStream(seed, purposes.jitter, 0, 0, 0);
  return Float32Array.from({ length: LENGTH }, () => random.normal() * 10 ** (spread * random.normal()));
}

describe('taking the largest values', () => {
  it.each([0, 1, 15])('takes those that a sort finds, and leaves all others as they are (spread %i)', (spread) => {
    for (const count of [1, 2, 49, 50, 1000, LENGTH - 1, LENGTH]) {
      const given = noise(count, spread);
      const sorted = [...given.keys()].sort((a, b) => Math.abs(given[b]!) - Math.abs(given[a]!) || a - b);
      const expected = sorted.slice(0, count).sort((a, b) => a - b);
      const { indices, values, rest } = take(given, count);
      expect([...indices]).toEqual(expected);
      expect([...values]).toEqual(expected.map((index) => given[index]));
      const left = given.slice();
      for (const index of expected) left[index] = 0;
      expect(rest).toEqual(left);
    }
  });

  it('takes the first of equal magnitudes, whatever their sign', () => {
    expect([...take([1, -2, 2, -1, 2, 3], 3).indices]).toEqual([1, 2, 5]);
    expect([...take([0, -0, 0, 0], 2).indices]).toEqual([0, 1]);
    expect([...take([5, 5, 5, -5, 5], 4).indices]).toEqual([0, 1, 2, 3]);
  });

  it('takes NaN and infinities before all others, so that they are seen', () => {
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      const given = noise(1, 1);
      given[4321] = bad;
      expect([...take(given, 1).values]).toEqual([bad]);
    }
  });
});

const sums = (indices: readonly number[], tail: readonly number[] = [0.5, 7, 100]): SparseSums => ({
  indices: Uint32Array.from(indices),
  values: Float32Array.from(indices, (index) => index * -0.3),
  tail: Float32Array.from(tail),
});

describe('sparse sums', () => {
  const numWeights = 2_000_000;
  const length = numWeights + 3;

  it.each([
    ['side by side', [0, 1, 2]],
    ['far apart', [127, 256, 16_640, 16_640 + 2 ** 14, 1_999_999]],
    ['one', [1_999_999]],
  ])('come back from their bytes: %s', (_, indices) => {
    const given = sums(indices);
    // They may begin at any byte of what came.
    const bytes = Buffer.concat([Buffer.alloc(1), packSparse(given)]).subarray(1);
    expect(unpackSparse(bytes, indices.length, numWeights, length)).toEqual(given);
  });

  it('take little more than five bytes for each of a hundredth of the weights', () => {
    const count = numEntries(0.01, numWeights);
    expect(count).toBe(20_000);
    const random = new RandomStream(2, purposes.jitter, 0, 0, 0);
    const indices = [...new Set(Array.from({ length: count }, () => random.below(numWeights)))].sort((a, b) => a - b);
    expect(packSparse(sums(indices)).length / indices.length).toBeLessThan(5.4);
  });

  it('are refused when they are not so many, or go beyond the weights', () => {
    const given = sums([3, 500, 1000]);
    const bytes = packSparse(given);
    expect(unpackSparse(bytes, 3, 1001, 1004)).toEqual(given);
    expect(unpackSparse(bytes, 3, 1000, 1003)).toBeUndefined();
    expect(unpackSparse(bytes, 2, 1001, 1004)).toBeUndefined();
    expect(unpackSparse(bytes, 4, 1001, 1004)).toBeUndefined();
    expect(unpackSparse(bytes, 3, 1001, 1005)).toBeUndefined();
    for (let end = 0; end < bytes.length; end++) {
      expect(unpackSparse(bytes.subarray(0, end), 3, 1001, 1004)).toBeUndefined();
    }
    expect(unpackSparse(Buffer.concat([bytes, Buffer.alloc(1)]), 3, 1001, 1004)).toBeUndefined();
  });

  it('are refused when an index has no end', () => {
    const endless = Buffer.concat([packSparse(sums([0])).subarray(0, 16), Buffer.alloc(5, 0x80)]);
    expect(unpackSparse(endless, 1, 1001, 1004)).toBeUndefined();
    const huge = Buffer.concat([packSparse(sums([0])).subarray(0, 16), Buffer.from([255, 255, 255, 255, 127])]);
    expect(unpackSparse(huge, 1, 1001, 1004)).toBeUndefined();
  });

  it('are never read as anything else than ascending indices of weights, whatever the bytes', () => {
    const random = new RandomStream(3, purposes.jitter, 0, 0, 0);
    let numRead = 0;
    for (let i = 0; i < 20_000; i++) {
      const bytes = Uint8Array.from({ length: 28 + random.below(8) }, () => random.below(random.below(2) ? 256 : 100));
      const read = unpackSparse(bytes, 4, 300, 303);
      if (!read) continue;
      numRead++;
      expect(read.indices.every((index, at) => index < 300 && (at === 0 || index > read.indices[at - 1]!))).toBe(true);
    }
    expect(numRead).toBeGreaterThan(100);
  });
});

it('sends at least one entry', () => {
  expect(numEntries(1e-9, 1000)).toBe(1);
  expect(numEntries(0.999_999, 1000)).toBe(1000);
});
