/** Files in a wheel or in Python's site-packages, and the few of them that the binding needs. */
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, readdir, stat, statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { LockstepError } from '@lockstep/core';
import { throwIfInterrupted } from './process.ts';

export interface SourceFile {
  /** Path below site-packages, with slashes. */
  readonly name: string;
  readonly size: number;
  readonly open: () => Promise<Readable>;
}

/** Libraries, and of TensorFlow's thousands of headers the folders that its C interface draws from. */
const needed = [
  /^tensorflow\/libtensorflow_(cc|framework)\.so\.2$/,
  /^nvidia\/[^/]+\/lib\/lib[^/]+\.so[.\d]*$/,
  /^tensorflow\/include\/tensorflow\/c\/.*\.h$/,
  /^tensorflow\/include\/tensorflow\/core\/platform\/ctstring(_internal)?\.h$/,
  /^tensorflow\/include\/tsl\/platform\/ctstring(_internal)?\.h$/,
  /^tensorflow\/include\/xla\/tsl\/c\/.*\.h$/,
];

export const isNeeded = (name: string): boolean => needed.some((pattern) => pattern.test(name));

/** The needed files of an installed Python TensorFlow. @param folder its site-packages */
export async function listInstalled(folder: string): Promise<SourceFile[]> {
  const files: SourceFile[] = [];
  const below = async (name: string): Promise<string[]> =>
    (await readdir(join(folder, name), { recursive: true }).catch(() => [])).map((entry) => `${name}/${entry}`);
  const names = [
    ...(await readdir(join(folder, 'tensorflow'))).map((entry) => `tensorflow/${entry}`),
    ...(await below('tensorflow/include/tensorflow/c')),
    ...(await below('tensorflow/include/tensorflow/core/platform')),
    ...(await below('tensorflow/include/tsl/platform')),
    ...(await below('tensorflow/include/xla/tsl/c')),
    ...(await below('nvidia')),
  ];
  for (const name of names.filter(isNeeded)) {
    const path = join(folder, name);
    const { size } = await stat(path);
    files.push({ name, size, open: async () => createReadStream(path) });
  }
  return files;
}

/** Errors of the system that a person can do something about. */
const causes: Readonly<Record<string, string>> = {
  ENOSPC: 'the disk is full',
  EDQUOT: 'the disk quota is used up',
  EFBIG: 'files may not become that large here',
  EACCES: 'it may not be written',
  EPERM: 'it may not be written',
  EROFS: 'it is on a read-only file system',
  ENOTDIR: 'a part of the path is not a folder',
  EEXIST: 'a part of the path is not a folder',
};

/** @throws LockstepError `cache-unwritable` instead of what the system says about writing below `folder` */
export async function writing<Result>(folder: string, body: () => Promise<Result>): Promise<Result> {
  try {
    return await body();
  } catch (error) {
    const cause = causes[(error as NodeJS.ErrnoException).code ?? ''];
    if (cause === undefined) throw error;
    const message = `TensorFlow cannot be put into ${folder}: ${cause} (${(error as Error).message}).`;
    throw new LockstepError('cache-unwritable', message, 'Make room there, or name another place by --folder.', {
      cause: error,
    });
  }
}

const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(2)} GB`;

/** @throws LockstepError `cache-unwritable` when the file system of `folder`, which exists, has less room than `bytes` */
export async function requireRoom(folder: string, bytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(folder);
  if (bavail * bsize >= bytes) return;
  const message = `TensorFlow needs ${gigabytes(bytes)} in ${folder}, and ${gigabytes(bavail * bsize)} are free there.`;
  throw new LockstepError('cache-unwritable', message, 'Make room there, or name another place by --folder.');
}

/**
 * Copies files below `into`, under their names.
 * @param onBytes called with what was written since the last call
 * @throws LockstepError `interrupted`; whatever reading or writing throws
 */
export async function unpack(
  files: readonly SourceFile[],
  into: string,
  signal: AbortSignal | undefined,
  onBytes: (bytes: number) => void,
): Promise<void> {
  for (const file of files) {
    const path = join(into, file.name);
    await mkdir(dirname(path), { recursive: true });
    const counter = new Transform({
      transform(chunk: Buffer, _, done) {
        onBytes(chunk.length);
        done(null, chunk);
      },
    });
    try {
      await pipeline(await file.open(), counter, createWriteStream(path), signal ? { signal } : {});
    } catch (error) {
      throwIfInterrupted(signal);
      throw error;
    }
  }
}
