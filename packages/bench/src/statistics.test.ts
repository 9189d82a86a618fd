import { describe, expect, it } from 'vitest';
import { coverage, estimate, geometricMean, median, ratioBounds, ratioOf } from './statistics.ts';

describe('median', () => {
  it.each([
    [[3], 3],
    [[5, 1, 3], 3],
    [[4, 1, 3, 2], 2.5],
    [[10, 9, 8, 1000], 9.5],
  ])('of %j is %d', (values, expected) => {
    expect(median(values)).toBe(expected);
  });

  it('of nothing is no number', () => {
    expect(median([])).toBeNaN();
  });
});

describe('coverage', () => {
  // By hand: 1 - 2 (C(n,0) + … + C(n,k-1)) / 2^n.
  it.each([
    [1, 1, 0],
    [2, 1, 0.5],
    [5, 1, 0.9375],
    [6, 1, 0.96875],
    [10, 2, 1 - (2 * 11) / 1024],
    [12, 3, 1 - (2 * (1 + 12 + 66)) / 4096],
  ])('of n = %i, k = %i', (n, k, expected) => {
    expect(coverage(n, k)).toBeCloseTo(expected, 12);
  });
});

describe('estimate', () => {
  it('takes the narrowest pair that is sure enough', () => {
    const values = [12, 1, 11, 2, 10, 3, 9, 4, 8, 5, 7, 6];
    // Third least and third greatest of twelve: 0.961; the fourth would be 0.854.
    expect(estimate(values)).toEqual({ median: 6.5, low: 3, high: 10, confidence: coverage(12, 3) });
    expect(estimate(values, 0.8)).toMatchObject({ low: 4, high: 9 });
  });

  it('takes all there is when that is not sure enough, and says how sure it is', () => {
    expect(estimate([3, 1, 2])).toEqual({ median: 2, low: 1, high: 3, confidence: 0.75 });
    expect(estimate([7])).toEqual({ median: 7, low: 7, high: 7, confidence: 0 });
  });

  it('holds the true median as often as it says', () => {
    // A linear congruential generator: the same draws on every machine.
    let state = 1;
    const draw = (): number => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return state / 2 ** 32;
    };
    let held = 0;
    const trials = 4000;
    for (let trial = 0; trial < trials; trial++) {
      // Skewed: the median of -ln(u) is ln 2.
      const { low, high } = estimate(Array.from({ length: 12 }, () => -Math.log(1 - draw())));
      if (low <= Math.LN2 && Math.LN2 <= high) held++;
    }
    // 0.9614, and a standard error of 0.003.
    expect(held / trials).toBeGreaterThan(0.95);
    expect(held / trials).toBeLessThan(0.973);
  });
});

describe('ratios', () => {
  it('are formed round by round, so that a slow round cancels', () => {
    const bases = [100, 50, 100, 25, 100, 100];
    expect(
      ratioOf(
        bases.map((base) => base * 2),
        bases,
      ),
    ).toMatchObject({ median: 2, low: 2, high: 2 });
  });

  it('of two runs take both intervals at their worse ends', () => {
    const now = { median: 90, low: 80, high: 100, confidence: 0.96 };
    const before = { median: 100, low: 95, high: 110, confidence: 0.97 };
    const bounds = ratioBounds(now, before);
    expect(bounds.median).toBeCloseTo(0.9, 12);
    expect(bounds.low).toBeCloseTo(80 / 110, 12);
    expect(bounds.high).toBeCloseTo(100 / 95, 12);
    expect(bounds.confidence).toBe(0.96);
  });
});

describe('geometricMean', () => {
  it('of a ratio and its inverse is 1', () => {
    expect(geometricMean([4, 0.25])).toBeCloseTo(1, 12);
    expect(geometricMean([2, 8])).toBeCloseTo(4, 12);
  });
});
