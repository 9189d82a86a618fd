/** Reports of `lockstep bench accuracy` for tests. */
import type { AccuracyReport, AccuracyRun } from '../report.ts';
import { header } from './reports.ts';

/** A run by Lockstep. @param reached seconds to each target */
export const accuracyRun = (
  model: string,
  seed: number,
  accuracy: number,
  seconds: number,
  ...reached: (number | null)[]
): AccuracyRun => ({
  model,
  framework: 'lockstep',
  seed,
  data: 'fashion-mnist',
  accuracy,
  seconds,
  weightsSha256: `sha of ${model}`,
  reached,
  epochs: [],
});

export const accuracyReport = (runs: AccuracyRun[], targets: number[]): AccuracyReport => ({
  ...header,
  kind: 'accuracy',
  blockSeconds: 0,
  targets,
  runs,
  pytorch: null,
  skipped: [],
  comparison: null,
});
