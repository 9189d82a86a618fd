import { describe, expect, it } from 'vitest';
import { type Plane, resample } from './resample.ts';

const plane = (width: number, height: number, value: (x: number, y: number) => number): Plane => ({
  width,
  height,
  values: Float32Array.from({ length: width * height }, (_, i) => value(i % width, Math.floor(i / width))),
});
const whole = ({ width, height }: Plane) => ({ left: 0, top: 0, right: width, bottom: height });
const mean = ({ values }: Plane): number => values.reduce((sum, value) => sum + value, 0) / values.length;

describe('resample', () => {
  it('makes of each output the mean of what it covers, parts of values included', () => {
    const row = plane(5, 1, (x) => x);
    expect([...resample(row, whole(row), 2, 1).values]).toEqual([
      expect.closeTo((0 + 1 + 0.5 * 2) / 2.5, 5),
      expect.closeTo((0.5 * 2 + 3 + 4) / 2.5, 5),
    ]);
    const tall = plane(2, 6, (x, y) => 10 * x + y);
    expect([...resample(tall, whole(tall), 2, 3).values]).toEqual([0.5, 10.5, 2.5, 12.5, 4.5, 14.5]);
  });

  it('leaves no pattern of fine stripes, and keeps the mean', () => {
    for (const size of [300, 281, 97]) {
      const stripes = plane(size, size, (x, y) => ((x + y) % 2) * 255);
      const small = resample(stripes, whole(stripes), 28, 28);
      expect(mean(small)).toBeCloseTo(mean(stripes), 0);
      for (const value of small.values) expect(Math.abs(value - 127.5)).toBeLessThan(13);
    }
  });

  it('lays straight lines between values when it grows', () => {
    const row = plane(3, 1, (x) => 10 * x);
    const values = [...resample(row, whole(row), 6, 1).values];
    expect(values).toEqual([0, 2.5, 7.5, 12.5, 17.5, 20].map((value) => expect.closeTo(value, 5)));
    const dot = plane(1, 1, () => 9);
    expect(new Set(resample(dot, whole(dot), 4, 4).values)).toEqual(new Set([9]));
  });

  it('copies when the size stays, and cuts out the box', () => {
    const picture = plane(6, 5, (x, y) => x + 10 * y);
    expect(resample(picture, whole(picture), 6, 5)).toEqual(picture);
    const part = resample(picture, { left: 2, top: 1, right: 4, bottom: 4 }, 2, 3);
    expect([...part.values]).toEqual([12, 13, 22, 23, 32, 33]);
  });
});
