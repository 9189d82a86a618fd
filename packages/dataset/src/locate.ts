/** Where the four files are looked for: a folder that the user named, else the user's cache. */

import { stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { LockstepError } from '@lockstep/core';
import type { OriginalFile } from './fashion-mnist.ts';
import type { Environment } from './settings.ts';

/** A folder to look in. `named` ones must hold the files; the cache may be filled by a download. */
export interface Folder {
  readonly path: string;
  readonly named: boolean;
  /** For people: 'the folder given by --data-dir'. */
  readonly what: string;
}

export interface FoundFile {
  readonly original: OriginalFile;
  readonly path: string;
}

export interface Listing {
  readonly found: readonly FoundFile[];
  readonly missing: readonly OriginalFile[];
}

/**
 * The folder to read: `dataDir` (--data-dir), else `LOCKSTEP_DATA_DIR`, else the cache.
 *
 * @throws LockstepError `usage` when `dataDir` is the empty string.
 */
export async function chooseFolder(dataDir: string | undefined, env: Environment): Promise<Folder> {
  if (dataDir === '') {
    throw new LockstepError(
      'usage',
      '--data-dir is empty',
      'Name the folder that holds the four files of the dataset.',
    );
  }
  if (dataDir !== undefined) return { path: resolve(dataDir), named: true, what: 'the folder given by --data-dir' };
  if (env.LOCKSTEP_DATA_DIR) return { path: resolve(env.LOCKSTEP_DATA_DIR), named: true, what: 'LOCKSTEP_DATA_DIR' };
  return cacheFolder(env);
}

/** `LOCKSTEP_CACHE_DIR`, else the system's cache folder of this user. @throws LockstepError `usage` when there is none */
export async function cacheRoot(env: Environment): Promise<string> {
  if (env.LOCKSTEP_CACHE_DIR) return resolve(env.LOCKSTEP_CACHE_DIR);
  try {
    // It looks the user up as soon as it is loaded, and not every user of a container has a home.
    const { default: envPaths } = await import('env-paths');
    return envPaths('lockstep', { suffix: '' }).cache;
  } catch (error) {
    const nextStep = 'Set LOCKSTEP_CACHE_DIR to a folder that may be written, or HOME.';
    throw new LockstepError('usage', 'This user has no home folder to keep data in.', nextStep, { cause: error });
  }
}

/** `fashion-mnist` in the cache. */
export async function cacheFolder(env: Environment): Promise<Folder> {
  return { path: join(await cacheRoot(env), 'fashion-mnist'), named: false, what: 'the cache' };
}

/** Finds each file as `<name>.gz` or, failing that, as plain `<name>`. */
export async function listFiles(folder: string, originals: readonly OriginalFile[]): Promise<Listing> {
  const found: FoundFile[] = [];
  const missing: OriginalFile[] = [];
  for (const original of originals) {
    const paths = [join(folder, `${original.name}.gz`), join(folder, original.name)];
    const path = (await isFile(paths[0]!)) ? paths[0] : (await isFile(paths[1]!)) ? paths[1] : undefined;
    if (path === undefined) missing.push(original);
    else found.push({ original, path });
  }
  return { found, missing };
}

/** @throws LockstepError `dataset-not-found` that lists what is missing from a folder which the user named. */
export async function requireFiles(folder: Folder, originals: readonly OriginalFile[]): Promise<readonly FoundFile[]> {
  const { found, missing } = await listFiles(folder.path, originals);
  if (missing.length === 0) return found;
  const names = missing.map(({ name }) => `${name}.gz`).join(', ');
  const state = await folderState(folder.path);
  const message = `${folder.path} (${folder.what}) ${state} ${names} (plain files, without .gz, would do too)`;
  throw new LockstepError(
    'dataset-not-found',
    message,
    folder.named
      ? 'Put the files there, name another folder, or name none to use the cache.'
      : 'Run `lockstep dataset fetch`, or name a folder that holds them by --data-dir.',
  );
}

async function folderState(path: string): Promise<string> {
  try {
    return (await stat(path)).isDirectory() ? 'lacks' : 'is not a folder, so it lacks';
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return code === 'ENOENT' ? 'does not exist, so it lacks' : `cannot be read (${code}), so it lacks`;
  }
}

async function isFile(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isFile();
  } catch {
    // Missing or out of reach: either way it cannot be used, and requireFiles says which.
    return false;
  }
}
