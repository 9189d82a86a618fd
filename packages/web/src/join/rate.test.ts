/** How fast a tab says it is. */
import { expect, it } from 'vitest';
import { Rate } from './rate.ts';

it('counts the samples of the latest ten seconds', () => {
  const rate = new Rate();
  expect(rate.at(0)).toEqual({ samplesPerSecond: 0, whileComputing: 0 });
  for (let second = 1; second <= 60; second++) rate.add(second * 1000, second <= 40 ? 100 : 300, 500);
  expect(rate.at(60_000).samplesPerSecond).toBeCloseTo(330, 0);
  expect(rate.at(60_000).whileComputing).toBe(600);
});

it('says the speed of a tab that has just begun', () => {
  const rate = new Rate();
  rate.add(5000, 200, 1000);
  rate.add(6000, 200, 1000);
  expect(rate.at(6000).samplesPerSecond).toBe(200);
});

it('is never faster than it computes', () => {
  const rate = new Rate();
  // Its first work began before the window.
  rate.add(10_000, 1000, 10_000);
  rate.add(20_000, 1000, 10_000);
  const { samplesPerSecond, whileComputing } = rate.at(20_000);
  expect(whileComputing).toBeGreaterThanOrEqual(samplesPerSecond);
});

it('falls to nothing when nothing is done', () => {
  const rate = new Rate();
  rate.add(1000, 100, 100);
  expect(rate.at(30_000).samplesPerSecond).toBe(0);
});
