/** What an operation over tf.js takes and gives, and the parts that several of them share. */
import type * as tfjs from '@tensorflow/tfjs-core';
import type { LayerNode } from '../topology/network.ts';

/** The tf.js library that owns the backend: tfjs-core, or the copy that a native binding brings along. */
export type Tf = typeof tfjs;
export type Tensor = tfjs.Tensor;
export type Tensor2D = tfjs.Tensor2D;
export type Tensor4D = tfjs.Tensor4D;

export interface Operands {
  readonly tf: Tf;
  /** [count, ...shape] each. */
  readonly inputs: readonly Tensor[];
  readonly parameter: (name: string) => Tensor;
  /** Of each dropout layer, [count, ...shape] of ones and zeros; undefined in inference mode. */
  readonly masks: readonly Tensor[] | undefined;
}

/** Gradients of the loss: one for each input of the node, and one for each weight it owns, by name. */
interface Gradients {
  readonly inputs: readonly Tensor[];
  readonly weights: Readonly<Record<string, Tensor>>;
}

export interface Applied {
  readonly output: Tensor;
  /** From the gradient with respect to the output; not called in inference mode. */
  readonly backward: (gradient: Tensor) => Gradients;
  /** Batch mean and variance by the names of the moving averages. */
  readonly statistics: Readonly<Record<string, Tensor>>;
}

export type Node<Kind extends LayerNode['kind']> = Extract<LayerNode, { kind: Kind }>;

/** An operation without weights. */
export const simple = (output: Tensor, backward: (gradient: Tensor) => readonly Tensor[]): Applied => ({
  output,
  backward: (gradient) => ({ inputs: backward(gradient), weights: {} }),
  statistics: {},
});

export function addBias(tf: Tf, output: Tensor, bias: string | undefined, operands: Operands): Tensor {
  return bias === undefined ? output : tf.add(output, operands.parameter(bias));
}

/** Sums over all dimensions but the last. */
function sumRows(tf: Tf, tensor: Tensor): Tensor {
  return tf.sum(tf.reshape(tensor, [-1, tensor.shape.at(-1)!]), 0);
}

export function weightGradients(
  tf: Tf,
  node: { kernel: string; bias: string | undefined },
  kernel: Tensor,
  gradient: Tensor,
) {
  return { [node.kernel]: kernel, ...(node.bias === undefined ? {} : { [node.bias]: sumRows(tf, gradient) }) };
}
