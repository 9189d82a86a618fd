/** The findings of `lockstep bench accuracy`: by model and framework over seeds, and how the two compare. */
import type { AccuracyReport, AccuracyRun, Framework } from './report.ts';
import { median } from './statistics.ts';

export interface AccuracyRow {
  readonly model: string;
  readonly framework: Framework;
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

/** PyTorch's time by Lockstep's, over the seeds for which both have one. */
export interface TimeRatio {
  readonly median: number;
  readonly least: number;
  readonly greatest: number;
  readonly numSeeds: number;
}

export interface AccuracyRatios {
  readonly model: string;
  /** Seeds that both trained. */
  readonly numSeeds: number;
  readonly wholeRun: TimeRatio | undefined;
  /** Per target; undefined when there is no seed with which both reached it. */
  readonly reached: readonly (TimeRatio | undefined)[];
}

/** What people call a model that some framework trains. */
export const subjectName = (model: string, framework: Framework): string =>
  framework === 'pytorch' ? `${model} in PyTorch` : model;

/** One row a model and framework; models in the order in which they were trained, Lockstep first. */
export function accuracyRows({ runs, targets }: AccuracyReport): AccuracyRow[] {
  return modelsOf(runs).flatMap((model) =>
    (['lockstep', 'pytorch'] as const).flatMap((framework): AccuracyRow[] => {
      const own = runs.filter((run) => run.model === model && run.framework === framework);
      if (own.length === 0) return [];
      const accuracies = own.map(({ accuracy }) => accuracy);
      return [
        {
          model,
          framework,
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
        },
      ];
    }),
  );
}

/** One entry for each model that both frameworks trained. The two runs of a seed stand side by side in time too. */
export function accuracyRatios({ runs, targets }: AccuracyReport): AccuracyRatios[] {
  return modelsOf(runs).flatMap((model): AccuracyRatios[] => {
    const pairs = runs.flatMap((lockstep) => {
      if (lockstep.model !== model || lockstep.framework !== 'lockstep') return [];
      const isPeer = (run: AccuracyRun): boolean =>
        run.model === model && run.framework === 'pytorch' && run.seed === lockstep.seed;
      return runs.filter(isPeer).map((pytorch) => ({ lockstep, pytorch }));
    });
    if (pairs.length === 0) return [];
    const over = (seconds: (run: AccuracyRun) => number | null | undefined): TimeRatio | undefined =>
      ratioOf(
        pairs.flatMap(({ lockstep, pytorch }) => {
          const [own, other] = [seconds(lockstep), seconds(pytorch)];
          return own == null || other == null ? [] : [other / own];
        }),
      );
    return [
      {
        model,
        numSeeds: pairs.length,
        wholeRun: over(({ seconds }) => seconds),
        reached: targets.map((_, i) => over(({ reached }) => reached[i])),
      },
    ];
  });
}

const modelsOf = (runs: readonly AccuracyRun[]): string[] => [...new Set(runs.map(({ model }) => model))];

function ratioOf(ratios: readonly number[]): TimeRatio | undefined {
  if (ratios.length === 0) return undefined;
  return {
    median: median(ratios),
    least: Math.min(...ratios),
    greatest: Math.max(...ratios),
    numSeeds: ratios.length,
  };
}
