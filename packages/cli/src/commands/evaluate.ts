/** `lockstep evaluate`: loss, accuracy and scores per class of a saved run on the test pictures. */
import { type EvaluationReport, evaluate, evaluateOptions } from '@lockstep/coordinator';
import { writeConfusionMap } from '@lockstep/dataset';
import { describeViews } from '@lockstep/engine';
import type { Command } from 'commander';
import pc from 'picocolors';
import { z } from 'zod';
import { addOptions, checkOptions, JSON_RESULT } from '../options.ts';
import { integer, Output, percent, table } from '../output.ts';
import { interruptible } from '../signals.ts';
import { showDownload } from './download-progress.ts';

/** The run is an argument. */
const options = evaluateOptions.omit({ run: true }).extend({
  confusion: z.string().min(1).optional().describe('picture to write: which classes are taken for which'),
});

export function evaluateCommand(program: Command): void {
  const command = program
    .command('evaluate')
    .description('Evaluate the weights of a run on the test pictures: loss, accuracy, precision and recall per class.')
    .argument('[run]', 'folder of a run', 'latest')
    .option(...JSON_RESULT);
  addOptions(command, options).action(async (run: string, { json, ...flags }: { json?: boolean }) => {
    const output = new Output(json ?? false);
    const { confusion: mapPath, ...checked } = checkOptions(options, flags);
    const report = await evaluate(
      { run, ...checked },
      { signal: interruptible(output), onDownload: showDownload(output) },
    );
    output.endProgress();
    show(output, report);
    const { dataset, classNames, predictions: _, ...rest } = report;
    const map = mapPath === undefined ? undefined : await writeMap(mapPath, report);
    if (map !== undefined) output.line(`${pc.green('saved')}   ${map}`);
    output.event({ event: 'evaluation', ...rest, dataset: dataset.name, ...(map === undefined ? {} : { map }) });
  });
}

function show(output: Output, report: EvaluationReport): void {
  const { dataset, classes, macro, samples, testFlip, testShift } = report;
  const views = describeViews({ flip: testFlip, shift: testShift });
  output.line(`${pc.bold('run')}     ${report.runDir}, engine ${report.engine}`);
  output.line(`${pc.bold('data')}    ${dataset.name}: ${dataset.reason} (${dataset.source})`);
  if (dataset.notice) output.notice(dataset.notice);
  output.line(
    `${pc.green('result')}  test accuracy ${pc.bold(percent(report.testAccuracy))}, loss ${report.testLoss.toFixed(4)}, ` +
      `on ${integer(samples)} pictures${views === undefined ? '' : `, the mean over ${views}`}`,
  );
  output.line();
  const shares = ({ precision, recall, f1 }: typeof macro): string[] => [precision, recall, f1].map(percent);
  const rows = classes.map((scores) => [scores.name, ...shares(scores), integer(scores.support)]);
  const all = [...rows, ['mean of classes', ...shares(macro), integer(samples)]];
  const [head, ...lines] = table(['class', 'precision', 'recall', 'F1', 'pictures'], all);
  output.line(pc.dim(head!));
  for (const line of lines) output.line(line);
}

function writeMap(path: string, report: EvaluationReport): Promise<string> {
  const { model, dataset, testAccuracy, samples, confusion, classNames } = report;
  const title = `${model} on ${dataset.name}: ${percent(testAccuracy)} of ${integer(samples)} test pictures`;
  return writeConfusionMap(path, { confusion, classNames, title });
}
