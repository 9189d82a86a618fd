/**
 * The judge of all engines: forward pass and loss of a network in float64, as plain nested loops over the layers' own
 * definitions. Slow on purpose: nothing here is shared with an engine but the network and the dropout masks.
 */
import type { Samples } from '../engine.ts';
import type { Network, Shape } from '../topology/network.ts';
import { numElements } from '../topology/network.ts';
import { applyLayer, type Pass, softmax, type Values } from './reference-layers.ts';

export interface ReferenceResult {
  /** Cross-entropy summed over the samples, in nats. */
  readonly lossSum: number;
  /** Samples whose largest logit, the first of equals, is that of their class. */
  readonly numCorrect: number;
  /** [count] class of the largest logit, the first of equals. */
  readonly predictions: Uint8Array;
  /** [count, numClasses] */
  readonly logits: Float64Array;
  /** [count, numClasses] */
  readonly probabilities: Float64Array;
  /** Mean and population variance over the micro-batch, by the name of the moving average; empty in inference mode. */
  readonly statistics: ReadonlyMap<string, Float64Array>;
  /**
   * Hash of every choice that makes the loss piecewise: the side of each ReLU and the winner of each maximum. Two passes
   * with one hash lie on one smooth piece, so that a finite difference between them means something.
   */
  readonly piece: number;
}

/**
 * Training mode: batch statistics, dropout, label smoothing.
 * @param parameters the flat vector of `network.layout`
 * @param masks of each dropout layer: [count, ...shape], 1 where an element stays
 */
export function referenceTraining(
  network: Network,
  parameters: ArrayLike<number>,
  samples: Samples,
  labelSmoothing: number,
  masks: readonly Uint8Array[],
): ReferenceResult {
  return run(network, parameters, samples, labelSmoothing, masks, true);
}

/** Inference mode: moving statistics, no dropout, no label smoothing. */
export function referenceInference(network: Network, parameters: ArrayLike<number>, samples: Samples): ReferenceResult {
  return run(network, parameters, samples, 0, [], false);
}

function run(
  network: Network,
  parameters: ArrayLike<number>,
  samples: Samples,
  labelSmoothing: number,
  masks: readonly Uint8Array[],
  training: boolean,
): ReferenceResult {
  const flat = Float64Array.from(parameters);
  const views = new Map(
    network.layout.parameters.map(({ name, offset, size }) => [name, flat.subarray(offset, offset + size)]),
  );
  const statistics = new Map<string, Float64Array>();
  let piece = 2166136261;
  const pass: Pass = {
    count: samples.count,
    training,
    masks,
    statistics,
    parameter: (name) => views.get(name)!,
    // FNV-1a.
    choose: (choice) => {
      piece = Math.imul(piece ^ choice, 16777619);
    },
  };
  const values = new Map<string, Values>();
  for (const node of network.nodes) {
    const inputs = node.inputs.map((id) => values.get(id)!);
    const data = node.kind === 'input' ? scaledImages(samples, node.shape) : applyLayer(node, inputs, pass);
    values.set(node.id, { shape: node.shape, data });
  }
  const logits = values.get(network.logits)!.data;
  return { ...score(logits, network.numClasses, samples, labelSmoothing), logits, statistics, piece };
}

function scaledImages({ images, count }: Samples, shape: Shape): Float64Array {
  return Float64Array.from(images.subarray(0, count * numElements(shape)), (byte) => byte / 255);
}

function score(logits: Float64Array, numClasses: number, { count, labels }: Samples, labelSmoothing: number) {
  const probabilities = softmax(logits, numClasses);
  let lossSum = 0;
  let numCorrect = 0;
  const predictions = new Uint8Array(count);
  for (let n = 0; n < count; n++) {
    const row = logits.subarray(n * numClasses, (n + 1) * numClasses);
    const max = Math.max(...row);
    const logSum = max + Math.log(row.reduce((sum, logit) => sum + Math.exp(logit - max), 0));
    for (let k = 0; k < numClasses; k++) {
      const target = (k === labels[n]! ? 1 - labelSmoothing : 0) + labelSmoothing / numClasses;
      lossSum -= target * (row[k]! - logSum);
    }
    predictions[n] = row.indexOf(max);
    if (predictions[n] === labels[n]!) numCorrect++;
  }
  return { lossSum, numCorrect, predictions, probabilities };
}
