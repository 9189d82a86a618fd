/** Runs a network over tf.js, forward and backward. All tensors belong to the caller's `tf.tidy`. */
import type { Tensor, Tensor2D, Tensor4D } from '@tensorflow/tfjs-core';
import type { Network } from '../topology/network.ts';
import type { Applied, Tf } from './applied.ts';
import { applyNode } from './operations.ts';

export interface ForwardPass {
  /** [count, numClasses] */
  readonly logits: Tensor2D;
  /** Mean and population variance over the micro-batch, by the name of the moving average; empty in inference mode. */
  readonly statistics: ReadonlyMap<string, Tensor>;
  /**
   * Gradients of every weight that the loss depends on, by name.
   * @param gradient of the loss with respect to the logits, [count, numClasses]
   */
  readonly backward: (gradient: Tensor2D) => ReadonlyMap<string, Tensor>;
}

/**
 * @param parameters one tensor for each parameter of the layout, by name
 * @param images [count, height, width, channels], 0..1
 * @param masks of each dropout layer, [count, ...shape] of ones and zeros, for training mode; undefined for inference mode
 */
export function runForward(
  tf: Tf,
  network: Network,
  parameters: ReadonlyMap<string, Tensor>,
  images: Tensor4D,
  masks: readonly Tensor[] | undefined,
): ForwardPass {
  const outputs = new Map<string, Tensor>();
  const applied: { id: string; inputs: readonly string[]; backward: Applied['backward'] }[] = [];
  const statistics = new Map<string, Tensor>();
  for (const node of network.nodes) {
    if (node.kind === 'input') {
      outputs.set(node.id, images);
      continue;
    }
    const inputs = node.inputs.map((id) => outputs.get(id)!);
    const result = applyNode(node, { tf, inputs, parameter: (name) => parameters.get(name)!, masks });
    outputs.set(node.id, result.output);
    applied.push({ id: node.id, inputs: node.inputs, backward: result.backward });
    for (const [name, statistic] of Object.entries(result.statistics)) statistics.set(name, statistic);
  }

  const backward = (gradient: Tensor2D): ReadonlyMap<string, Tensor> => {
    const weights = new Map<string, Tensor>();
    const gradients = new Map<string, Tensor>([[network.logits, gradient]]);
    for (const { id, inputs, backward } of applied.reverse()) {
      const arriving = gradients.get(id);
      // A branch that does not lead to the logits.
      if (arriving === undefined) continue;
      const result = backward(arriving);
      for (const [name, weight] of Object.entries(result.weights)) weights.set(name, weight);
      inputs.forEach((input, i) => {
        const sum = gradients.get(input);
        gradients.set(input, sum === undefined ? result.inputs[i]! : tf.add(sum, result.inputs[i]!));
      });
    }
    return weights;
  };
  return { logits: outputs.get(network.logits)! as Tensor2D, statistics, backward };
}
