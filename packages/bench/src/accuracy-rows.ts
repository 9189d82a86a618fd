/** The findings of `lockstep bench accuracy` by model: means over seeds. */
import type { AccuracyReport } from './report.ts';
import { median } from './statistics.ts';

export interface AccuracyRow {
  readonly model: string;
  readonly numRuns: number;
  /** Names of the datasets; one, unless something changed on the way. */
  readonly data: string;
  /** Mean over the runs, the least and the greatest. */
  readonly accuracy: { readonly mean: number; readonly least: number; readonly greatest: number };
  /** Of a whole run: the median. */
  readonly seconds: number;
  /** Per target, the median of the seconds of the runs that reached it, and how many did. */
  readonly reached: readonly { readonly seconds: number | undefined; readonly numRuns: number }[];
}

/** One row a model, in the order in which they were trained. */
export function accuracyRows({ runs, targets }: AccuracyReport): AccuracyRow[] {
  const models = [...new Set(runs.map(({ model }) => model))];
  return models.map((name) => {
    const own = runs.filter(({ model }) => model === name);
    const accuracies = own.map(({ accuracy }) => accuracy);
    return {
      model: name,
      numRuns: own.length,
      data: [...new Set(own.map(({ data }) => data))].join(', '),
      accuracy: {
        mean: accuracies.reduce((sum, value) => sum + value, 0) / own.length,
        least: Math.min(...accuracies),
        greatest: Math.max(...accuracies),
      },
      seconds: median(own.map(({ seconds }) => seconds)),
      reached: targets.map((_, i) => {
        const times = own.flatMap(({ reached }) => reached[i] ?? []);
        return { seconds: times.length > 0 ? median(times) : undefined, numRuns: times.length };
      }),
    };
  });
}
