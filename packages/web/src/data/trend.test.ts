import { expect, it } from 'vitest';
import { smoothed, trendOf } from './trend.ts';

const series = (length: number, at: (i: number) => number): number[] => Array.from({ length }, (_, i) => at(i));
const noise = (i: number): number => (i % 2 === 0 ? 0.1 : -0.1);

it('takes the noise away and keeps the course', () => {
  const values = smoothed(series(500, (i) => 5 - 0.004 * i + noise(i)));
  for (const [i, value] of values.entries()) expect(Math.abs(value - (5 - 0.004 * i))).toBeLessThan(0.15);
  const steps = values.slice(100).map((value, i, all) => Math.abs(value - (all[i - 1] ?? value)));
  expect(Math.max(...steps)).toBeLessThan(0.05);
});

it('follows a steep beginning', () => {
  const values = smoothed(series(1000, (i) => 2 * Math.exp(-i / 20)));
  expect(values[40]!).toBeLessThan(0.6);
});

it('leaves little as it is', () => {
  expect(smoothed([])).toEqual([]);
  expect(smoothed([3])).toEqual([3]);
});

it('tells where a series is heading', () => {
  expect(trendOf(series(100, (i) => 3 - i / 100 + noise(i)))).toBe('falling');
  expect(trendOf(series(100, (i) => i / 100 + noise(i)))).toBe('rising');
  expect(trendOf(series(100, (i) => 1 + noise(i)))).toBe('steady');
  expect(trendOf([2, 1])).toBe(undefined);
});
