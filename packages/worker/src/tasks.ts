/** The messages between a pool and its threads. All are small; vectors stay in shared memory. */
import type { Range, StatePointers, SumFormat } from '@lockstep/core';
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
  /** Partial sums that this share computes; none when the step's gradients are there already. */
  readonly partials: readonly PartialSum[];
  /** Elements of the sum vector that this share reduces and updates. */
  readonly slice: Range;
}

/** Which micro-batches a step takes, from which parameters it starts, and how exact its sums are. */
export interface StepPosition {
  readonly epoch: number;
  /** In the epoch, from 0. */
  readonly step: number;
  /** In the run, from 0; also the version of the parameters that it starts from. */
  readonly runStep: number;
  /** How its sums travel and are rounded, and with them the change of the parameters that it leads to. */
  readonly wire: SumFormat;
}

/** One step of the run. */
export interface StepPlan extends StepPosition {
  /** Samples of the step. */
  readonly count: number;
  readonly learningRate: number;
}

/** Parameters in shared memory: those before step `runStep`, as they were written from outside the `loads`th time. */
export interface ParameterVersion {
  readonly runStep: number;
  readonly loads: number;
  /** Themselves, their moving average, or as all workers have them. */
  readonly vector: Exclude<keyof StatePointers, 'slots'>;
}

/** A partial sum that is to be formed from others. */
export interface Combination extends PartialSum {
  readonly sources: readonly PartialSum[];
}

/** Pictures that models are measured by. */
export type EvaluatedSplit = 'test' | 'validation';

export type Task =
  /** Opens the engine, so that the first step does not wait for it. */
  | { readonly kind: 'prepare' }
  /** Computes the sketch of the self-test's gradient. */
  | { readonly kind: 'selfTest' }
  /** Does one share of some steps, in step with the threads that do the other shares. */
  | {
      readonly kind: 'steps';
      readonly share: Share;
      /** Of all shares, in ascending order of shard. */
      readonly partials: readonly PartialSum[];
      readonly steps: readonly StepPlan[];
      readonly loads: number;
      /** Upper bound for the norm of the gradient. */
      readonly clipNorm: number | undefined;
    }
  /** Leaves partial sums of one step's gradients in shared memory. */
  | {
      readonly kind: 'gradient';
      readonly share: Pick<Share, 'index' | 'partials'>;
      readonly step: StepPosition;
      readonly loads: number;
    }
  /** Forms partial sums from others, over a slice of the vectors. */
  | {
      readonly kind: 'combine';
      readonly share: Pick<Share, 'index' | 'slice'>;
      readonly step: StepPosition;
      readonly combinations: readonly Combination[];
    }
  /** Evaluates samples [from, to) of a split. */
  | {
      readonly kind: 'evaluate';
      readonly version: ParameterVersion;
      readonly split: EvaluatedSplit;
      /** Pictures as they are, whatever views the job takes the mean over. */
      readonly plain: boolean;
      readonly from: number;
      readonly to: number;
    };

export interface PreparedEngine {
  readonly kind: EngineKind;
  readonly device: string;
}

/** What each kind of task answers. */
export interface TaskResults {
  readonly prepare: PreparedEngine;
  readonly selfTest: readonly number[];
  readonly steps: undefined;
  readonly gradient: undefined;
  readonly combine: undefined;
  readonly evaluate: Evaluation;
}
