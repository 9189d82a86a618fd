/** `lockstep export`: the model of a run for other programs. */
import { exportOptions, exportRun } from '@lockstep/coordinator';
import type { Command } from 'commander';
import pc from 'picocolors';
import { addOptions, checkOptions, JSON_RESULT } from '../options.ts';
import { megabytes, Output } from '../output.ts';

/** The run is an argument. */
const options = exportOptions.omit({ run: true });

export function exportCommand(program: Command): void {
  const command = program
    .command('export')
    .description('Write the model of a run for tf.js, for anything that runs ONNX, or as safetensors.')
    .argument('[run]', 'folder of a run', 'latest')
    .option(...JSON_RESULT)
    .addHelpText('after', '\nAll of them take pixels divided by 255, so 0 to 1: a light garment on black.');
  addOptions(command, options).action(async (run: string, { json, ...flags }: { json?: boolean }) => {
    const output = new Output(json ?? false);
    const report = await exportRun({ run, ...checkOptions(options, flags) });
    const bytes = report.files.reduce((sum, file) => sum + file.bytes, 0);
    const files = report.files.length === 1 ? '' : `, ${report.files.length} files`;
    output.line(`${pc.bold('run')}     ${report.runDir}, ${report.model}`);
    output.line(`${pc.green('saved')}   ${report.path} (${report.format}${files}, ${megabytes(bytes)})`);
    output.event({ event: 'exported', ...report });
  });
}
