/** The messages between a pool and its threads. All are small; vectors stay in shared memory. */
import type { Range } from '@lockstep/core';
import type { EngineKind, Evaluation } from '@lockstep/engine';

/** A partial sum: the sum vector of one node of the reduction tree, and its byte offset in shared memory. */
export interface PartialSum {
  readonly node: number;
  readonly at: number;
}

/** One thread's part of every step. */
export interface Share {
  /** Number of the share; also picks the scratch memory. */
  readonly index: number;
  /** Shares that work together, each on a thread of its own. */
  readonly numShares: number;
  /** Partial sums that this share computes. */
  readonly partials: readonly PartialSum[];
  /** Elements of the sum vector that this share reduces and updates. */
  readonly slice: Range;
}

/** One step of the run. */
export interface StepPlan {
  readonly epoch: number;
  /** In the epoch, from 0. */
  readonly step: number;
  /** In the run, from 0; also the version of the parameters that it starts from. */
  readonly runStep: number;
  /** Samples of the step. */
  readonly count: number;
  readonly learningRate: number;
}

export type Task =
  /** Opens the engine, so that the first step does not wait for it. */
  | { readonly kind: 'prepare' }
  /** Does one share of some steps, in step with the threads that do the other shares. */
  | {
      readonly kind: 'steps';
      readonly share: Share;
      /** Of all shares, in ascending order of shard. */
      readonly partials: readonly PartialSum[];
      readonly steps: readonly StepPlan[];
      /** Upper bound for the norm of the gradient. */
      readonly clipNorm: number | undefined;
    }
  /** Evaluates test samples [from, to). */
  | { readonly kind: 'evaluate'; readonly version: number; readonly from: number; readonly to: number };

export interface PreparedEngine {
  readonly kind: EngineKind;
  readonly device: string;
}

/** What each kind of task answers. */
export interface TaskResults {
  readonly prepare: PreparedEngine;
  readonly steps: undefined;
  readonly evaluate: Evaluation;
}
