/** Laws of scaling, fitted to measured rates. Pure functions. */
import { levenbergMarquardt } from 'ml-levenberg-marquardt';

/** What a number of workers reached. */
export interface RatePoint {
  readonly workers: number;
  /** In samples per second. */
  readonly rate: number;
}

/** A law X(n) = rate1 n / (1 + sigma (n - 1) + kappa n (n - 1)). */
export interface ScalingLaw {
  /** Rate of one worker, in samples per second. */
  readonly rate1: number;
  /** Share of the work that does not spread over workers (contention). */
  readonly sigma: number;
  /** Cost of keeping workers in agreement, per pair of them (coherency); 0 in Amdahl's law. */
  readonly kappa: number;
}

export interface Fit extends ScalingLaw {
  readonly kind: 'fit';
  /** Largest deviation of a measured rate from the law, as a share of the law. */
  readonly worstDeviation: number;
  /** Workers with which the law is at its maximum; null where it has none within ten thousand workers. */
  readonly bestWorkers: number | null;
  /** The law's rate there. */
  readonly bestRate: number | null;
}

export interface TooFew {
  readonly kind: 'too-few';
  /** Different numbers of workers that the fit needs: one more than it has parameters, so that it could be wrong. */
  readonly needed: number;
  readonly found: number;
}

/** Maxima beyond this are no prediction but noise in kappa. */
const FARTHEST = 10_000;

/** Rate that a law gives. @param n number of workers */
export function rateAt({ rate1, sigma, kappa }: ScalingLaw, n: number): number {
  return (rate1 * n) / (1 + sigma * (n - 1) + kappa * n * (n - 1));
}

/**
 * Amdahl's law: a share sigma of the work is serial, the rest divides evenly (G. Amdahl, AFIPS 1967).
 * @param points one for each number of workers
 */
export const fitAmdahl = (points: readonly RatePoint[]): Fit | TooFew => fit(points, 2);

/**
 * The Universal Scalability Law: beyond Amdahl's serial share, a cost for each pair of workers, so that there is a best
 * number of them, sqrt((1 - sigma) / kappa) (N. Gunther, "Guerrilla Capacity Planning", 2007).
 * @param points one for each number of workers
 */
export const fitUsl = (points: readonly RatePoint[]): Fit | TooFew => fit(points, 3);

/** Where the search begins: from some of these it may end in a bound. */
const STARTS: readonly (readonly [sigma: number, kappa: number])[] = [
  [0.05, 0.001],
  [0.3, 0.01],
  [0.01, 0.05],
  [0.6, 0],
];

/** @param numParameters 2: kappa is 0 */
function fit(points: readonly RatePoint[], numParameters: 2 | 3): Fit | TooFew {
  const found = new Set(points.map(({ workers }) => workers)).size;
  if (found <= numParameters) return { kind: 'too-few', needed: numParameters + 1, found };
  // In units of the rate per worker with the fewest workers, so that all parameters and residuals are about 1 or less.
  const fewest = points.reduce((least, point) => (point.workers < least.workers ? point : least));
  const unit = fewest.rate / fewest.workers;
  // The law by the measured rate is fitted to 1, so that deviations count by their share of the rate, not by their size.
  // (The library's own weights are not those of least squares.) So x is the number of a point.
  const data = { x: points.map((_, i) => i), y: points.map(() => 1) };
  const lawAt =
    ([rate1 = 1, sigma = 0, kappa = 0]: number[]) =>
    (i: number): number =>
      (rateAt({ rate1, sigma, kappa }, points[i]!.workers) * unit) / points[i]!.rate;
  const gradientAt =
    (parameters: number[]) =>
    (i: number): number[] =>
      derivatives(parameters, points[i]!.workers).map((value) => (value * unit) / points[i]!.rate);
  const solutions = STARTS.map(([sigma, kappa]) => {
    const solution = levenbergMarquardt(data, lawAt, {
      initialValues: [1, sigma, kappa].slice(0, numParameters),
      minValues: [0.1, 0, 0].slice(0, numParameters),
      maxValues: [10, 1, 1].slice(0, numParameters),
      jacobianFunction: gradientAt,
      damping: 0.01,
      improvementThreshold: 1e-6,
      errorTolerance: 1e-14,
      maxIterations: 500,
    });
    return { values: solution.parameterValues, error: solution.parameterError };
  });
  const best = solutions.reduce((least, solution) => (solution.error < least.error ? solution : least));
  const [scale = 1, sigma = 0, kappa = 0] = best.values;
  return described({ rate1: scale * unit, sigma, kappa }, points);
}

/** Derivatives of the law by its parameters, at n workers. */
function derivatives(parameters: readonly number[], n: number): number[] {
  const [rate1 = 1, sigma = 0, kappa = 0] = parameters;
  const divisor = 1 + sigma * (n - 1) + kappa * n * (n - 1);
  const bySigma = (-rate1 * n * (n - 1)) / divisor ** 2;
  return [n / divisor, bySigma, n * bySigma].slice(0, parameters.length);
}

function described(law: ScalingLaw, points: readonly RatePoint[]): Fit {
  const deviations = points.map(({ workers, rate }) => Math.abs(rate / rateAt(law, workers) - 1));
  const best = optimumOf(law);
  return {
    kind: 'fit',
    ...law,
    worstDeviation: Math.max(...deviations),
    bestWorkers: best,
    bestRate: best === null ? null : rateAt(law, best),
  };
}

/** The whole number of workers with the highest rate; null when more are always better, as far as we look. */
export function optimumOf(law: ScalingLaw): number | null {
  const real = Math.sqrt((1 - law.sigma) / law.kappa);
  if (!(real <= FARTHEST)) return null;
  const below = Math.max(1, Math.floor(real));
  return rateAt(law, below + 1) > rateAt(law, below) ? below + 1 : below;
}

/**
 * The serial share that one measured speed-up speaks of by itself, without a fit: (1/S - 1/n) / (1 - 1/n) (Karp and
 * Flatt, CACM 1990). Below 0 when the speed-up is more than n.
 */
export const serialShare = (speedup: number, workers: number): number =>
  (1 / speedup - 1 / workers) / (1 - 1 / workers);
