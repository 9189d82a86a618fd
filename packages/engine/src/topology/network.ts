/**
 * A model as every engine sees it: a list of layers in the order they run, each with its output shape worked out and
 * `same` padding resolved to numbers. Made from a Keras topology by `parse.ts`.
 */
import type { ParameterLayout } from '@lockstep/core';

/** Output shape of a layer without the batch dimension; images are [height, width, channels]. */
export type Shape = readonly number[];

export type ActivationName = 'relu' | 'relu6' | 'tanh' | 'sigmoid' | 'gelu' | 'gelu_tanh' | 'softmax';

/** Rows and columns added around a picture. */
export interface Padding {
  readonly top: number;
  readonly bottom: number;
  readonly left: number;
  readonly right: number;
}

/** A window that slides over a picture: [height, width] each. */
export interface Window {
  readonly size: readonly [number, number];
  readonly strides: readonly [number, number];
  readonly padding: Padding;
}

/** Names in this union are parameter names (`<layer>/kernel`), to be looked up in the network's layout. */
export type LayerOperation =
  | { readonly kind: 'input' }
  /** Contracts the last dimension; kernel [in, units], bias [units]. */
  | { readonly kind: 'dense'; readonly kernel: string; readonly bias: string | undefined }
  /** Kernel [height, width, in, filters], bias [filters]. */
  | { readonly kind: 'conv2d'; readonly window: Window; readonly kernel: string; readonly bias: string | undefined }
  /** Kernel [height, width, in, multiplier]; output channel c * multiplier + m. Bias [in * multiplier]. */
  | {
      readonly kind: 'depthwiseConv2d';
      readonly window: Window;
      readonly kernel: string;
      readonly bias: string | undefined;
    }
  /** Padding never wins the maximum; of equal values the first in row-major order gets the gradient. */
  | { readonly kind: 'maxPool'; readonly window: Window }
  /** Padding counts neither in the sum nor in the divisor. */
  | { readonly kind: 'averagePool'; readonly window: Window }
  /** Mean over height and width; the output shape says whether they stay as ones. */
  | { readonly kind: 'globalAveragePool' }
  /** Row-major reinterpretation, to the node's own shape: Flatten and Reshape. */
  | { readonly kind: 'reshape' }
  | { readonly kind: 'activation'; readonly activation: ActivationName }
  /** Inverted dropout; `index` numbers the model's dropout layers from 0 and keys their masks. */
  | { readonly kind: 'dropout'; readonly rate: number; readonly index: number }
  /** Over all but the last dimension. Training: statistics of the micro-batch (population variance). */
  | {
      readonly kind: 'batchNorm';
      readonly epsilon: number;
      readonly gamma: string | undefined;
      readonly beta: string | undefined;
      readonly movingMean: string;
      readonly movingVariance: string;
    }
  | { readonly kind: 'add' }
  /** Along the dimension `axis` of the shape without batch. */
  | { readonly kind: 'concatenate'; readonly axis: number }
  | { readonly kind: 'zeroPad'; readonly padding: Padding };

export type LayerNode = LayerOperation & {
  readonly id: string;
  /** Ids of the nodes whose outputs this one reads. */
  readonly inputs: readonly string[];
  readonly shape: Shape;
};

export interface Network {
  readonly name: string;
  /** [height, width, channels] of the uint8 pictures, which the engine scales to 0..1. */
  readonly inputShape: readonly [number, number, number];
  readonly numClasses: number;
  /** In an order in which every node comes after its inputs; the first is the input. */
  readonly nodes: readonly LayerNode[];
  /** Id of the node whose output are the logits: the model's output, less a final softmax, which the loss takes over. */
  readonly logits: string;
  /** Whether the model itself ends in that softmax: its output are probabilities then. */
  readonly endsInSoftmax: boolean;
  readonly layout: ParameterLayout;
  /** Rates of the dropout layers, by index, and the elements of one sample's mask. */
  readonly dropouts: readonly { readonly rate: number; readonly size: number }[];
  /** The topology as a tf.js `model.json` holds it, for saving beside the weights. */
  readonly modelTopology: unknown;
}

export const numElements = (shape: Shape): number => shape.reduce((product, dimension) => product * dimension, 1);
