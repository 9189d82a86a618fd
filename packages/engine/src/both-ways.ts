/** Inference on each picture and its mirror image: what is predicted is the mean of both probabilities. */
import { mirror } from '@lockstep/core';
import type { Engine, Evaluation, Samples } from './engine.ts';
import type { Network } from './topology/network.ts';

/** The least probability that is told from zero in float32; keeps the loss of a picture finite. */
const LEAST = 2 ** -126;

/** Class probabilities. @param probabilities receives [count, numClasses] */
export async function predictBothWays(
  engine: Engine,
  { inputShape: [height, width, channels] }: Network,
  samples: Samples,
  probabilities: Float32Array,
): Promise<void> {
  const { count, images } = samples;
  const size = height * width * channels;
  const mirrored = images.slice(0, count * size);
  for (let i = 0; i < count; i++) mirror(mirrored, i * size, height, width, channels);
  const others = new Float32Array(probabilities.length);
  await engine.predict(samples, probabilities);
  await engine.predict({ ...samples, images: mirrored }, others);
  for (let i = 0; i < others.length; i++) probabilities[i] = (probabilities[i]! + others[i]!) / 2;
}

/** Loss and predictions, as {@link Engine.evaluate} has them. */
export async function evaluateBothWays(engine: Engine, network: Network, samples: Samples): Promise<Evaluation> {
  const { count, labels } = samples;
  const { numClasses } = network;
  const probabilities = new Float32Array(count * numClasses);
  await predictBothWays(engine, network, samples, probabilities);
  const predictions = new Uint8Array(count);
  let lossSum = 0;
  let numCorrect = 0;
  for (let i = 0; i < count; i++) {
    const row = probabilities.subarray(i * numClasses, (i + 1) * numClasses);
    const label = labels[i]!;
    lossSum -= Math.log(Math.max(LEAST, row[label]!));
    // The first of equals.
    predictions[i] = row.indexOf(row.reduce((a, b) => Math.max(a, b)));
    if (predictions[i] === label) numCorrect++;
  }
  return { lossSum, numCorrect, predictions };
}
