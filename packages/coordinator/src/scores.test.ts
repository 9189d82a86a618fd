import { describe, expect, it } from 'vitest';
import { scorePredictions } from './scores.ts';

const names = ['shirt', 'bag', 'boot'];
const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);

describe('scorePredictions', () => {
  // Precision, recall and F1 of scikit-learn's classification_report for the same lists.
  it('counts who was taken for whom, and divides', () => {
    const labels = bytes(0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 2, 2);
    const predictions = bytes(0, 0, 1, 2, 1, 1, 0, 2, 2, 2, 2, 0);
    const { confusion, classes, macro } = scorePredictions(labels, predictions, names);
    expect(confusion).toEqual([
      [2, 1, 1],
      [1, 2, 0],
      [1, 0, 4],
    ]);
    expect(classes).toEqual([
      { name: 'shirt', precision: 2 / 4, recall: 2 / 4, f1: 4 / 8, support: 4 },
      { name: 'bag', precision: 2 / 3, recall: 2 / 3, f1: 4 / 6, support: 3 },
      { name: 'boot', precision: 4 / 5, recall: 4 / 5, f1: 8 / 10, support: 5 },
    ]);
    expect(macro.precision).toBeCloseTo((0.5 + 2 / 3 + 0.8) / 3);
  });

  it('tells precision from recall', () => {
    const { classes } = scorePredictions(bytes(0, 1, 1, 1), bytes(0, 0, 0, 1), names);
    expect(classes[0]).toMatchObject({ precision: 1 / 3, recall: 1, f1: 0.5 });
    expect(classes[1]).toMatchObject({ precision: 1, recall: 1 / 3, f1: 0.5 });
  });

  it('gives 0 where there is nothing to divide by, and leaves classes out that play no part', () => {
    const { classes, macro } = scorePredictions(bytes(0, 0), bytes(0, 1), names);
    expect(classes[1]).toEqual({ name: 'bag', precision: 0, recall: 0, f1: 0, support: 0 });
    expect(classes[2]).toEqual({ name: 'boot', precision: 0, recall: 0, f1: 0, support: 0 });
    expect(macro).toEqual({ precision: 0.5, recall: 0.25, f1: 1 / 3 });
    expect(scorePredictions(bytes(), bytes(), names).macro).toEqual({ precision: 0, recall: 0, f1: 0 });
  });

  it('reads no label behind the last prediction', () => {
    const { classes } = scorePredictions(bytes(0, 1, 2, 2), bytes(0, 1), names);
    expect(classes.map(({ support }) => support)).toEqual([1, 1, 0]);
  });
});
