/** What the compiler makes: a graph, and how its inputs and outputs stand for flat vectors. */
import type { Shape } from '../topology/network.ts';

/** Names of the graphs' inputs and outputs that are not parameters. */
export const names = {
  images: (batch: number): string => `images_${batch}`,
  labels: (batch: number): string => `labels_${batch}`,
  /** Number of samples as a float: the weight of the batch statistics. */
  count: (batch: number): string => `count_${batch}`,
  mask: (index: number, batch: number): string => `mask_${index}_${batch}`,
  lossSum: 'loss_sum',
  numCorrect: 'num_correct',
  sums: 'sums',
  predictions: 'predictions',
  probabilities: 'probabilities',
  gradient: (parameter: string): string => `${parameter}/gradient`,
} as const;

/** A tensor of the graph that stands for a part of a flat vector: of the parameters, or of the sums. */
export interface Binding {
  readonly name: string;
  /** Place in the vector. */
  readonly part: { readonly offset: number; readonly size: number };
  readonly dims: readonly number[];
}

export interface CompiledGraph {
  readonly bytes: Uint8Array;
  /** Inputs, as parts of the flat parameters. */
  readonly parameters: readonly Binding[];
  /** Outputs, as parts of the sum vector: everything but its count. Empty for inference. */
  readonly produced: readonly Binding[];
  /** Dropout masks that must be fed for each micro-batch. */
  readonly masks: readonly { readonly index: number; readonly rate: number; readonly shape: Shape }[];
  /** Whether the numbers of samples must be fed. */
  readonly countsFed: boolean;
}
