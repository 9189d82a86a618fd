/** How well predictions match labels, class by class. */

/** Shares in 0..1; one without a denominator (nothing predicted, nothing there) is 0, as in scikit-learn. */
export interface Scores {
  /** Of the pictures for which the class was predicted, how many are of it. */
  readonly precision: number;
  /** Of the pictures of the class, for how many it was predicted. */
  readonly recall: number;
  /** Harmonic mean of both. */
  readonly f1: number;
}

export interface ClassScores extends Scores {
  readonly name: string;
  /** Pictures of the class. */
  readonly support: number;
}

export interface ScoreReport {
  readonly classes: readonly ClassScores[];
  /** Means over the classes, each counting the same; classes that neither occur nor are predicted do not count. */
  readonly macro: Scores;
  /** Rows: true class, columns: predicted class. */
  readonly confusion: readonly (readonly number[])[];
}

const share = (part: number, whole: number): number => (whole === 0 ? 0 : part / whole);
const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

/** @param labels may be longer than `predictions` */
export function scorePredictions(
  labels: Uint8Array,
  predictions: Uint8Array,
  classNames: readonly string[],
): ScoreReport {
  const confusion = classNames.map(() => classNames.map(() => 0));
  for (const [i, predicted] of predictions.entries()) confusion[labels[i]!]![predicted]!++;
  const predictedAs = classNames.map((_, predicted) => sum(confusion.map((row) => row[predicted]!)));
  const classes = classNames.map((name, i): ClassScores => {
    const hits = confusion[i]![i]!;
    const support = sum(confusion[i]!);
    const f1 = share(2 * hits, support + predictedAs[i]!);
    return { name, precision: share(hits, predictedAs[i]!), recall: share(hits, support), f1, support };
  });
  const present = classes.filter(({ support }, i) => support + predictedAs[i]! > 0);
  const mean = (score: keyof Scores): number => share(sum(present.map((scores) => scores[score])), present.length);
  return { classes, macro: { precision: mean('precision'), recall: mean('recall'), f1: mean('f1') }, confusion };
}
