/** Softmax cross-entropy, its gradient, and the predicted classes: a few numbers a sample, so in plain JavaScript and float64. */

export interface Logits {
  readonly count: number;
  readonly numClasses: number;
  /** [count, room] */
  readonly values: Float32Array;
  /** From one row to the next. */
  readonly room: number;
}

/** Index of the largest of a row, the first of equals. */
function argMax(values: Float32Array, start: number, length: number): number {
  let best = 0;
  for (let i = 1; i < length; i++) if (values[start + i]! > values[start + best]!) best = i;
  return best;
}

/**
 * Softmax of a row of logits.
 * @param best index of the largest @param into receives the probabilities
 * @returns log of the sum of the logits' exponentials; NaN where one of them is
 */
function softmax(values: Float32Array, start: number, length: number, best: number, into: Float64Array): number {
  const largest = values[start + best]!;
  let sum = 0;
  for (let i = 0; i < length; i++) {
    into[i] = Math.exp(values[start + i]! - largest);
    sum += into[i]!;
  }
  for (let i = 0; i < length; i++) into[i]! /= sum;
  return largest + Math.log(sum);
}

export interface Totals {
  readonly lossSum: number;
  readonly numCorrect: number;
}

/**
 * @param smoothing share of the target that is spread evenly over all classes
 * @param gradient receives the gradient of the summed loss with respect to the logits, in their arrangement
 */
export function trainingLoss(
  { count, numClasses, values, room }: Logits,
  labels: Uint8Array,
  smoothing: number,
  gradient: Float32Array,
): Totals {
  const probabilities = new Float64Array(numClasses);
  const spread = smoothing / numClasses;
  let lossSum = 0;
  let numCorrect = 0;
  for (let n = 0; n < count; n++) {
    const start = n * room;
    const label = labels[n]!;
    const best = argMax(values, start, numClasses);
    const logSum = softmax(values, start, numClasses, best, probabilities);
    for (let i = 0; i < numClasses; i++) {
      const target = spread + (i === label ? 1 - smoothing : 0);
      gradient[start + i] = probabilities[i]! - target;
      if (target !== 0) lossSum += target * (logSum - values[start + i]!);
    }
    if (best === label) numCorrect++;
  }
  return { lossSum, numCorrect };
}

/** Without smoothing. @param predictions receives a class for each sample */
export function evaluationLoss(
  { count, numClasses, values, room }: Logits,
  labels: Uint8Array,
  predictions: Uint8Array,
): Totals {
  const probabilities = new Float64Array(numClasses);
  let lossSum = 0;
  let numCorrect = 0;
  for (let n = 0; n < count; n++) {
    const start = n * room;
    const label = labels[n]!;
    const best = argMax(values, start, numClasses);
    lossSum += softmax(values, start, numClasses, best, probabilities) - values[start + label]!;
    predictions[n] = best;
    if (best === label) numCorrect++;
  }
  return { lossSum, numCorrect };
}

/** @param probabilities receives [count, numClasses] */
export function probabilitiesOf({ count, numClasses, values, room }: Logits, probabilities: Float32Array): void {
  const row = new Float64Array(numClasses);
  for (let n = 0; n < count; n++) {
    softmax(values, n * room, numClasses, argMax(values, n * room, numClasses), row);
    probabilities.set(row, n * numClasses);
  }
}
