/** Writes results where a user asked for them: all or nothing, and over nothing that was not meant. */
import { mkdir, mkdtemp, readdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { LockstepError } from '@lockstep/core';
import writeFileAtomic from 'write-file-atomic';

/** An error that names the place where results could not be written. */
export const unwritableOutput = (path: string, error: unknown): LockstepError =>
  new LockstepError(
    'output-unwritable',
    `Cannot write ${path}: ${(error as Error).message}.`,
    'Name another place with --out, or free space.',
    { cause: error },
  );

const exists = (message: string, nextStep: string): LockstepError =>
  new LockstepError('output-exists', message, nextStep);

const alreadyThere = (folder: string): LockstepError =>
  exists(`${folder} exists already.`, 'Name another folder with --out, or add --force.');

/** Does something with the file system. @throws LockstepError `output-unwritable` */
async function writing<Result>(path: string, write: () => Promise<Result>): Promise<Result> {
  try {
    return await write();
  } catch (error) {
    throw error instanceof LockstepError ? error : unwritableOutput(path, error);
  }
}

/**
 * Writes a file in one piece, creating its folder.
 * @param force whether to replace one that is there
 * @returns the absolute path
 * @throws LockstepError `output-exists`, `output-unwritable`
 */
export async function writeNewFile(path: string, bytes: Uint8Array, force: boolean): Promise<string> {
  const target = resolve(path);
  const found = await stat(target).catch(() => undefined);
  if (found?.isDirectory()) throw exists(`${target} is a folder.`, 'Name a file with --out.');
  if (found && !force) throw exists(`${target} exists already.`, 'Name another file with --out, or add --force.');
  return writing(target, async () => {
    await mkdir(dirname(target), { recursive: true });
    await writeFileAtomic(target, Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
    return target;
  });
}

/**
 * Writes a folder in one piece: its files are complete before it gets its name.
 * @param force whether to replace a folder that is there, if it holds nothing but files with names like `ours`
 * @param ours by default no names, so that only an empty folder is replaced
 * @returns the absolute path
 * @throws LockstepError `output-exists`, `output-unwritable`
 */
export async function writeNewFolder(
  path: string,
  files: readonly { readonly name: string; readonly bytes: Uint8Array }[],
  force = false,
  ours = /(?!)/,
): Promise<string> {
  const target = resolve(path);
  const isThere = await checkReplaceable(target, force, ours);
  return writing(target, async () => {
    await mkdir(dirname(target), { recursive: true });
    // Beside the target, since a rename does not go across file systems.
    const fresh = await mkdtemp(join(dirname(target), `.${basename(target)}-`));
    const old = `${fresh}-old`;
    try {
      const content = join(fresh, 'content');
      await mkdir(content);
      for (const { name, bytes } of files) {
        await writeFileAtomic(join(content, name), Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
      }
      if (isThere) await rename(target, old);
      await rename(content, target).catch(async (error) => {
        if (isThere) await rename(old, target);
        // Made by someone else in the meantime.
        if (error.code === 'ENOTEMPTY' || error.code === 'EEXIST') throw alreadyThere(target);
        throw error;
      });
    } finally {
      await rm(fresh, { recursive: true, force: true });
    }
    await rm(old, { recursive: true, force: true });
    return target;
  });
}

/** @returns whether something is there that has to go */
async function checkReplaceable(target: string, force: boolean, ours: RegExp): Promise<boolean> {
  const found = await stat(target).catch(() => undefined);
  if (!found) return false;
  if (!found.isDirectory()) throw exists(`${target} is a file.`, 'Name a folder with --out.');
  const names = await readdir(target);
  if (names.length === 0) return true;
  const foreign = names.find((name) => !ours.test(name));
  if (foreign !== undefined) {
    throw exists(`${target} holds ${foreign}, which no export wrote.`, 'Name a new folder with --out.');
  }
  if (!force) throw alreadyThere(target);
  return true;
}
