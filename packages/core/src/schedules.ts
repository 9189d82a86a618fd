/** Learning-rate schedules: pure functions of the step. */

export const scheduleNames = ['constant', 'stable-decay', 'cosine', 'one-cycle'] as const;
export type ScheduleName = (typeof scheduleNames)[number];

export interface Schedule {
  readonly name: ScheduleName;
  /** Peak learning rate. */
  readonly learningRate: number;
  /** Steps of linear warm-up from 0 before the schedule proper; `one-cycle` brings its own. */
  readonly warmupSteps: number;
  readonly totalSteps: number;
}

/** One-cycle (Smith and Topin, 2018): starts at 1/25 of the peak, reaches it after 30 % of the steps, ends at 1e-4 of the start. */
const ONE_CYCLE = { startDivisor: 25, riseFraction: 0.3, endDivisor: 1e4 };

/** Stable-decay (Hu and others, 2024, "MiniCPM"): the peak, and a line to zero over this last part of the steps. */
const DECAY_FRACTION = 0.3;

const cosineBetween = (start: number, end: number, fraction: number): number =>
  end + ((start - end) * (1 + Math.cos(Math.PI * fraction))) / 2;

/** Learning rate of the update at `step` (0-based over the whole run). */
export function learningRateAt(schedule: Schedule, step: number): number {
  const { name, learningRate: peak, warmupSteps, totalSteps } = schedule;
  if (name !== 'one-cycle' && step < warmupSteps) return (peak * (step + 1)) / warmupSteps;
  const fraction = Math.min(1, (step - warmupSteps) / Math.max(1, totalSteps - warmupSteps));
  switch (name) {
    case 'constant':
      return peak;
    case 'stable-decay':
      return peak * Math.min(1, (1 - fraction) / DECAY_FRACTION);
    case 'cosine':
      return cosineBetween(peak, 0, fraction);
    case 'one-cycle': {
      const start = peak / ONE_CYCLE.startDivisor;
      const rise = ONE_CYCLE.riseFraction * totalSteps;
      if (step < rise) return cosineBetween(start, peak, step / rise);
      return cosineBetween(
        peak,
        start / ONE_CYCLE.endDivisor,
        Math.min(1, (step - rise) / Math.max(1, totalSteps - rise)),
      );
    }
    default:
      return name satisfies never;
  }
}
