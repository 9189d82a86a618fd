/** Training curves: how long they get, and what they keep. */
import { describe, expect, it } from 'vitest';
import { Curve } from './curve.ts';

const point = (runStep: number) => ({ runStep, loss: 1 / runStep, accuracy: runStep / 1e6, samplesPerSecond: runStep });

function curveOf(first: number, last: number): Curve['columns'] {
  const curve = new Curve();
  for (let runStep = first; runStep <= last; runStep++) curve.add(point(runStep));
  return curve.columns;
}

describe('Curve', () => {
  it('keeps every point of a short run', () => {
    expect(curveOf(1, 5).runStep).toEqual([1, 2, 3, 4, 5]);
  });

  it.each([
    [1, 999],
    [1, 1000],
    [1, 100_000],
    [54_321, 60_000],
  ])('from step %i to %i: has at most a thousand points, evenly spread over all of it', (first, last) => {
    const { runStep } = curveOf(first, last);
    expect(runStep.length).toBeLessThan(1000);
    if (last - first > 1000) expect(runStep.length).toBeGreaterThanOrEqual(490);
    const gap = runStep[1]! - runStep[0]!;
    runStep.slice(1).forEach((step, i) => {
      expect(step - runStep[i]!).toBe(gap);
    });
    expect(runStep[0]! - first).toBeLessThan(gap);
    expect(last - runStep.at(-1)!).toBeLessThan(gap);
  });

  it('keeps what belongs to a step together', () => {
    const { runStep, loss, accuracy, samplesPerSecond } = curveOf(1, 30_000);
    runStep.forEach((step, i) => {
      expect({ runStep: step, loss: loss[i], accuracy: accuracy[i], samplesPerSecond: samplesPerSecond[i] }).toEqual(
        point(step),
      );
    });
  });
});
