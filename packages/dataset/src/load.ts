/** Loads a dataset: Fashion-MNIST from a folder, the cache or the network, or the synthetic stand-in. */

import { readFile } from 'node:fs/promises';
import { LockstepError } from '@lockstep/core';
import { contentsSha256, type ImageDataset, type Split } from './dataset.ts';
import { type DownloadProgress, download } from './download.ts';
import { CLASS_NAMES, type FileRole, IMAGE_SHAPE } from './fashion-mnist.ts';
import { checkSameCount, type Idx, parseImages, parseLabels, plainBytes } from './idx.ts';
import { chooseFolder, type Folder, type FoundFile, listFiles, requireFiles } from './locate.ts';
import { type Environment, mirrorsFrom, SETTINGS, type Settings, throwIfInterrupted } from './settings.ts';
import { differenceFromPublished, sumsOf } from './sums.ts';
import { syntheticDataset } from './synthetic.ts';

export interface LoadOptions {
  /** `auto`: Fashion-MNIST, or the synthetic stand-in where it is not to be had. */
  readonly dataset: 'auto' | 'fashion-mnist' | 'synthetic';
  /** `--data-dir`: the folder that must hold the four files. */
  readonly dataDir: string | undefined;
  readonly env: Environment;
  readonly onProgress: ((progress: DownloadProgress) => void) | undefined;
  readonly signal: AbortSignal | undefined;
}

/**
 * Loads the dataset that the options ask for.
 *
 * With `auto`, the stand-in is taken only when no folder was named, the cache lacks files, and they cannot be
 * downloaded or stored; files that are there but wrong are an error always.
 *
 * @throws LockstepError `dataset-not-found`, `dataset-invalid`, `dataset-unavailable`, `cache-unwritable`, `usage` or
 * `interrupted`.
 */
export async function loadDataset(options: LoadOptions, settings: Settings = SETTINGS): Promise<ImageDataset> {
  throwIfInterrupted(options.signal);
  if (options.dataset === 'synthetic') {
    return syntheticDataset(settings.synthetic, 'asked for by --dataset synthetic');
  }
  try {
    return await loadFashionMnist(options, settings);
  } catch (error) {
    if (options.dataset !== 'auto' || !isUnavailable(error)) throw error;
    const notice =
      `This run uses SYNTHETIC pictures, not Fashion-MNIST; its accuracy says nothing about Fashion-MNIST. ` +
      `Why: ${error.message}. ${error.nextStep}`;
    return syntheticDataset(settings.synthetic, 'Fashion-MNIST is not available here', notice);
  }
}

function isUnavailable(error: unknown): error is LockstepError {
  return error instanceof LockstepError && (error.code === 'dataset-unavailable' || error.code === 'cache-unwritable');
}

async function loadFashionMnist(options: LoadOptions, settings: Settings): Promise<ImageDataset> {
  const { onProgress, signal } = options;
  const folder = await chooseFolder(options.dataDir, options.env);
  let reason = `found in ${folder.what}`;
  if (!folder.named) {
    const { missing } = await listFiles(folder.path, settings.originals.files);
    const mirrors = mirrorsFrom(options.env);
    const from = await download(missing, { ...settings, folder: folder.path, mirrors, onProgress, signal });
    if (from.length > 0) reason = `downloaded from ${[...new Set(from)].join(', ')}`;
  }
  return readFolder(folder, reason, settings, signal);
}

interface DecodedFile extends FoundFile {
  readonly idx: Idx;
  /** How the file differs from the published one, if it does. */
  readonly differs: string | undefined;
}

async function readFolder(
  folder: Folder,
  reason: string,
  { originals }: Settings,
  signal: AbortSignal | undefined,
): Promise<ImageDataset> {
  const files = await requireFiles(folder, originals.files);
  const decoded = await Promise.all(files.map((file) => decode(file, folder)));
  throwIfInterrupted(signal);
  const train = split(decoded, 'trainImages', 'trainLabels');
  const test = split(decoded, 'testImages', 'testLabels');
  const sha256 = contentsSha256(train, test);
  const different = decoded.filter((file) => file.differs !== undefined);
  return {
    name: 'fashion-mnist',
    source: folder.path,
    reason,
    notice: different.length === 0 ? undefined : differenceNotice(different, sha256 === originals.contentsSha256),
    checksums: different.length === 0 ? 'match' : 'differ',
    sha256,
    imageShape: IMAGE_SHAPE,
    classNames: CLASS_NAMES,
    train,
    test,
  };
}

/** Reads, compares and parses one file. Decompression runs in a thread of its own while the sums are computed. */
async function decode(file: FoundFile, folder: Folder): Promise<DecodedFile> {
  const { path, original } = file;
  let bytes: Uint8Array;
  try {
    bytes = await readFile(path);
  } catch (error) {
    const message = `${path} cannot be read: ${(error as Error).message}`;
    const nextStep = 'Make it readable, or name another folder by --data-dir.';
    throw new LockstepError('dataset-not-found', message, nextStep, { cause: error });
  }
  const decompressing = plainBytes(bytes, path);
  // Looked at below; a failure must not count as unhandled while the sums are computed.
  decompressing.catch(() => {});
  const differs = differenceFromPublished(sumsOf(bytes), path, original);
  if (differs !== undefined && !folder.named) {
    const message = `${path} is not the published file: ${differs}`;
    const nextStep = 'Run `lockstep dataset fetch` to get it again, or delete it.';
    throw new LockstepError('dataset-invalid', message, nextStep);
  }
  const plain = await decompressing;
  const isImages = original.role === 'trainImages' || original.role === 'testImages';
  const [height, width] = IMAGE_SHAPE;
  const idx = isImages ? parseImages(plain, path, height, width) : parseLabels(plain, path, CLASS_NAMES.length);
  return { ...file, idx, differs };
}

function split(files: readonly DecodedFile[], imagesRole: FileRole, labelsRole: FileRole): Split {
  const images = files.find((file) => file.original.role === imagesRole)!;
  const labels = files.find((file) => file.original.role === labelsRole)!;
  checkSameCount(images.idx, images.path, labels.idx, labels.path);
  return { images: shared(images.idx.data), labels: shared(labels.idx.data), count: labels.idx.data.length };
}

function shared(bytes: Uint8Array): Uint8Array {
  const copy = new Uint8Array(new SharedArrayBuffer(bytes.length));
  copy.set(bytes);
  return copy;
}

function differenceNotice(different: readonly DecodedFile[], sameContents: boolean): string {
  const files = different.map(({ path, differs }) => `${path} (${differs})`).join(', ');
  const contents = sameContents
    ? 'their contents are those of Fashion-MNIST all the same'
    : 'results cannot be compared with those of Fashion-MNIST';
  return `Not the published files, byte for byte: ${files}; ${contents}.`;
}
