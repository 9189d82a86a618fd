/** Writes a report where the user wants it: three files in a new folder, or nothing. */
import { access, constants, mkdir, mkdtemp, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { LockstepError } from '@lockstep/core';
import writeFileAtomic from 'write-file-atomic';
import { markdownOf } from './markdown.ts';
import { plotOf } from './plot.ts';
import type { BenchReport } from './report.ts';

/** Where a report goes when nothing is said. @param now for a name of its own */
export const defaultFolder = (now: Date): string => `bench-${now.toISOString().slice(0, 19).replaceAll(':', '-')}`;

const exists = (path: string): LockstepError =>
  new LockstepError('output-exists', `${path} exists already.`, 'Name a new folder with --out.');

const unwritable = (path: string, error: unknown): LockstepError =>
  new LockstepError(
    'output-unwritable',
    `Cannot write ${path}: ${(error as Error).message}.`,
    'Name another place with --out, or free space.',
    { cause: error },
  );

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
    throw unwritable(target, error);
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
  const files = {
    'bench.json': `${JSON.stringify(report, undefined, 2)}\n`,
    'bench.md': markdownOf(report, plot !== undefined),
    ...(plot === undefined ? {} : { 'bench.svg': plot }),
  };
  try {
    await mkdir(dirname(target), { recursive: true });
    // Beside the target, since a rename does not go across file systems.
    const fresh = await mkdtemp(join(dirname(target), `.${basename(target)}-`));
    try {
      const content = join(fresh, 'content');
      await mkdir(content);
      for (const [name, text] of Object.entries(files)) await writeFileAtomic(join(content, name), text);
      await rename(content, target);
    } finally {
      await rm(fresh, { recursive: true, force: true });
    }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw code === 'ENOTEMPTY' || code === 'EEXIST' ? exists(target) : unwritable(target, error);
  }
  return Object.keys(files).map((name) => join(target, name));
}
