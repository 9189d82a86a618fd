/** `lockstep evaluate`: loss and accuracy of a saved run on the test pictures. */
import { computeOptions, dataOptions, evaluate } from '@lockstep/coordinator';
import type { Command } from 'commander';
import pc from 'picocolors';
import { z } from 'zod';
import { addOptions, checkOptions } from '../options.ts';
import { integer, Output, percent } from '../output.ts';
import { interruptible } from '../signals.ts';
import { showDownload } from './download-progress.ts';

const options = z.strictObject({
  ...dataOptions,
  ...computeOptions,
  limitTest: z.int().positive().optional().describe('evaluate on the first N samples only'),
});

export function evaluateCommand(program: Command): void {
  const command = program
    .command('evaluate')
    .description('Evaluate the weights of a run on the test pictures.')
    .argument('[run]', 'folder of a run', 'latest')
    .option('--json', 'write one JSON object to standard output, words for people to standard error');
  addOptions(command, options).action(async (run: string, { json, ...flags }: { json?: boolean }) => {
    const output = new Output(json ?? false);
    const { workers, ...checked } = checkOptions(options, flags);
    const report = await evaluate(
      { run, workers, ...checked },
      { signal: interruptible(output), onDownload: showDownload(output) },
    );
    output.endProgress();
    output.line(`${pc.bold('run')}     ${report.runDir}, engine ${report.engine}`);
    output.line(`${pc.bold('data')}    ${report.dataset.name}: ${report.dataset.reason} (${report.dataset.source})`);
    if (report.dataset.notice) output.notice(report.dataset.notice);
    output.line(
      `${pc.green('result')}  test accuracy ${pc.bold(percent(report.testAccuracy))}, loss ${report.testLoss.toFixed(4)}, ` +
        `on ${integer(report.samples)} pictures`,
    );
    const { dataset, ...rest } = report;
    output.event({ event: 'evaluation', ...rest, dataset: dataset.name });
  });
}
