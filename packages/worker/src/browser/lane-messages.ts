/** What the thread that talks with the coordinator and a lane, a Web Worker with one engine, say to each other. */
import type { RoundingTerms } from '@lockstep/core';
import type { WebDevice } from '@lockstep/engine/browser';
import type { RemoteJob } from '../remote/job.ts';

/** What a lane must know of the job. */
export interface LaneSetup
  extends Pick<RemoteJob, 'topology' | 'labelSmoothing' | 'augmentation' | 'reduction' | 'seed' | 'numShards'> {
  readonly device: WebDevice;
}

/** The samples of one shard at a step. */
export interface ShardBatch {
  readonly shard: number;
  /** [count] places in the training set. */
  readonly indices: Uint32Array<ArrayBuffer>;
  /** [count, height, width, channels], as the dataset has them. */
  readonly images: Uint8Array<ArrayBuffer>;
  /** [count] */
  readonly labels: Uint8Array<ArrayBuffer>;
}

export interface GradientTask {
  readonly epoch: number;
  readonly runStep: number;
  /** Undefined: sums are not rounded. */
  readonly rounding: RoundingTerms | undefined;
  /** Of the reduction tree, ascending by shard. */
  readonly nodes: readonly number[];
  /** Of all shards under the nodes, ascending. */
  readonly batches: readonly ShardBatch[];
}

export type ToLane =
  /** Opens the engine. The first message; answered by `opened`. */
  | { readonly kind: 'open'; readonly setup: LaneSetup }
  /** The flat parameters that following gradients start from. */
  | { readonly kind: 'parameters'; readonly values: Float32Array<ArrayBuffer> }
  /** Answered by `sums` or `cancelled`. */
  | { readonly kind: 'gradient'; readonly task: GradientTask }
  /** Do not begin with another micro-batch. */
  | { readonly kind: 'cancel' };

export interface LaneEngine {
  readonly kind: string;
  readonly device: string;
  readonly reason: string;
  /** What it computes in the self-test. */
  readonly sketch: readonly number[];
}

/** Each but `opened` answers a `gradient`; `failed` may also answer `open`. */
export type FromLane =
  | { readonly kind: 'opened'; readonly engine: LaneEngine }
  /** One sum vector per node. */
  | { readonly kind: 'sums'; readonly sums: readonly Float32Array<ArrayBuffer>[] }
  | { readonly kind: 'cancelled' }
  | { readonly kind: 'failed'; readonly message: string; readonly nextStep: string };
