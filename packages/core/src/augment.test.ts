import { describe, expect, it } from 'vitest';
import { type Augmentation, augment, isAugmented, mirror } from './augment.ts';
import { purposes, RandomStream } from './random.ts';

type Shape = readonly [number, number, number];
const GREY: Shape = [28, 28, 1];
const NOTHING: Augmentation = { flip: false, shift: 0, erase: 0 };

function pictures(count: number, [height, width, channels]: Shape): Uint8Array {
  const random = new RandomStream(1, purposes.jitter, 0, 0, 0);
  return new Uint8Array(count * height * width * channels).map(() => 1 + random.below(255));
}

function changed(count: number, shape: Shape, how: Partial<Augmentation>, indices?: readonly number[], epoch = 0) {
  const before = pictures(count, shape);
  const after = before.slice();
  const places = Uint32Array.from(indices ?? Array.from({ length: count }, (_, i) => i));
  augment(after, shape, places, { ...NOTHING, ...how }, 7, epoch);
  const size = shape[0] * shape[1] * shape[2];
  const split = (all: Uint8Array) => Array.from({ length: count }, (_, i) => all.slice(i * size, (i + 1) * size));
  return { before: split(before), after: split(after) };
}

/** The picture moved, slowly; what comes in is zero. */
function moved(picture: Uint8Array, [height, width, channels]: Shape, down: number, right: number): Uint8Array {
  return picture.map((_, i) => {
    const [y, x] = [Math.floor(i / (width * channels)) - down, (Math.floor(i / channels) % width) - right];
    const isInside = y >= 0 && y < height && x >= 0 && x < width;
    return isInside ? picture[(y * width + x) * channels + (i % channels)]! : 0;
  });
}

function mirrored(picture: Uint8Array, [, width, channels]: Shape): Uint8Array {
  return picture.map((_, i) => {
    const row = Math.floor(i / (width * channels)) * width * channels;
    const x = Math.floor(i / channels) % width;
    return picture[row + (width - 1 - x) * channels + (i % channels)]!;
  });
}

describe('augment', () => {
  it.each([GREY, [5, 7, 3]] as Shape[])('mirrors about every second picture of %i x %i x %i', (...shape) => {
    const { before, after } = changed(400, shape, { flip: true });
    const isFlipped = after.map((picture, i) => Buffer.compare(picture, before[i]!) !== 0);
    after.forEach((picture, i) => {
      if (isFlipped[i]) expect(picture).toEqual(mirrored(before[i]!, shape));
    });
    const count = isFlipped.filter(Boolean).length;
    expect(count).toBeGreaterThan(150);
    expect(count).toBeLessThan(250);
  });

  it('mirrors in every second epoch, each picture by its own count', () => {
    const sides = [0, 1, 2, 3].map((epoch) => {
      const { before, after } = changed(400, GREY, { flip: true }, undefined, epoch);
      return after.map((picture, i) => Buffer.compare(picture, before[i]!) !== 0);
    });
    expect(sides[1]).toEqual(sides[0]!.map((isFlipped) => !isFlipped));
    expect(sides[2]).toEqual(sides[0]);
    expect(sides[3]).toEqual(sides[1]);
  });

  it.each([GREY, [5, 7, 3]] as Shape[])('moves each picture of %i x %i x %i by up to so many pixels', (...shape) => {
    const { before, after } = changed(300, shape, { shift: 2 });
    const seen = new Map<string, number>();
    after.forEach((picture, i) => {
      for (let down = -2; down <= 2; down++) {
        for (let right = -2; right <= 2; right++) {
          if (Buffer.compare(picture, moved(before[i]!, shape, down, right)) !== 0) continue;
          seen.set(`${down},${right}`, (seen.get(`${down},${right}`) ?? 0) + 1);
        }
      }
    });
    expect(seen.size).toBe(25);
    expect([...seen.values()].reduce((sum, count) => sum + count)).toBe(300);
  });

  it('leaves nothing of a picture that is moved out of sight', () => {
    const { before, after } = changed(200, [3, 2, 1], { shift: 9 });
    expect(after.filter((picture) => picture.every((value) => value === 0)).length).toBeGreaterThan(100);
    const kept = after.flatMap((picture, i) => (Buffer.compare(picture, before[i]!) === 0 ? [i] : []));
    expect(kept.length).toBeLessThan(10);
  });

  it('overwrites a rectangle of so many pictures with noise', () => {
    const { before, after } = changed(1000, GREY, { erase: 0.4 });
    const areas: number[] = [];
    const noise: number[] = [];
    after.forEach((picture, i) => {
      const places = [...picture.keys()].filter((at) => picture[at] !== before[i]![at]);
      if (places.length === 0) return;
      const [ys, xs] = [places.map((at) => Math.floor(at / 28)), places.map((at) => at % 28)];
      const [rows, columns] = [ys, xs].map((all) => Math.max(...all) - Math.min(...all) + 1);
      areas.push((rows! * columns!) / 784);
      // Noise hits the value that was there now and then.
      expect(places.length).toBeGreaterThan(rows! * columns! * 0.8);
      noise.push(...places.map((at) => picture[at]!));
    });
    expect(areas.length).toBeGreaterThan(340);
    expect(areas.length).toBeLessThan(460);
    expect(Math.min(...areas)).toBeLessThan(0.04);
    expect(Math.max(...areas)).toBeGreaterThan(0.35);
    expect(Math.max(...areas)).toBeLessThan(0.43);
    expect(noise.reduce((sum, value) => sum + value) / noise.length).toBeCloseTo(127.5, -1);
    expect(new Set(noise).size).toBe(256);
  });

  it('depends on the sample and the epoch, not on its place in the batch or its neighbours', () => {
    const all = { flip: true, shift: 3, erase: 0.5 };
    const size = 784;
    const picture = pictures(1, GREY);
    const of = (indices: readonly number[], epoch: number): Buffer[] => {
      const images = Buffer.concat(indices.map(() => picture));
      augment(images, GREY, Uint32Array.from(indices), all, 7, epoch);
      return indices.map((_, i) => Buffer.from(images.subarray(i * size, (i + 1) * size)));
    };
    const [alone] = of([11], 4);
    expect(of([3, 59_999, 11, 12], 4)[2]).toEqual(alone);
    expect(of([11], 5)[0]).not.toEqual(alone);
    expect(of([12], 4)[0]).not.toEqual(alone);
  });

  it('mirrors the same pictures whatever else is done', () => {
    const flipped = changed(50, GREY, { flip: true });
    const both = changed(50, GREY, { flip: true, erase: 1 });
    const same = both.after.map((picture, i) => {
      const distance = (other: Uint8Array) => picture.filter((value, at) => value !== other[at]).length;
      return distance(flipped.after[i]!) < 400;
    });
    expect(same.every(Boolean)).toBe(true);
  });

  it('has drawn the same since it was written', () => {
    const { after } = changed(3, GREY, { flip: true, shift: 2, erase: 1 });
    const sums = after.map((picture) => picture.reduce((sum, value, at) => (Math.imul(sum, 31) + value * at) | 0, 7));
    expect(sums).toEqual([-1418897932, 1188323459, 1591480677]);
  });
});

describe('mirror', () => {
  it('gives the picture back when done twice', () => {
    const picture = pictures(1, [4, 5, 2]);
    const twice = picture.slice();
    mirror(twice, 0, 4, 5, 2);
    expect(twice).not.toEqual(picture);
    mirror(twice, 0, 4, 5, 2);
    expect(twice).toEqual(picture);
  });
});

describe('isAugmented', () => {
  it('is whether anything is changed', () => {
    expect(isAugmented(NOTHING)).toBe(false);
    expect([{ flip: true }, { shift: 1 }, { erase: 0.1 }].every((how) => isAugmented({ ...NOTHING, ...how }))).toBe(
      true,
    );
  });
});
