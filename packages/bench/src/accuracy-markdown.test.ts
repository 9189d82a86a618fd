import { expect, it } from 'vitest';
import { markdownOf } from './markdown.ts';
import { benchReport } from './report.ts';
import { accuracyReport, accuracyRun } from './testing/accuracy.ts';

const lockstep = [accuracyRun('mlp', 0, 0.89, 10, 4, null), accuracyRun('mlp', 1, 0.9, 10, 5, 10)];
const pytorch = [
  { ...accuracyRun('mlp', 0, 0.88, 30, 12, null), framework: 'pytorch' as const, weightsSha256: null },
  { ...accuracyRun('mlp', 1, 0.9, 20, 10, 20), framework: 'pytorch' as const, weightsSha256: null },
];

it('has a row for each framework, and the ratios of their times', () => {
  const report = {
    ...accuracyReport([...lockstep, ...pytorch], [0.88, 0.9]),
    pytorch: { version: '2.13.0', threads: 2, layouts: { mlp: ['contiguous'] } },
  };
  const text = markdownOf(report, false);
  expect(text).toContain('PyTorch 2.13.0 |');
  expect(text).toContain('| mlp | fashion-mnist | 0.8950 (0.8900 to 0.9000) | 10.0 s | 4.5 s | 10.0 s (1 of 2 runs) |');
  expect(text).toContain('| mlp in PyTorch | fashion-mnist | 0.8900 (0.8800 to 0.9000) | 25.0 s | 11.0 s |');
  expect(text).toContain('| mlp | 2.50 (2.00 to 3.00) | 2.50 (2.00 to 3.00) | 2.00, 1 of 2 seeds |');
  expect(text).toContain('with 2 threads');
  expect(text).toContain('mlp contiguous');
  // Of Lockstep's runs alone.
  expect(text.match(/`sha of mlp`/g)).toHaveLength(2);
  expect(benchReport.parse(JSON.parse(JSON.stringify(report)))).toEqual(report);
});

it('says why there is nothing to compare with', () => {
  const skipped = [{ what: 'PyTorch', reason: 'python3 has no PyTorch' }];
  const text = markdownOf({ ...accuracyReport(lockstep, [0.88, 0.9]), skipped }, false);
  expect(text).toContain('- PyTorch: python3 has no PyTorch');
  expect(text).not.toContain("PyTorch's time");
});

it('reads a report from before there was anything to compare with', () => {
  const { pytorch: _, skipped: __, ...report } = accuracyReport(lockstep, [0.88, 0.9]);
  const runs = report.runs.map(({ framework: _, ...run }) => run);
  expect(benchReport.parse({ ...report, runs })).toMatchObject({
    pytorch: null,
    skipped: [],
    runs: [{ framework: 'lockstep' }, { framework: 'lockstep' }],
  });
});
