/**
 * The same topology as a plain tf.js layers model, whose gradients come from tf.js' own automatic differentiation: what
 * a user would write without Lockstep. Shares nothing with the engines but the backend underneath one of them.
 */
import { invariant, type Parameter } from '@lockstep/core';
import * as tf from '@tensorflow/tfjs';
import type { Samples } from '../engine.ts';
import { type Network, numElements } from '../topology/network.ts';

export class PlainModel {
  readonly #network: Network;
  readonly #model: tf.LayersModel;

  private constructor(network: Network, model: tf.LayersModel) {
    this.#network = network;
    this.#model = model;
  }

  static async load(network: Network): Promise<PlainModel> {
    await tf.setBackend('cpu');
    tf.enableProdMode();
    const topology = network.modelTopology as Parameters<typeof tf.models.modelFromJSON>[0];
    return new PlainModel(network, await tf.models.modelFromJSON(topology));
  }

  #parameter(name: string): Parameter {
    const parameter = this.#network.layout.parameters.find((candidate) => candidate.name === name);
    invariant(parameter, `${name} of the plain model is a parameter of the network`);
    return parameter;
  }

  /** @param flat the flat vector of `network.layout`; weights are matched by name */
  setParameters(flat: Float32Array): void {
    const { layout } = this.#network;
    invariant(
      this.#model.weights.length === layout.parameters.length,
      'the plain model has the same number of parameters',
    );
    for (const weight of this.#model.weights) {
      const parameter = this.#parameter(weight.originalName);
      const value = tf.tensor(layout.view(flat, parameter).slice(), [...parameter.shape]);
      weight.write(value);
      value.dispose();
    }
  }

  /**
   * In training mode, where batch normalization takes its statistics from these samples.
   * @returns gradient of the mean cross-entropy, in the order of the flat vector
   */
  meanGradient({ count, images, labels }: Samples): Float32Array {
    const { layout, inputShape, numClasses } = this.#network;
    const gradient = new Float32Array(layout.numWeights);
    tf.tidy(() => {
      const pixels = Float32Array.from(images.subarray(0, count * numElements(inputShape)), (byte) => byte / 255);
      const pictures = tf.tensor4d(pixels, [count, ...inputShape]);
      const targets = tf.oneHot(tf.tensor1d(Int32Array.from(labels.subarray(0, count)), 'int32'), numClasses);
      const weights = this.#model.trainableWeights.map((weight) => ({
        name: weight.originalName,
        variable: weight.read() as tf.Variable,
      }));
      const { grads } = tf.variableGrads(
        () => {
          const probabilities = this.#model.apply(pictures, { training: true }) as tf.Tensor2D;
          return tf.neg(tf.mean(tf.log(tf.sum(tf.mul(probabilities, targets), 1)))) as tf.Scalar;
        },
        weights.map(({ variable }) => variable),
      );
      for (const { name, variable } of weights) {
        layout.view(gradient, this.#parameter(name)).set(grads[variable.name]!.dataSync<'float32'>());
      }
    });
    return gradient;
  }

  dispose(): void {
    this.#model.dispose();
  }
}
