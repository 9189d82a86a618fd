/** A report in words and tables. */
import { accuracySections } from './accuracy-markdown.ts';
import { factorText, gigabytesText, intervalText, megabytesText, msText, percentText, rateText } from './format.ts';
import { heading, table } from './markdown-parts.ts';
import type { AggregateReport, BenchReport, Comparison, EngineRate, EnginesReport, Skipped } from './report.ts';
import { trainingSections } from './training-markdown.ts';

/** @param hasPlot whether bench.svg lies beside it */
export function markdownOf(report: BenchReport, hasPlot: boolean): string {
  const parts = [
    titleOf(report),
    ...machineSection(report),
    ...(hasPlot ? ['![Training rate by number of workers](bench.svg)'] : []),
    ...bodyOf(report),
    ...(report.comparison ? comparisonSection(report.comparison) : []),
    ...('skipped' in report ? skippedSection(report) : []),
  ];
  return `${parts.join('\n\n')}\n`;
}

function titleOf({ kind }: BenchReport): string {
  const titles = {
    training: 'How training scales over workers',
    engines: 'What the engines reach',
    aggregate: 'The coordinator alone',
    accuracy: 'How long recipes take',
  };
  return `# ${titles[kind]}`;
}

function bodyOf(report: BenchReport): string[] {
  switch (report.kind) {
    case 'training':
      return trainingSections(report);
    case 'engines':
      return enginesSections(report);
    case 'aggregate':
      return aggregateSections(report);
    case 'accuracy':
      return accuracySections(report);
    default:
      return report satisfies never;
  }
}

function machineSection(report: BenchReport): string[] {
  const { machine, load, command, startedAt, seconds, rounds, blockSeconds } = report;
  const { cpu, cores, memoryBytes, platform, release, node, lockstep } = machine;
  const pytorch = report.kind === 'accuracy' ? report.pytorch : null;
  const rows = [
    ['processor', `${cpu}, ${cores} cores`],
    ['memory', `${(memoryBytes / 2 ** 30).toFixed(1)} GiB`],
    ['system', `${platform}, kernel ${release}`],
    ['versions', `Lockstep ${lockstep}, Node.js ${node}${pytorch ? `, PyTorch ${pytorch.version}` : ''}`],
    [
      'load before the start',
      `${load.average.map((value) => value.toFixed(2)).join(', ')}; ${percentText(load.busy)} busy`,
    ],
    ['command', `\`${command}\``],
    ['when', `${startedAt}, for ${Math.round(seconds)} s`],
    blockSeconds > 0
      ? ['blocks', `${rounds} of about ${blockSeconds} s for each subject, in turns`]
      : ['runs', `${rounds} of each model, with seeds from 0`],
  ];
  const warning = load.warning === null ? [] : [`> **The machine was busy:** ${load.warning}`];
  return [table(['', ''], rows), ...warning];
}

/** A table of what engines reach by themselves. */
function engineTable(engines: readonly EngineRate[]): string {
  const best = new Map<string, number>();
  const keyOf = ({ model, microBatch }: EngineRate): string => `${model}|${microBatch}`;
  for (const rate of engines) best.set(keyOf(rate), Math.max(best.get(keyOf(rate)) ?? 0, rate.rate.median));
  const rows = engines.map((rate) => [
    rate.model,
    String(rate.microBatch),
    `${rate.engine} on ${rate.device}`,
    rate.rates.length > 1 ? intervalText(rate.rate, rateText) : `${rateText(rate.rate.median)} (one block)`,
    factorText(rate.rate.median / best.get(keyOf(rate))!),
  ]);
  return table(['model', 'micro-batch', 'engine', 'samples/s', 'of the fastest'], rows);
}

function enginesSections({ engines }: EnginesReport): string[] {
  return [
    heading('One thread, gradients only'),
    engineTable(engines),
    'Median and 95 % interval. No sum over workers, no update, no evaluation.',
  ];
}

function aggregateSections({ workers, numParameters, threads, memory, update, traffic }: AggregateReport): string[] {
  const { phases, stepMs } = traffic;
  return [
    heading('Sum and update'),
    `Sums of ${workers} workers for a model of ${numParameters.toLocaleString('en-US')} parameters, added along the tree, and Adam's update, on ${threads} ${threads === 1 ? 'thread' : 'threads'}.`,
    table(
      ['', ''],
      [
        ['one update', `${intervalText(update.ms, msText)} ms`],
        ['read and written', `${megabytesText(update.bytes)}, ${gigabytesText(update.bytesPerSecond)}`],
        ['copying memory, one thread', gigabytesText(memory.oneThread)],
        ['copying memory, all threads', gigabytesText(memory.allThreads)],
        ['share of that', percentText(update.shareOfMemory)],
      ],
    ),
    heading('Whole steps over loopback'),
    `${workers} workers in one process that answer at once.`,
    table(
      ['', ''],
      [
        ['one step', `${intervalText(stepMs, msText)} ms`],
        ['gradients up', `${megabytesText(traffic.bytesUp)} a step, ${gigabytesText(traffic.bytesUpPerSecond)}`],
        ['parameters down', `${megabytesText(traffic.bytesDown)} a step`],
        ['both', gigabytesText(traffic.bytesBothPerSecond)],
        ...(phases
          ? [
              [
                'phases in ms',
                Object.entries(phases)
                  .map(([name, ms]) => `${name} ${msText(ms)}`)
                  .join(', '),
              ],
            ]
          : []),
      ],
    ),
  ];
}

const VERDICTS = { slower: '**slower**', same: 'same', faster: 'faster' } as const;

function comparisonSection({ baseline, startedAt, tolerance, differences, points, ...rest }: Comparison): string[] {
  const rows = points.map(({ subject, before, now, ratio, verdict }) => [
    subject,
    rateText(before),
    rateText(now),
    intervalText(ratio, factorText),
    VERDICTS[verdict],
  ]);
  const list = (lines: readonly string[]): string => lines.map((line) => `- ${line}`).join('\n');
  const missing = [
    ...rest.onlyBefore.map((subject) => `Only before: ${subject}`),
    ...rest.onlyNow.map((subject) => `Only now: ${subject}`),
  ];
  return [
    heading('Against the baseline'),
    `\`${baseline}\` of ${startedAt}. Slower: the whole interval of the ratio lies below ${factorText(1 - tolerance)}. Altogether ${factorText(rest.mean)} times as fast (geometric mean).`,
    table(['', 'before', 'now', 'ratio', ''], rows),
    ...(differences.length > 0 ? [`Not the same beside the program:\n\n${list(differences)}`] : []),
    ...(missing.length > 0 ? [list(missing)] : []),
  ];
}

function skippedSection({ skipped }: { readonly skipped: readonly Skipped[] }): string[] {
  if (skipped.length === 0) return [];
  return [heading('Skipped'), skipped.map(({ what, reason }) => `- ${what}: ${reason}`).join('\n')];
}
