import { describe, expect, it } from 'vitest';
import { ErrorFeedback } from './error-feedback.ts';
import { purposes, RandomStream } from './random.ts';
import { type SparseSums, unpackSparse } from './sparse.ts';

const numWeights = 1000;
const numEntries = 10;
const layout = { numWeights, sumLength: numWeights + 5 };
const STEP_SIZE = 80;

const bytesOf = ({ buffer }: Float32Array): Uint8Array => new Uint8Array(buffer);
const random = new RandomStream(5, purposes.jitter, 0, 0, 0);
/** Whole numbers, so that sums of them are exact; behind the weights what travels whole. */
const sums = (): Float32Array =>
  Float32Array.from({ length: layout.sumLength }, () => Math.round(random.normal() * 1000));

function sent(feedback: ErrorFeedback, vectors: readonly Float32Array[], stepSize = STEP_SIZE): SparseSums {
  return unpackSparse(feedback.pack(vectors.map(bytesOf), stepSize), numEntries, numWeights, layout.sumLength)!;
}

/** Adds what stands at some indices. */
function add(total: Float64Array, { indices, values }: SparseSums): void {
  for (const [i, index] of indices.entries()) total[index]! += values[i]!;
}

describe('error feedback', () => {
  it('sends all gradients sooner or later: what was sent and what is held back are their sum', () => {
    const feedback = new ErrorFeedback(layout, numEntries);
    const given = new Float64Array(numWeights);
    const arrived = new Float64Array(numWeights);
    for (let step = 0; step < 1000; step++) {
      const vector = sums();
      for (let i = 0; i < numWeights; i++) given[i]! += vector[i]!;
      add(arrived, sent(feedback, [vector]));
      feedback.settle(true);
      const { residual } = feedback;
      expect(given.findIndex((value, i) => value - arrived[i]! !== residual[i])).toBe(-1);
    }
    // Nothing waits for ever.
    expect(arrived.indexOf(0)).toBe(-1);
  });

  it('adds the nodes of a result, and sends what is no gradient whole', () => {
    const feedback = new ErrorFeedback(layout, numEntries);
    const vectors = [sums(), sums(), sums()];
    const whole = vectors[0]!.map((value, i) => value + vectors[1]![i]! + vectors[2]![i]!);
    const { indices, values, tail } = sent(feedback, vectors);
    expect([...values]).toEqual([...indices].map((index) => whole[index]));
    expect(tail).toEqual(whole.subarray(numWeights));
    feedback.settle(true);
    // Of the counts nothing stays behind.
    expect(sent(feedback, [new Float32Array(layout.sumLength)]).tail).toEqual(new Float32Array(5));
  });

  it('forgets a result that does not count, and nothing of those before', () => {
    const feedback = new ErrorFeedback(layout, numEntries);
    sent(feedback, [sums()]);
    feedback.settle(true);
    const held = feedback.residual.slice();
    sent(feedback, [sums()]);
    expect(feedback.residual).toEqual(held);
    feedback.settle(false);
    expect(feedback.residual).toEqual(held);
    const nothing = new Float32Array(layout.sumLength);
    const { indices, values } = sent(feedback, [nothing]);
    expect([...values]).toEqual([...indices].map((index) => held[index]));
  });

  it('does not keep what is not finite, which nobody takes', () => {
    const feedback = new ErrorFeedback(layout, numEntries);
    sent(feedback, [sums()]);
    feedback.settle(true);
    const bad = sums();
    for (let i = 0; i < 50; i++) bad[i * 7] = Number.NaN;
    expect(sent(feedback, [bad]).values.every(Number.isNaN)).toBe(true);
    feedback.settle(false);
    expect(feedback.residual.every(Number.isFinite)).toBe(true);
  });

  it('weighs what it held back by the samples of the step that it goes into', () => {
    const feedback = new ErrorFeedback(layout, numEntries);
    const vector = sums();
    sent(feedback, [vector]);
    feedback.settle(true);
    const mean = feedback.residual.map((value) => value / STEP_SIZE);
    const { indices, values } = sent(feedback, [new Float32Array(layout.sumLength)], 20);
    for (const [i, index] of indices.entries()) expect(values[i]! / 20).toBeCloseTo(mean[index]!, 5);
  });
});
