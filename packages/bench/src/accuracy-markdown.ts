/** The findings of `lockstep bench accuracy` in words and tables. */
import {
  type AccuracyRatios,
  type AccuracyRow,
  accuracyRatios,
  accuracyRows,
  subjectName,
  type TimeRatio,
} from './accuracy-rows.ts';
import { factorText, secondsText } from './format.ts';
import { heading, table } from './markdown-parts.ts';
import type { AccuracyReport } from './report.ts';

export function accuracySections(report: AccuracyReport): string[] {
  const rows = accuracyRows(report).map(({ model, framework, numRuns, data, accuracy, seconds, reached }) => [
    subjectName(model, framework),
    data,
    accuracyText(accuracy),
    secondsText(seconds),
    ...reached.map((times) => reachedText(times, numRuns)),
  ]);
  const head = ['model', 'data', 'test accuracy', 'whole run', ...report.targets.map((target) => `to ${target}`)];
  const shas = report.runs.flatMap(({ model, seed, weightsSha256 }) =>
    weightsSha256 === null ? [] : [[model, String(seed), `\`${weightsSha256}\``]],
  );
  return [
    heading('Seconds to an accuracy'),
    table(head, rows),
    'Mean accuracy (least to greatest) and median seconds over the seeds. The clock runs from the beginning of the first epoch to the end of the evaluation that reached the accuracy; a schedule is laid out for all epochs.',
    ...comparisonSection(report),
    heading('The weights'),
    table(['model', 'seed', 'SHA-256'], shas),
  ];
}

function comparisonSection(report: AccuracyReport): string[] {
  const ratios = accuracyRatios(report);
  const { pytorch } = report;
  if (!pytorch || ratios.length === 0) return [];
  const rows = ratios.map(({ model, numSeeds, wholeRun, reached }: AccuracyRatios) => [
    model,
    ...[wholeRun, ...reached].map((ratio) => timeRatioText(ratio, numSeeds)),
  ]);
  const layouts = Object.entries(pytorch.layouts).map(([model, names]) => `${model} ${names.join(' or ')}`);
  return [
    heading("PyTorch's time by Lockstep's"),
    table(['model', 'whole run', ...report.targets.map((target) => `to ${target}`)], rows),
    `Above 1: Lockstep is faster. Of each seed the two times, one run after the other, and then the median of the ratios (least to greatest). PyTorch in eager mode with ${pytorch.threads} ${pytorch.threads === 1 ? 'thread' : 'threads'} trains the same topology by the same recipe, in the memory layout that was faster in a short trial before the clock began: ${layouts.join(', ')}.`,
  ];
}

export const accuracyText = ({ mean, least, greatest }: AccuracyRow['accuracy']): string =>
  `${mean.toFixed(4)} (${least.toFixed(4)} to ${greatest.toFixed(4)})`;

/** @param numRuns that tried */
export function reachedText({ seconds, numRuns: number }: AccuracyRow['reached'][number], numRuns: number): string {
  if (seconds === undefined) return 'not reached';
  return number === numRuns ? secondsText(seconds) : `${secondsText(seconds)} (${number} of ${numRuns} runs)`;
}

/** @param numSeeds that both trained */
export function timeRatioText(ratio: TimeRatio | undefined, numSeeds: number): string {
  if (!ratio) return 'not by both';
  const { median, least, greatest } = ratio;
  const spread = ratio.numSeeds > 1 ? ` (${factorText(least)} to ${factorText(greatest)})` : '';
  const share = ratio.numSeeds < numSeeds ? `, ${ratio.numSeeds} of ${numSeeds} seeds` : '';
  return `${factorText(median)}${spread}${share}`;
}
