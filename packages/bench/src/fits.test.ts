import { describe, expect, it } from 'vitest';
import { fitAmdahl, fitUsl, optimumOf, rateAt, type ScalingLaw, serialShare } from './fits.ts';

const COUNTS = [1, 2, 4, 6, 8, 12, 16];
const pointsOf = (law: ScalingLaw, counts: readonly number[] = COUNTS, noise: (i: number) => number = () => 0) =>
  counts.map((workers, i) => ({ workers, rate: rateAt(law, workers) * (1 + noise(i)) }));
const fitted = (fit: ReturnType<typeof fitUsl>) => {
  if (fit.kind !== 'fit') throw new Error('not fitted');
  return fit;
};

describe('rateAt', () => {
  it('is the law', () => {
    // 400 / (1 + 0.1 * 3 + 0.01 * 4 * 3)
    expect(rateAt({ rate1: 100, sigma: 0.1, kappa: 0.01 }, 4)).toBeCloseTo(400 / 1.42, 9);
    expect(rateAt({ rate1: 100, sigma: 0.1, kappa: 0.01 }, 1)).toBe(100);
  });
});

describe('fitAmdahl', () => {
  it.each([
    { rate1: 1000, sigma: 0.05, kappa: 0 },
    { rate1: 140_000, sigma: 0.4, kappa: 0 },
    { rate1: 3, sigma: 0, kappa: 0 },
  ])('finds $sigma again', (law) => {
    const fit = fitted(fitAmdahl(pointsOf(law)));
    expect(fit.sigma).toBeCloseTo(law.sigma, 4);
    expect(fit.rate1 / law.rate1).toBeCloseTo(1, 4);
    expect(fit.kappa).toBe(0);
    expect(fit.worstDeviation).toBeLessThan(1e-3);
    expect(fit.bestWorkers).toBeNull();
  });

  it('needs one point more than it has parameters', () => {
    const law = { rate1: 1, sigma: 0.1, kappa: 0 };
    expect(fitAmdahl(pointsOf(law, [1, 2]))).toEqual({ kind: 'too-few', needed: 3, found: 2 });
    // The same number of workers twice is no second point.
    expect(fitAmdahl(pointsOf(law, [1, 2, 2]))).toEqual({ kind: 'too-few', needed: 3, found: 2 });
    expect(fitAmdahl(pointsOf(law, [1, 2, 4])).kind).toBe('fit');
  });
});

describe('fitUsl', () => {
  it.each([
    { rate1: 1000, sigma: 0.03, kappa: 0.002 },
    { rate1: 50_000, sigma: 0.2, kappa: 0.01 },
    { rate1: 10, sigma: 0, kappa: 0.05 },
    { rate1: 10, sigma: 0.5, kappa: 0 },
  ])('finds sigma $sigma and kappa $kappa again', (law) => {
    const fit = fitted(fitUsl(pointsOf(law)));
    expect(fit.sigma).toBeCloseTo(law.sigma, 3);
    expect(fit.kappa).toBeCloseTo(law.kappa, 4);
    expect(fit.rate1 / law.rate1).toBeCloseTo(1, 3);
  });

  it('finds the best number of workers in spite of noise', () => {
    const law = { rate1: 1000, sigma: 0.05, kappa: 0.01 };
    const fit = fitted(fitUsl(pointsOf(law, COUNTS, (i) => (i % 2 === 0 ? 0.01 : -0.01))));
    // sqrt(0.95 / 0.01) = 9.7
    expect(fit.bestWorkers).toBeGreaterThanOrEqual(8);
    expect(fit.bestWorkers).toBeLessThanOrEqual(12);
    expect(fit.bestRate).toBeCloseTo(rateAt(fit, fit.bestWorkers!), 6);
    expect(fit.worstDeviation).toBeLessThan(0.03);
  });

  it('keeps to its bounds where more than linear was measured', () => {
    const fit = fitted(fitUsl([1, 2, 4, 8].map((workers) => ({ workers, rate: 100 * workers ** 1.1 }))));
    expect(fit.sigma).toBeGreaterThanOrEqual(0);
    expect(fit.kappa).toBeGreaterThanOrEqual(0);
    expect(fit.worstDeviation).toBeGreaterThan(0.01);
  });

  it('says when there are too few points', () => {
    expect(fitUsl(pointsOf({ rate1: 1, sigma: 0.1, kappa: 0.1 }, [1, 2, 4]))).toEqual({
      kind: 'too-few',
      needed: 4,
      found: 3,
    });
  });
});

describe('optimumOf', () => {
  it('is the whole number on the better side of sqrt((1 - sigma) / kappa)', () => {
    const law = { rate1: 1, sigma: 0, kappa: 0.04 };
    expect(optimumOf(law)).toBe(5);
    expect(optimumOf({ rate1: 1, sigma: 0.05, kappa: 0.01 })).toBe(10);
    // Below one worker there is nothing to choose from.
    expect(optimumOf({ rate1: 1, sigma: 0.9, kappa: 1 })).toBe(1);
  });

  it('is none where more workers are always better, as far as anybody cares', () => {
    expect(optimumOf({ rate1: 1, sigma: 0.1, kappa: 0 })).toBeNull();
    expect(optimumOf({ rate1: 1, sigma: 0.1, kappa: 1e-12 })).toBeNull();
  });
});

describe('serialShare', () => {
  it('is what Amdahl would need for a speed-up', () => {
    // One quarter serial: four workers take 1/4 + 3/4/4 of the time.
    expect(serialShare(1 / (0.25 + 0.75 / 4), 4)).toBeCloseTo(0.25, 12);
    expect(serialShare(2, 2)).toBe(0);
    expect(serialShare(2.2, 2)).toBeLessThan(0);
  });
});
