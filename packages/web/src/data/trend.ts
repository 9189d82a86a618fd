/** What a noisy series says: its course without the noise, and where it is heading. */

/** Points per average: enough to see the course, few enough that a turn shows soon. */
const windowOf = (length: number): number => Math.min(60, Math.max(1, length / 25));

/** Points that a beginning is averaged over, as a share of those so far: losses fall steeply there. */
const BEGINNING = 0.2;

/** Exponential average. */
export function smoothed(values: readonly number[]): number[] {
  const window = windowOf(values.length);
  let mean = values[0] ?? 0;
  return values.map((value, i) => {
    mean += (2 / (Math.min(window, 1 + BEGINNING * i) + 1)) * (value - mean);
    return mean;
  });
}

export type Trend = 'rising' | 'falling' | 'steady';

const meanOf = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

/** Compares the last tenth with the tenth before; undefined while there is too little to tell. */
export function trendOf(values: readonly number[]): Trend | undefined {
  const length = Math.floor(values.length / 10);
  if (length < 2) return undefined;
  const before = meanOf(values.slice(-2 * length, -length));
  const after = meanOf(values.slice(-length));
  const change = (after - before) / Math.max(Math.abs(before), 1e-9);
  if (Math.abs(change) < 0.005) return 'steady';
  return change > 0 ? 'rising' : 'falling';
}
