/** Writes a report where the user wants it: three files in a new folder, or nothing. */
import { access, constants, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { unwritableOutput, writeNewFolder } from '@lockstep/coordinator';
import { LockstepError } from '@lockstep/core';
import { markdownOf } from './markdown.ts';
import { plotOf } from './plot.ts';
import type { BenchReport } from './report.ts';

/** Where a report goes when nothing is said. @param now for a name of its own */
export const defaultFolder = (now: Date): string => `bench-${now.toISOString().slice(0, 19).replaceAll(':', '-')}`;

const exists = (path: string): LockstepError =>
  new LockstepError('output-exists', `${path} exists already.`, 'Name a new folder with --out.');

/**
 * Looks whether a report could be written there, before minutes are spent on it.
 * @throws LockstepError `output-exists`, `output-unwritable`
 */
export async function checkFolder(path: string): Promise<void> {
  const target = resolve(path);
  if (await stat(target).catch(() => undefined)) throw exists(target);
  let parent = dirname(target);
  while (parent !== dirname(parent) && !(await stat(parent).catch(() => undefined))) parent = dirname(parent);
  // With a slash, a file in the place of a folder is refused too.
  await access(`${parent}/`, constants.W_OK).catch((error) => {
    throw unwritableOutput(target, error);
  });
}

/**
 * Writes `bench.json`, `bench.md` and, where there is something to draw, `bench.svg`.
 * @param path folder that does not exist; it appears with all files in it
 * @returns absolute paths of the files
 * @throws LockstepError `output-exists`, `output-unwritable`
 */
export async function writeReport(report: BenchReport, path: string): Promise<string[]> {
  const target = resolve(path);
  await checkFolder(target);
  const plot = plotOf(report);
  const texts = {
    'bench.json': `${JSON.stringify(report, undefined, 2)}\n`,
    'bench.md': markdownOf(report, plot !== undefined),
    ...(plot === undefined ? {} : { 'bench.svg': plot }),
  };
  const files = Object.entries(texts).map(([name, text]) => ({ name, bytes: Buffer.from(text) }));
  await writeNewFolder(target, files);
  return files.map(({ name }) => join(target, name));
}
