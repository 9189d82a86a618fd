import { describe, expect, it } from 'vitest';
import { accuracyRatios, accuracyRows } from './accuracy-rows.ts';
import { accuracyReport, accuracyRun } from './testing/accuracy.ts';

describe('accuracyRows', () => {
  it('has the mean over seeds, and of the runs that reached a target the median time', () => {
    const runs = [
      accuracyRun('a', 0, 0.9, 10, 2, null),
      accuracyRun('b', 0, 0.5, 5, null, null),
      accuracyRun('a', 1, 0.93, 30, 4, 20),
      accuracyRun('a', 2, 0.93, 20, 9, 30),
    ];
    const rows = accuracyRows(accuracyReport(runs, [0.8, 0.93]));
    expect(rows.map(({ model, numRuns }) => [model, numRuns])).toEqual([
      ['a', 3],
      ['b', 1],
    ]);
    const [a, b] = rows;
    expect(a!.accuracy.mean).toBeCloseTo(0.92, 12);
    expect(a).toMatchObject({ seconds: 20, accuracy: { least: 0.9, greatest: 0.93 }, data: 'fashion-mnist' });
    expect(a!.reached).toEqual([
      { seconds: 4, numRuns: 3 },
      { seconds: 25, numRuns: 2 },
    ]);
    expect(b!.reached).toEqual([
      { seconds: undefined, numRuns: 0 },
      { seconds: undefined, numRuns: 0 },
    ]);
  });

  it('keeps frameworks apart, Lockstep first', () => {
    const pytorch = { ...accuracyRun('a', 0, 0.8, 40, 40), framework: 'pytorch' as const };
    const rows = accuracyRows(accuracyReport([pytorch, accuracyRun('a', 0, 0.9, 10, 5)], [0.8]));
    expect(rows.map(({ framework, seconds, accuracy }) => [framework, seconds, accuracy.mean])).toEqual([
      ['lockstep', 10, 0.9],
      ['pytorch', 40, 0.8],
    ]);
  });
});

describe('accuracyRatios', () => {
  const torch = (...args: Parameters<typeof accuracyRun>) => ({
    ...accuracyRun(...args),
    framework: 'pytorch' as const,
  });

  it('pairs the runs of a seed, and counts those in which both reached the target', () => {
    const runs = [
      accuracyRun('a', 0, 0.9, 10, 5, 10),
      torch('a', 0, 0.9, 20, 20, null),
      torch('a', 1, 0.9, 90, 60, 90),
      accuracyRun('a', 1, 0.9, 30, 10, 30),
      // A seed that only one of them trained.
      accuracyRun('a', 2, 0.9, 30, 1, 1),
      accuracyRun('b', 0, 0.9, 30, 1, 1),
    ];
    expect(accuracyRatios(accuracyReport(runs, [0.8, 0.9]))).toEqual([
      {
        model: 'a',
        numSeeds: 2,
        wholeRun: { median: 2.5, least: 2, greatest: 3, numSeeds: 2 },
        reached: [
          { median: 5, least: 4, greatest: 6, numSeeds: 2 },
          { median: 3, least: 3, greatest: 3, numSeeds: 1 },
        ],
      },
    ]);
  });

  it('has none where no seed reached the target with both', () => {
    const runs = [accuracyRun('a', 0, 0.9, 10, 5), torch('a', 0, 0.7, 20, null)];
    expect(accuracyRatios(accuracyReport(runs, [0.8]))[0]!.reached).toEqual([undefined]);
  });
});
