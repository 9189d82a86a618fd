/** Small datasets on disk, with sums of their own in place of the published ones. */

import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { LockstepError } from '@lockstep/core';
import { contentsSha256, type Split } from '../dataset.ts';
import { type FileRole, ORIGINALS } from '../fashion-mnist.ts';
import type { Settings } from '../settings.ts';
import { sumsOf } from '../sums.ts';
import { syntheticDataset } from '../synthetic.ts';

const NUM_TRAIN = 200;
export const NUM_TEST = 30;

/** An IDX file: header and elements. */
export function idx(dimensions: readonly number[], data: Uint8Array, type = 0x08): Buffer {
  const header = Buffer.alloc(4 + 4 * dimensions.length);
  header[2] = type;
  header[3] = dimensions.length;
  for (const [i, dimension] of dimensions.entries()) header.writeUInt32BE(dimension, 4 + 4 * i);
  return Buffer.concat([header, data]);
}

const { train, test } = syntheticDataset({ seed: 7, numTrain: NUM_TRAIN, numTest: NUM_TEST });

const images = (split: Split): Buffer => idx([split.count, 28, 28], split.images);
const labels = (split: Split): Buffer => idx([split.count], split.labels);

/** Plain bytes of the four small files. */
export const PLAIN: Readonly<Record<FileRole, Buffer>> = {
  trainImages: images(train),
  trainLabels: labels(train),
  testImages: images(test),
  testLabels: labels(test),
};

export const NAMES = Object.fromEntries(ORIGINALS.files.map(({ role, name }) => [role, name])) as Record<
  FileRole,
  string
>;

/** Compressed bytes by file name, with `.gz`. */
export const COMPRESSED: ReadonlyMap<string, Buffer> = new Map(
  ORIGINALS.files.map(({ role, name }) => [`${name}.gz`, gzipSync(PLAIN[role])]),
);

/** As in use, but the small files count as the published ones and no wait is long. */
export const SMALL: Settings = {
  originals: {
    files: ORIGINALS.files.map(({ role, name }) => ({
      role,
      name,
      compressed: sumsOf(COMPRESSED.get(`${name}.gz`)!),
      plain: sumsOf(PLAIN[role]),
    })),
    contentsSha256: contentsSha256(train, test),
  },
  synthetic: { seed: 0, numTrain: 20, numTest: 10 },
  // Long enough for a busy machine to answer itself.
  probeTimeoutMs: 1_000,
  stallTimeoutMs: 1_000,
};

export function temporaryFolder(): Promise<string> {
  return mkdtemp(join(tmpdir(), 'lockstep-dataset-'));
}

/** A new folder with the four small files, compressed; `changes` replaces some (by name) or leaves them out. */
export async function smallFolder(changes: Readonly<Record<string, Uint8Array | undefined>> = {}): Promise<string> {
  const folder = await temporaryFolder();
  for (const [name, bytes] of Object.entries({ ...Object.fromEntries(COMPRESSED), ...changes })) {
    if (bytes) await writeFile(join(folder, name), bytes);
  }
  return folder;
}

/** What a promise was rejected with; fails the test when it was not. */
export async function failureOf(promise: Promise<unknown>): Promise<LockstepError> {
  return promise.then(
    () => {
      throw new Error('Expected a failure');
    },
    (error: LockstepError) => error,
  );
}
