/** The findings of a benchmark, short enough for a terminal. */
import {
  accuracyRatios,
  accuracyRows,
  accuracyText,
  type BenchReport,
  lawsOf,
  reachedText,
  subjectName,
  timeRatioText,
} from '@lockstep/bench';
import pc from 'picocolors';
import { integer, table } from '../output.ts';

type Of<Kind extends BenchReport['kind']> = Extract<BenchReport, { kind: Kind }>;

/** Lines for people; everything else stands in the files. */
export function resultLines(report: BenchReport): string[] {
  const lines = bodyOf(report);
  const { comparison } = report;
  if (!comparison) return lines;
  const rows = comparison.points.map(({ subject, ratio, verdict }) => [
    subject,
    `${ratio.median.toFixed(2)} (${ratio.low.toFixed(2)} to ${ratio.high.toFixed(2)})`,
    verdict,
  ]);
  return [...lines, ...titled(['against the baseline', 'ratio', ''], rows), ...comparison.differences.map(pc.dim)];
}

function bodyOf(report: BenchReport): string[] {
  switch (report.kind) {
    case 'training':
      return training(report);
    case 'engines':
      return engines(report);
    case 'aggregate':
      return aggregate(report);
    case 'accuracy':
      return accuracy(report);
    default:
      return report satisfies never;
  }
}

function titled(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const [first = '', ...rest] = table(head, rows);
  return ['', pc.dim(first), ...rest];
}

const gigabytes = (bytesPerSecond: number): string => `${(bytesPerSecond / 1e9).toFixed(2)} GB/s`;
const ms = ({ median, low, high }: { median: number; low: number; high: number }): string =>
  `${median.toFixed(2)} ms (${low.toFixed(2)} to ${high.toFixed(2)})`;

function training({ series, engineAlone }: Of<'training'>): string[] {
  const rows = series.flatMap(({ model, place, scaling, points }) =>
    points.map(({ workers, batchSize, rate, speedup, efficiency, phases }) => {
      const total = phases ? phases.broadcast + phases.compute + phases.gather + phases.update : 0;
      return [
        `${model} ${scaling}, ${workers} ${place}`,
        integer(batchSize),
        `${integer(rate.median)} (${integer(rate.low)} to ${integer(rate.high)})`,
        speedup ? `${speedup.median.toFixed(2)} (${speedup.low.toFixed(2)} to ${speedup.high.toFixed(2)})` : '',
        efficiency ? `${Math.round(efficiency.median * 100)} %` : '',
        phases && total > 0 ? `${Math.round((phases.compute / total) * 100)} %` : '',
      ];
    }),
  );
  const alone = engineAlone.map(({ model, rate }) => [
    `${model} engine alone`,
    '',
    `${integer(rate.median)} (${integer(rate.low)} to ${integer(rate.high)})`,
    '',
    '',
    '',
  ]);
  const laws = series.flatMap(({ model, place, amdahl, usl }) =>
    amdahl && usl && (amdahl.kind === 'fit' || usl.kind === 'fit')
      ? ['', pc.dim(`${model}, ${place}`), lawsOf(amdahl, usl)]
      : [],
  );
  const head = ['', 'batch', 'samples/s', 'speed-up', 'efficiency', 'computing'];
  return [...titled(head, [...rows, ...alone]), ...laws];
}

function engines({ engines: all }: Of<'engines'>): string[] {
  const rows = all.map(({ model, microBatch, engine, device, rate }) => [
    `${model}, micro-batch ${microBatch}, ${engine} on ${device}`,
    `${integer(rate.median)} (${integer(rate.low)} to ${integer(rate.high)})`,
  ]);
  return titled(['one thread, gradients only', 'samples/s'], rows);
}

function aggregate({ update, traffic, memory, workers }: Of<'aggregate'>): string[] {
  const share = `${Math.round(update.shareOfMemory * 100)} % of copying with all threads (${gigabytes(memory.allThreads)})`;
  return titled(
    [`${workers} workers`, '', ''],
    [
      ['sum and update', ms(update.ms), `${gigabytes(update.bytesPerSecond)}, ${share}`],
      ['step over loopback', ms(traffic.stepMs), `${gigabytes(traffic.bytesUpPerSecond)} of gradients`],
    ],
  );
}

function accuracy(report: Of<'accuracy'>): string[] {
  const targets = report.targets.map((target) => `to ${target}`);
  const rows = accuracyRows(report).map(({ model, framework, accuracy, seconds, reached, numRuns }) => [
    subjectName(model, framework),
    accuracyText(accuracy),
    `${seconds.toFixed(1)} s`,
    ...reached.map((times) => reachedText(times, numRuns)),
  ]);
  const ratios = accuracyRatios(report).map(({ model, numSeeds, wholeRun, reached }) => [
    model,
    ...[wholeRun, ...reached].map((ratio) => timeRatioText(ratio, numSeeds)),
  ]);
  return [
    ...titled(['', 'test accuracy', 'whole run', ...targets], rows),
    ...(ratios.length > 0 ? titled(["PyTorch's time by Lockstep's", 'whole run', ...targets], ratios) : []),
  ];
}
