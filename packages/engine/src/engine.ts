/** The contract that every engine keeps, whatever it runs on. */
import type { Network } from './topology/network.ts';

export const engineKinds = ['native', 'onnx', 'tensorflow', 'tfjs'] as const;
export type EngineKind = (typeof engineKinds)[number];

/** Where in the run a micro-batch belongs; keys its dropout masks, so that any worker draws the same ones. */
export interface RandomKey {
  readonly seed: number;
  /** Step over the whole run, from 0. */
  readonly step: number;
  readonly shard: number;
}

/** Samples as the dataset stores them. */
export interface Samples {
  readonly count: number;
  /** [count, height, width, channels], 0..255; may be longer than `count` needs. */
  readonly images: Uint8Array;
  /** [count] class indices; may be longer than `count` needs. */
  readonly labels: Uint8Array;
}

/** One shard's samples in a step. */
export interface MicroBatch {
  readonly samples: Samples;
  readonly key: RandomKey;
}

export interface EngineConfig {
  readonly network: Network;
  /** Share of the target spread evenly over all classes (Szegedy et al., 2016); 0 is none. Training loss only. */
  readonly labelSmoothing: number;
}

export interface Evaluation {
  /** Cross-entropy summed over the samples, in nats, without label smoothing. */
  readonly lossSum: number;
  /** How many predictions are the sample's label. */
  readonly numCorrect: number;
  /** [count] class of the largest logit, the first of equals, in the order of the samples. */
  readonly predictions: Uint8Array;
}

/**
 * Computes gradients of one model on one device. Calls must not overlap. The same parameters, samples and key give the
 * same bits in every instance of one kind of engine on one kind of processor; of `native` on every processor.
 */
export interface Engine {
  readonly kind: EngineKind;
  /** What it runs on: `cpu`, `cuda`, or a tf.js backend's name. */
  readonly device: string;

  /** Takes the parameters for the following calls: copies the first `layout.numParameters` of `flat`. */
  setParameters(flat: Float32Array): void;

  /** The most micro-batches that one call of `gradient` takes, a power of two; more than 1 where that is faster. */
  readonly maxGroup: number;

  /** Whether the sums of {@link gradient} may lie over memory that threads share. */
  readonly writesShared: boolean;

  /**
   * Forward and backward in training mode over each micro-batch by itself, and the sum of the results along the
   * reduction tree: (a + b) + (c + d). The bits are those of separate calls added up.
   * @param batches a power of two of them, up to `maxGroup`; each may be empty
   * @param sums a sum vector (see ParameterLayout), overwritten: gradient of the summed loss, batch statistics times
   *   count, loss sum, number correct, count. An engine may keep a reference to it to write there without a copy.
   */
  gradient(batches: readonly MicroBatch[], sums: Float32Array): Promise<void>;

  /** Loss and predictions in inference mode: no dropout, moving statistics. */
  evaluate(samples: Samples): Promise<Evaluation>;

  /** Class probabilities in inference mode. @param probabilities receives [count, numClasses] */
  predict(samples: Samples, probabilities: Float32Array): Promise<void>;

  dispose(): Promise<void>;
}
