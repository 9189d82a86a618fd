/** How a run with several workers can fail as a whole. */
import { LockstepError } from '@lockstep/core';
import type { StepPlan } from '@lockstep/worker';

export const workersMissing = (ready: number, needed: number, waitedMs: number): LockstepError =>
  new LockstepError(
    'workers-missing',
    `${ready} of ${needed} workers were ready after waiting for ${Math.round(waitedMs / 1000)} s.`,
    'Start workers with lockstep join, lower --min-workers, or raise --join-timeout; then go on with --resume latest.',
  );

export const diverged = ({ epoch, step, learningRate }: StepPlan): LockstepError =>
  new LockstepError(
    'diverged',
    `Gradients became NaN or infinite in epoch ${epoch + 1}, step ${step + 1} (learning rate ${learningRate}), whoever computed them.`,
    'Use a smaller --learning-rate, --warmup-steps, or --clip-norm 1.',
  );
