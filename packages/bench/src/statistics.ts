/** Medians with intervals that assume nothing about the shape of the noise. All are pure functions. */

/** A middle value, and bounds that hold it with a known probability. */
export interface Estimate {
  readonly median: number;
  readonly low: number;
  readonly high: number;
  /** Probability that `low` to `high` holds the true median; less than asked for where there are too few values. */
  readonly confidence: number;
}

/** How sure an interval is to be. */
const CONFIDENCE = 0.95;

const ascending = (values: readonly number[]): number[] => [...values].sort((a, b) => a - b);

/** The middle value, or the mean of the two middle ones. NaN for none. */
export function median(values: readonly number[]): number {
  const sorted = ascending(values);
  const middle = sorted.length / 2;
  const [below, above] = [sorted[Math.ceil(middle) - 1], sorted[Math.floor(middle)]];
  return below === undefined || above === undefined ? Number.NaN : (below + above) / 2;
}

/**
 * The median and its interval by order statistics: each value lies above the true median with probability 1/2, so the
 * number of those below it is binomial, whatever the distribution (Hahn and Meeker, "Statistical Intervals", 5.2).
 * Takes the narrowest pair (k-th least, k-th greatest) that is as sure as asked for, else the least and the greatest.
 * @param values at least one, independent
 */
export function estimate(values: readonly number[], confidence: number = CONFIDENCE): Estimate {
  const sorted = ascending(values);
  const n = sorted.length;
  let rank = 1;
  while (2 * (rank + 1) <= n && coverage(n, rank + 1) >= confidence) rank++;
  return {
    median: median(sorted),
    low: sorted[rank - 1] ?? Number.NaN,
    high: sorted[n - rank] ?? Number.NaN,
    confidence: coverage(n, rank),
  };
}

/** Probability that the true median lies between the k-th least and the k-th greatest of n values. */
export function coverage(n: number, k: number): number {
  let outside = 0;
  // C(n, i) / 2^n, from one i to the next.
  let term = 0.5 ** n;
  for (let i = 0; i < k; i++) {
    outside += term;
    term *= (n - i) / (i + 1);
  }
  return Math.max(0, 1 - 2 * outside);
}

/**
 * The ratio of two subjects that were measured in turns: of the ratios of each round, so that what both had in common,
 * such as a machine that slowed down, cancels.
 * @param values and `bases` have one value a round
 */
export function ratioOf(values: readonly number[], bases: readonly number[]): Estimate {
  return estimate(values.slice(0, bases.length).map((value, round) => value / bases[round]!));
}

/** A ratio of two estimates that were not measured in turns: its bounds hold both true medians within theirs. */
export function ratioBounds(value: Estimate, base: Estimate): Estimate {
  return {
    median: value.median / base.median,
    low: value.low / base.high,
    high: value.high / base.low,
    confidence: Math.min(value.confidence, base.confidence),
  };
}

/** Multiplies an estimate by a number without noise. */
export function scaled({ median, low, high, confidence }: Estimate, factor: number): Estimate {
  return { median: median * factor, low: low * factor, high: high * factor, confidence };
}

/** The mean for ratios: that of a and 1/a is 1. NaN for none. */
export function geometricMean(values: readonly number[]): number {
  return Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
}
