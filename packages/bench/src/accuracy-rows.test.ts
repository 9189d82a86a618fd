import { expect, it } from 'vitest';
import { accuracyRows } from './accuracy-rows.ts';
import type { AccuracyReport, AccuracyRun } from './report.ts';

const run = (model: string, accuracy: number, seconds: number, ...reached: (number | null)[]): AccuracyRun => ({
  model,
  seed: 0,
  data: 'fashion-mnist',
  accuracy,
  seconds,
  weightsSha256: '',
  reached,
  epochs: [],
});

it('has the mean over seeds, and of the runs that reached a target the median time', () => {
  const runs = [
    run('a', 0.9, 10, 2, null),
    run('b', 0.5, 5, null, null),
    run('a', 0.93, 30, 4, 20),
    run('a', 0.93, 20, 9, 30),
  ];
  const rows = accuracyRows({ runs, targets: [0.8, 0.93] } as unknown as AccuracyReport);
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
