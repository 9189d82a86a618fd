/** `lockstep dataset fetch` and `lockstep dataset verify`: fill the cache, and say what is wrong with a folder. */

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type DownloadProgress, download } from './download.ts';
import { CLASS_NAMES, IMAGE_SHAPE, type OriginalFile } from './fashion-mnist.ts';
import { parseImages, parseLabels, plainBytes } from './idx.ts';
import { cacheFolder, chooseFolder, type FoundFile, listFiles } from './locate.ts';
import { type Environment, mirrorsFrom, SETTINGS, type Settings, throwIfInterrupted } from './settings.ts';
import { differenceFromPublished, sumsOf } from './sums.ts';

export interface FetchOptions {
  readonly env: Environment;
  readonly onProgress: ((progress: DownloadProgress) => void) | undefined;
  readonly signal: AbortSignal | undefined;
}

export interface FetchedFile {
  readonly name: string;
  readonly path: string;
  /** `kept`: it was there and right. */
  readonly action: 'kept' | 'downloaded';
  /** 'it was missing', 'its MD5 is ...'; undefined when it was kept. */
  readonly why: string | undefined;
  /** The mirror that delivered it. */
  readonly from: string | undefined;
  readonly bytes: number;
}

export interface FetchResult {
  readonly folder: string;
  readonly files: readonly FetchedFile[];
}

/**
 * Downloads into the cache what is missing or not as published.
 *
 * @throws LockstepError `dataset-unavailable`, `cache-unwritable`, `usage` or `interrupted`.
 */
export async function fetchDataset(options: FetchOptions, settings: Settings = SETTINGS): Promise<FetchResult> {
  const { env, onProgress, signal } = options;
  const { path: folder } = await cacheFolder(env);
  const mirrors = mirrorsFrom(env);
  const verified = await verifyFolder(folder, settings, signal);
  const wanted = verified.filter((file) => !file.ok);
  const originals = wanted.map(({ original }) => original);
  const from = await download(originals, { ...settings, folder, mirrors, onProgress, signal });
  const files = verified.map(({ name, original, path, bytes, problem, ok }): FetchedFile => {
    if (ok) return { name, path: path!, action: 'kept', why: undefined, from: undefined, bytes: bytes! };
    return {
      name,
      path: join(folder, `${name}.gz`),
      action: 'downloaded',
      why: problem,
      from: from[originals.indexOf(original)],
      bytes: original.compressed.bytes,
    };
  });
  return { folder, files };
}

export interface VerifyOptions {
  /** `--data-dir`. */
  readonly dataDir: string | undefined;
  readonly env: Environment;
  readonly signal: AbortSignal | undefined;
}

export interface VerifiedFile {
  /** Without `.gz`. */
  readonly name: string;
  /** Undefined when it is missing, as are the next three. */
  readonly path: string | undefined;
  readonly bytes: number | undefined;
  readonly md5: string | undefined;
  readonly sha256: string | undefined;
  /** Whether it is the published file, compressed or plain, byte for byte. */
  readonly ok: boolean;
  /** What is wrong with it, as a phrase for people; undefined when it is ok. */
  readonly problem: string | undefined;
}

export interface VerifyResult {
  readonly folder: string;
  /** Why that folder: 'LOCKSTEP_DATA_DIR'. */
  readonly what: string;
  readonly files: readonly VerifiedFile[];
  readonly ok: boolean;
}

/**
 * Compares the files that a run would use with the published ones. Reports what is wrong rather than throwing it.
 *
 * @throws LockstepError `usage` or `interrupted`.
 */
export async function verifyDataset(options: VerifyOptions, settings: Settings = SETTINGS): Promise<VerifyResult> {
  const folder = await chooseFolder(options.dataDir, options.env);
  const verified = await verifyFolder(folder.path, settings, options.signal);
  const files = verified.map(({ original: _, ...file }) => file);
  return { folder: folder.path, what: folder.what, files, ok: files.every((file) => file.ok) };
}

type CheckedFile = VerifiedFile & { readonly original: OriginalFile };

async function verifyFolder(
  folder: string,
  { originals }: Settings,
  signal: AbortSignal | undefined,
): Promise<CheckedFile[]> {
  const { found } = await listFiles(folder, originals.files);
  const checked: CheckedFile[] = [];
  for (const original of originals.files) {
    throwIfInterrupted(signal);
    const file = found.find((one) => one.original === original);
    checked.push({ ...(file ? await verifyFile(file) : absent(original, undefined, 'it is missing')), original });
  }
  return checked;
}

async function verifyFile(file: FoundFile): Promise<VerifiedFile> {
  const { path, original } = file;
  let content: Uint8Array;
  try {
    content = await readFile(path);
  } catch (error) {
    return absent(original, path, `it cannot be read: ${(error as Error).message}`);
  }
  const sums = sumsOf(content);
  const differs = differenceFromPublished(sums, path, original);
  const damage = differs === undefined ? undefined : await damageOf(content, file);
  const problem = damage === undefined ? differs : `${differs}; ${damage}`;
  return { name: original.name, path, ...sums, ok: problem === undefined, problem };
}

function absent(original: OriginalFile, path: string | undefined, problem: string): VerifiedFile {
  return { name: original.name, path, bytes: undefined, md5: undefined, sha256: undefined, ok: false, problem };
}

/** Why a file with other sums could not even be loaded; undefined when it could. */
async function damageOf(content: Uint8Array, { path, original }: FoundFile): Promise<string | undefined> {
  try {
    const plain = await plainBytes(content, path);
    const [height, width] = IMAGE_SHAPE;
    if (original.role === 'trainImages' || original.role === 'testImages') parseImages(plain, path, height, width);
    else parseLabels(plain, path, CLASS_NAMES.length);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}
