/**
 * Inference on several views of each picture: as it is, mirrored, and moved a little. What is predicted is the mean of
 * their probabilities (test-time augmentation).
 */
import { mirror, move } from '@lockstep/core';
import type { Engine, Evaluation, Samples } from './engine.ts';
import type { Network } from './topology/network.ts';

/** Which views of a picture count, beside the picture itself. */
export interface Views {
  /** Its mirror image. */
  readonly flip: boolean;
  /** Each of these moved by so many pixels, up to the left and down to the right; 0: not moved. */
  readonly shift: number;
}

export const PLAIN_VIEW: Views = { flip: false, shift: 0 };

export const isPlain = ({ flip, shift }: Views): boolean => !flip && shift === 0;

/** Continues "the mean over"; undefined where there is nothing but the picture. */
export function describeViews(views: Views): string | undefined {
  if (isPlain(views)) return undefined;
  const { flip, shift } = views;
  const mirrored = flip ? ' and its mirror image' : '';
  const pixels = shift === 1 ? 'a pixel' : `${shift} pixels`;
  return `each picture${mirrored}${shift === 0 ? '' : `, also moved by ${pixels}`}`;
}

/** The least probability that is told from zero in float32; keeps the loss of a picture finite. */
const LEAST = 2 ** -126;

/** All views of the pictures, each time in a copy. */
function* viewsOf({ inputShape: [height, width, channels] }: Network, { count, images }: Samples, views: Views) {
  const row = width * channels;
  const size = height * row;
  for (const flip of views.flip ? [false, true] : [false]) {
    for (const by of views.shift === 0 ? [0] : [0, -views.shift, views.shift]) {
      const view = images.slice(0, count * size);
      for (let at = 0; at < view.length; at += size) {
        if (flip) mirror(view, at, height, width, channels);
        if (by !== 0) move(view, at, height, row, by, by * channels);
      }
      yield view;
    }
  }
}

/** Class probabilities. @param probabilities receives [count, numClasses] */
export async function predictViews(
  engine: Engine,
  network: Network,
  samples: Samples,
  views: Views,
  probabilities: Float32Array,
): Promise<void> {
  if (isPlain(views)) return engine.predict(samples, probabilities);
  const ofView = new Float32Array(probabilities.length);
  let numViews = 0;
  probabilities.fill(0);
  for (const images of viewsOf(network, samples, views)) {
    await engine.predict({ ...samples, images }, ofView);
    for (let i = 0; i < ofView.length; i++) probabilities[i]! += ofView[i]!;
    numViews++;
  }
  for (let i = 0; i < probabilities.length; i++) probabilities[i]! /= numViews;
}

/** Loss and predictions, as {@link Engine.evaluate} has them. */
export async function evaluateViews(
  engine: Engine,
  network: Network,
  samples: Samples,
  views: Views,
): Promise<Evaluation> {
  if (isPlain(views)) return engine.evaluate(samples);
  const { count, labels } = samples;
  const { numClasses } = network;
  const probabilities = new Float32Array(count * numClasses);
  await predictViews(engine, network, samples, views, probabilities);
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
