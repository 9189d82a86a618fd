/** An engine over any tf.js backend that computes at once: `cpu`, `wasm`, or the native binding to TensorFlow. */
import { invariant } from '@lockstep/core';
import type { Tensor, Tensor2D, Tensor4D } from '@tensorflow/tfjs-core';
import { fillDropoutMask } from '../dropout.ts';
import type { Engine, EngineConfig, Evaluation, MicroBatch, RandomKey, Samples } from '../engine.ts';
import { type Network, numElements } from '../topology/network.ts';
import type { Tf } from './applied.ts';
import { runForward } from './forward.ts';

/** A tf.js backend that is registered and works. */
export interface TfjsBackend {
  readonly tf: Tf;
  readonly kind: 'tensorflow' | 'tfjs';
  /** Name under which `tf` knows it. */
  readonly name: string;
  /** What it computes on: `cpu`, `cuda`, `wasm`. */
  readonly device: string;
}

/**
 * Makes an engine on one backend. tf.js has one current backend per thread: each call makes its own backend the current
 * one and runs to its end without yielding, so that engines on several backends can live side by side.
 */
export async function createEngineOnBackend(config: EngineConfig, backend: TfjsBackend): Promise<Engine> {
  await backend.tf.setBackend(backend.name);
  await backend.tf.ready();
  return new TfjsEngine(config, backend);
}

class TfjsEngine implements Engine {
  readonly kind: TfjsBackend['kind'];
  readonly device: string;
  readonly maxGroup = 1;
  readonly writesShared = true;
  readonly #backend: TfjsBackend;
  readonly #tf: Tf;
  readonly #network: Network;
  readonly #labelSmoothing: number;
  #parameters = new Map<string, Tensor>();

  constructor({ network, labelSmoothing }: EngineConfig, backend: TfjsBackend) {
    this.kind = backend.kind;
    this.device = backend.device;
    this.#backend = backend;
    this.#tf = backend.tf;
    this.#network = network;
    this.#labelSmoothing = labelSmoothing;
  }

  setParameters(flat: Float32Array): void {
    this.#run(() => {
      this.#disposeParameters();
      const { layout } = this.#network;
      for (const parameter of layout.parameters) {
        // The copy is needed: tf.js keeps a reference to the array it is given.
        const tensor = this.#tf.tensor(layout.view(flat, parameter).slice(), [...parameter.shape]);
        this.#parameters.set(parameter.name, this.#tf.keep(tensor));
      }
    });
  }

  async gradient(batches: readonly MicroBatch[], sums: Float32Array): Promise<void> {
    const [batch, ...others] = batches;
    invariant(batch && others.length === 0, 'a group has no more micro-batches than maxGroup');
    const { samples, key } = batch;
    sums.fill(0);
    const { count } = samples;
    if (count === 0) return;
    const tf = this.#tf;
    const { layout, numClasses } = this.#network;
    this.#run(() => {
      const pass = runForward(tf, this.#network, this.#parameters, this.#images(samples), this.#masks(count, key));
      const labels = tf.tensor1d(Int32Array.from(samples.labels.subarray(0, count)), 'int32');
      const targets = tf.add(
        tf.mul(tf.oneHot(labels, numClasses), 1 - this.#labelSmoothing),
        this.#labelSmoothing / numClasses,
      );
      const loss = tf.neg(tf.sum(tf.mul(targets, tf.logSoftmax(pass.logits))));
      const gradients = pass.backward(tf.sub(tf.softmax(pass.logits), targets));
      for (const parameter of layout.parameters) {
        const view = layout.view(sums, parameter);
        if (parameter.kind === 'weight') {
          const gradient = gradients.get(parameter.name);
          if (gradient) view.set(gradient.dataSync<'float32'>());
        } else {
          const statistic = pass.statistics.get(parameter.name)!.dataSync<'float32'>();
          for (let i = 0; i < view.length; i++) view[i] = statistic[i]! * count;
        }
      }
      sums[layout.lossIndex] = loss.dataSync()[0]!;
      const predictions = predictedClasses(pass.logits.dataSync<'float32'>(), count, numClasses);
      sums[layout.correctIndex] = countCorrect(predictions, samples.labels);
      sums[layout.countIndex] = count;
    });
  }

  async evaluate(samples: Samples): Promise<Evaluation> {
    const { count, labels } = samples;
    if (count === 0) return { lossSum: 0, numCorrect: 0, predictions: new Uint8Array(0) };
    const { numClasses } = this.#network;
    return this.#run(() => {
      const logits = this.#inferenceLogits(samples);
      const logProbabilities = this.#tf.logSoftmax(logits).dataSync<'float32'>();
      let lossSum = 0;
      for (let n = 0; n < count; n++) lossSum -= logProbabilities[n * numClasses + labels[n]!]!;
      const predictions = predictedClasses(logits.dataSync<'float32'>(), count, numClasses);
      return { lossSum, numCorrect: countCorrect(predictions, labels), predictions };
    });
  }

  async predict(samples: Samples, probabilities: Float32Array): Promise<void> {
    if (samples.count === 0) return;
    this.#run(() => {
      probabilities.set(this.#tf.softmax(this.#inferenceLogits(samples)).dataSync<'float32'>());
    });
  }

  async dispose(): Promise<void> {
    this.#disposeParameters();
  }

  /** Runs `body` on this engine's backend and frees the tensors it leaves. */
  #run<Result>(body: () => Result): Result {
    const { tf, name } = this.#backend;
    // Takes effect at once for a backend that is ready, as this one is.
    if (tf.getBackend() !== name) void tf.setBackend(name);
    tf.engine().startScope();
    try {
      return body();
    } finally {
      tf.engine().endScope();
    }
  }

  #inferenceLogits(samples: Samples): Tensor2D {
    return runForward(this.#tf, this.#network, this.#parameters, this.#images(samples), undefined).logits;
  }

  #images({ images, count }: Samples): Tensor4D {
    const shape: [number, number, number, number] = [count, ...this.#network.inputShape];
    const pixels = new Float32Array(images.subarray(0, numElements(shape)));
    for (let i = 0; i < pixels.length; i++) pixels[i]! /= 255;
    return this.#tf.tensor4d(pixels, shape);
  }

  #masks(count: number, key: RandomKey): Tensor[] {
    const nodes = this.#network.nodes.filter((node) => node.kind === 'dropout');
    return nodes.map(({ rate, index, shape }) => {
      const mask = new Uint8Array(count * numElements(shape));
      fillDropoutMask(rate, key, index, mask);
      return this.#tf.tensor(new Float32Array(mask), [count, ...shape]);
    });
  }

  #disposeParameters(): void {
    for (const tensor of this.#parameters.values()) tensor.dispose();
    this.#parameters.clear();
  }
}

/** Of each sample the class of the largest logit, the first of equals. */
function predictedClasses(logits: Float32Array, count: number, numClasses: number): Uint8Array {
  const predictions = new Uint8Array(count);
  for (let n = 0; n < count; n++) {
    const row = n * numClasses;
    let best = 0;
    for (let k = 1; k < numClasses; k++) if (logits[row + k]! > logits[row + best]!) best = k;
    predictions[n] = best;
  }
  return predictions;
}

/** @param labels may be longer than `predictions` */
function countCorrect(predictions: Uint8Array, labels: Uint8Array): number {
  let numCorrect = 0;
  for (let n = 0; n < predictions.length; n++) if (predictions[n] === labels[n]) numCorrect++;
  return numCorrect;
}
