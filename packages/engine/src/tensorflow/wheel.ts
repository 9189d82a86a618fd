/** Python wheels: zip files that say which package they are, and for which kind of machine. */
import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { type Readable, Transform } from 'node:stream';
import { text } from 'node:stream/consumers';
import { crc32 } from 'node:zlib';
import { LockstepError } from '@lockstep/core';
import { type Entry, openPromise, type ZipFile } from 'yauzl';
import { isNeeded, type SourceFile } from './files.ts';

export interface Wheel {
  /** Of the package, such as `tensorflow-cpu`. */
  readonly name: string;
  readonly version: string;
  /** What the package needs for CUDA, as pip takes it: `nvidia-cublas-cu12<13.0,>=12.5.3.2`. */
  readonly cudaRequirements: readonly string[];
  /** The needed ones only. */
  readonly files: readonly SourceFile[];
  close(): void;
}

const machines: Readonly<Record<string, string>> = { x64: 'x86_64', arm64: 'aarch64' };

const nextStep = 'Name a wheel of TensorFlow for this kind of machine, or leave --wheel away to have it downloaded.';
const unusable = (path: string, problem: string, cause?: unknown): LockstepError =>
  new LockstepError('usage', `${path} ${problem}.`, nextStep, { cause });

/**
 * Opens a wheel.
 * @param architecture of this machine, as `process.arch` has it
 * @throws LockstepError `usage` when it is no wheel, damaged, or for another kind of machine
 */
export async function openWheel(path: string, architecture: string = process.arch): Promise<Wheel> {
  const info = await stat(path).catch((error: NodeJS.ErrnoException) => {
    throw unusable(path, error.code === 'ENOENT' ? 'does not exist' : `cannot be read (${error.code})`, error);
  });
  if (!info.isFile()) throw unusable(path, 'is not a file');
  let zip: ZipFile;
  try {
    zip = await openPromise(path, { autoClose: false });
  } catch (error) {
    const problem = `is not a wheel, or only the beginning of one (${(error as Error).message})`;
    throw unusable(path, problem, error);
  }
  try {
    return await readWheel(zip, path, architecture);
  } catch (error) {
    zip.close();
    throw error instanceof LockstepError ? error : damaged(path, error);
  }
}

const damaged = (path: string, error: unknown): LockstepError =>
  unusable(path, `is damaged: ${(error as Error).message}`, error);

async function readWheel(zip: ZipFile, path: string, architecture: string): Promise<Wheel> {
  const files: SourceFile[] = [];
  let tags: string | undefined;
  let metadata: string | undefined;
  for await (const entry of zip.eachEntry()) {
    const { fileName: name, uncompressedSize: size } = entry;
    if (isNeeded(name)) files.push({ name, size, open: () => openChecked(zip, entry, path) });
    if (/^[^/]+\.dist-info\/WHEEL$/.test(name)) tags = await text(await zip.openReadStreamPromise(entry));
    if (/^[^/]+\.dist-info\/METADATA$/.test(name)) metadata = await text(await zip.openReadStreamPromise(entry));
  }
  if (tags === undefined || metadata === undefined) {
    throw unusable(path, 'is a zip file, but not a wheel: it has no *.dist-info/WHEEL');
  }
  const platforms = [...tags.matchAll(/^Tag: *[^-\s]+-[^-\s]+-(\S+)/gm)].map(([, platform]) => platform!);
  const machine = machines[architecture] ?? architecture;
  if (
    !platforms.some(
      (platform) =>
        platform === 'any' || (/^(many)?linux.*_(x86_64|aarch64)$/.test(platform) && platform.endsWith(machine)),
    )
  ) {
    throw unusable(path, `is for ${platforms.join(', ')}, and this machine is Linux on ${machine}`);
  }
  const field = (name: string): string => new RegExp(`^${name}: *(.+?)\\s*$`, 'm').exec(metadata)?.[1] ?? '';
  return {
    name: field('Name').toLowerCase().replaceAll('_', '-') || basename(path),
    version: field('Version'),
    cudaRequirements: [...metadata.matchAll(/^Requires-Dist: *([^;\n]+?) *; *extra == ["']and-cuda["']/gm)].map(
      ([, requirement]) => requirement!,
    ),
    files,
    close: () => zip.close(),
  };
}

/** A file's content, which fails at the end unless its checksum is right. */
async function openChecked(zip: ZipFile, entry: Entry, path: string): Promise<Readable> {
  const compressed = await zip.openReadStreamPromise(entry).catch((error: unknown) => {
    throw damaged(path, error);
  });
  let sum = 0;
  const checked = new Transform({
    transform(chunk: Buffer, _, done) {
      sum = crc32(chunk, sum);
      done(null, chunk);
    },
    flush(done) {
      done(sum === entry.crc32 ? null : damaged(path, new Error(`${entry.fileName} has a wrong checksum`)));
    },
  });
  compressed.on('error', (error) => checked.destroy(damaged(path, error)));
  return compressed.pipe(checked);
}
