/** `lockstep dataset fetch|verify|show`: the data itself. */

import { dataOptions } from '@lockstep/coordinator';
import { LockstepError } from '@lockstep/core';
import { classCounts, fetchDataset, loadDataset, verifyDataset, writeContactSheet } from '@lockstep/dataset';
import type { Command } from 'commander';
import pc from 'picocolors';
import { z } from 'zod';
import { addOptions, checkOptions, JSON_RESULT } from '../options.ts';
import { integer, megabytes, Output } from '../output.ts';
import { interruptible } from '../signals.ts';
import { showDownload } from './download-progress.ts';

const verifyOptions = z.strictObject({ dataDir: dataOptions.dataDir });

const showOptions = z.strictObject({
  ...dataOptions,
  split: z.enum(['train', 'test']).default('train').describe('which pictures'),
  count: z.int().positive().max(1000).default(12).describe('how many pictures, from the first on'),
  out: z.string().min(1).default('samples.png').describe('picture to write'),
});

export function datasetCommand(program: Command): void {
  const dataset = program.command('dataset').description('Download, verify or look at the data.');

  dataset
    .command('fetch')
    .description('Download whatever is missing or damaged into the cache.')
    .option(...JSON_RESULT)
    .action(async ({ json }: { json?: boolean }) => {
      const output = new Output(json ?? false);
      const result = await fetchDataset({
        env: process.env,
        onProgress: showDownload(output),
        signal: interruptible(output),
      });
      output.endProgress();
      for (const file of result.files) {
        const how =
          file.action === 'kept' ? 'there already' : `downloaded from ${file.from}${file.why ? ` (${file.why})` : ''}`;
        output.line(`${pc.green('✓')} ${file.path}  ${megabytes(file.bytes)}  ${how}`);
      }
      output.event({ event: 'fetched', ...result });
    });

  addOptions(dataset.command('verify'), verifyOptions)
    .description('Check the files against the published checksums.')
    .option(...JSON_RESULT)
    .action(async ({ json, ...flags }: { json?: boolean }) => {
      const output = new Output(json ?? false);
      const { dataDir } = checkOptions(verifyOptions, flags);
      const result = await verifyDataset({ dataDir, env: process.env, signal: interruptible(output) });
      output.line(`${result.folder} (${result.what})`);
      for (const file of result.files) {
        output.line(
          file.ok ? `${pc.green('✓')} ${file.name}  md5 ${file.md5}` : `${pc.red('✗')} ${file.name}  ${file.problem}`,
        );
      }
      output.event({ event: 'verified', ...result });
      if (!result.ok) {
        const bad = result.files.filter(({ ok }) => !ok).map(({ name }) => name);
        throw new LockstepError(
          'dataset-invalid',
          `${bad.length} of ${result.files.length} files in ${result.folder} are not the originals: ${bad.join(', ')}.`,
          'Run lockstep dataset fetch, or copy the original files there.',
        );
      }
    });

  addOptions(dataset.command('show'), showOptions)
    .description('Write a picture of samples with their class names and print how many there are of each class.')
    .option(...JSON_RESULT)
    .action(async ({ json, ...flags }: { json?: boolean }) => {
      const output = new Output(json ?? false);
      const { split: name, count, out, dataset: which, dataDir } = checkOptions(showOptions, flags);
      const data = await loadDataset({
        dataset: which,
        dataDir,
        env: process.env,
        onProgress: showDownload(output),
        signal: interruptible(output),
      });
      output.endProgress();
      const split = data[name];
      const indices = Array.from({ length: Math.min(count, split.count) }, (_, i) => i);
      const path = await writeContactSheet(out, {
        split,
        classNames: data.classNames,
        indices,
        columns: undefined,
        title: `${data.name}, ${name} pictures 1 to ${indices.length}`,
      });
      output.line(`${pc.bold('data')}    ${data.name}: ${data.reason} (${data.source})`);
      if (data.notice) output.notice(data.notice);
      const counts = classCounts(split, data.classNames);
      const width = Math.max(...counts.map((entry) => entry.name.length));
      for (const entry of counts) output.line(`${entry.name.padEnd(width)}  ${integer(entry.count).padStart(7)}`);
      output.line(`${'total'.padEnd(width)}  ${integer(split.count).padStart(7)}`);
      output.line(`${pc.green('saved')}   ${path}`);
      output.event({ event: 'shown', dataset: data.name, split: name, path, counts });
    });
}
