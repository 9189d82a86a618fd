/** What an epoch has added up so far. */
import type { StepSums } from '@lockstep/worker';
import type { PartialEpoch } from './checkpoint.ts';

export const NOTHING: PartialEpoch = { lossSum: 0, numCorrect: 0, count: 0 };

/** Sums over the steps of an epoch so far. */
export class EpochSums {
  lossSum: number;
  numCorrect: number;
  count: number;
  readonly started = performance.now();
  #lastStepAt = this.started;
  /** Samples of this epoch that were trained before the run was resumed. */
  readonly #countBefore: number;

  constructor({ lossSum, numCorrect, count }: PartialEpoch) {
    this.lossSum = lossSum;
    this.numCorrect = numCorrect;
    this.count = count;
    this.#countBefore = count;
  }

  add(sums: StepSums): void {
    this.lossSum += sums.lossSum;
    this.numCorrect += sums.numCorrect;
    this.count += sums.count;
    this.#lastStepAt = performance.now();
  }

  /** Of all that happened since the epoch began, not of the steps alone. */
  get samplesPerSecond(): number {
    return ((this.count - this.#countBefore) / Math.max(1e-3, this.#lastStepAt - this.started)) * 1000;
  }
}
