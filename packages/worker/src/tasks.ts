/** The messages between a pool and its threads. All are small; vectors stay in shared memory. */
import type { UpdateScalars } from '@lockstep/core';
import type { EngineKind } from '@lockstep/engine';

/** A partial sum: the sum vector of one node of the reduction tree, and its byte offset in shared memory. */
export interface PartialSum {
  readonly node: number;
  readonly at: number;
}

export type Task =
  /** Opens the engine, so that the first step does not wait for it. */
  | { readonly kind: 'prepare' }
  /** Computes the partial sums of some nodes for one step. */
  | {
      readonly kind: 'gradient';
      readonly epoch: number;
      /** Step in the epoch, from 0. */
      readonly step: number;
      /** Step in the run, from 0; also the version of the parameters. */
      readonly runStep: number;
      readonly partials: readonly PartialSum[];
    }
  /** Reduces all partial sums over a slice of the vector, and updates the slice unless the gradient is to be clipped. */
  | {
      readonly kind: 'reduce';
      readonly slice: Slice;
      readonly partials: readonly PartialSum[];
      /** Undefined: only leave the sum and its squares behind, for `update` to follow. */
      readonly update: UpdateScalars | undefined;
    }
  /** Updates a slice from a sum that is reduced already. */
  | { readonly kind: 'update'; readonly slice: Slice; readonly update: UpdateScalars }
  /** Evaluates test samples [from, to). */
  | { readonly kind: 'evaluate'; readonly version: number; readonly from: number; readonly to: number };

/** Elements [from, to) of the sum vector; `index` numbers the slices and picks the scratch memory. */
export interface Slice {
  readonly index: number;
  readonly from: number;
  readonly to: number;
}

export interface PreparedEngine {
  readonly kind: EngineKind;
  readonly device: string;
}
