/** `lockstep predict`: what garments pictures show. */
import { basename } from 'node:path';
import { type PicturePrediction, predict, predictOptions } from '@lockstep/coordinator';
import { LockstepError } from '@lockstep/core';
import { writePictureSheet } from '@lockstep/dataset';
import type { Command } from 'commander';
import pc from 'picocolors';
import { z } from 'zod';
import { addOptions, checkOptions } from '../options.ts';
import { bar, Output, percent, table } from '../output.ts';

const options = predictOptions.extend({
  preview: z.string().min(1).optional().describe('picture to write: what the model saw, enlarged'),
});

export function predictCommand(program: Command): void {
  const command = program
    .command('predict')
    .description(
      'Say what garments pictures show: PNG, JPEG, WebP, GIF, BMP or AVIF, of any size, on an even background.',
    )
    .argument('<image...>', 'files')
    .option('--json', 'write one JSON object a picture to standard output, words for people to standard error');
  addOptions(command, options).action(async (files: string[], { json, ...flags }: { json?: boolean }) => {
    const output = new Output(json ?? false);
    const { preview, ...checked } = checkOptions(options, flags);
    const context = {
      onRun: ({ runDir, model, engine }: { runDir: string; model: string; engine: string }) =>
        output.line(`${pc.bold('run')}     ${runDir}, ${model}, engine ${engine}`),
    };
    const done: PicturePrediction[] = [];
    const failed: string[] = [];
    for await (const result of predict(files, checked, context)) {
      if ('error' in result) {
        const { code, message, nextStep } = result.error;
        failed.push(result.file);
        output.notice(`${message} ${nextStep}`);
        output.event({ event: 'error', fatal: false, file: result.file, code, message, nextStep });
      } else {
        done.push(result);
        show(output, result);
        const { pixels: _, ...event } = result;
        output.event({ event: 'prediction', ...event });
      }
    }
    if (preview !== undefined && done.length > 0) {
      output.line(`${pc.green('saved')}   ${await writePreview(preview, done)}`);
    }
    if (failed.length === 0) return;
    throw new LockstepError(
      'image-invalid',
      `${failed.length} of ${files.length} pictures could not be used: ${failed.join(', ')}.`,
      'The reasons are above.',
    );
  });
}

function show(output: Output, { file, background, predictions }: PicturePrediction): void {
  output.line();
  output.line(`${pc.bold(file)} ${pc.dim(`(on a ${background} background)`)}`);
  const rows = predictions.map(({ name, probability }) => [name, percent(probability)]);
  const lines = table(undefined, rows);
  lines.forEach((line, i) => {
    output.line(`  ${line}  ${bar(predictions[i]!.probability)}`);
  });
}

/** The beginning and end of a long name, so that it fits below a picture. */
const shortened = (name: string): string => (name.length <= 18 ? name : `${name.slice(0, 8)}…${name.slice(-9)}`);

/** As the model saw them, bright on black. */
function writePreview(path: string, pictures: readonly PicturePrediction[]): Promise<string> {
  return writePictureSheet(path, {
    pictures: pictures.map(({ file, pixels, predictions: [first] }) => ({
      pixels,
      captions: [shortened(basename(file)), `${first!.name} ${percent(first!.probability)}`],
    })),
    columns: undefined,
    title: undefined,
    shades: 'as they are',
  });
}
