/** `lockstep setup tensorflow`: gets TensorFlow, compiles Node's binding to it, and keeps both in a folder once they work. */
import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { LockstepError } from '@lockstep/core';
import type { CheckReport } from './check.ts';
import { compileBinding, findToolchain, type Toolchain } from './compile.ts';
import { writing } from './files.ts';
import { layout, type Manifest, manifestText, readManifest } from './installation.ts';
import { defaultFlavour, obtain, requireFitting, type SetupOptions, sourceOf } from './obtain.ts';
import { howItEnded, lastLines, run, throwIfInterrupted } from './process.ts';

const CHECK_MS = 5 * 60_000;
/** Of a gradient, relative to its length; float32 on any device is far below. */
const TOLERANCE = 1e-3;

export interface SetupResult extends Manifest {
  readonly folder: string;
  readonly action: 'kept' | 'installed';
  /** What it computed on when it was checked. */
  readonly device: string;
  /** Why a GPU build does not use a GPU, in TensorFlow's words. */
  readonly notice: string | undefined;
}

/**
 * Sets TensorFlow up in a folder. It appears there in one piece, when it has computed a right gradient, or not at all.
 * @throws LockstepError `usage` (the wheel, the folder), `engine-unavailable` (something is missing, or it does not work),
 *   `cache-unwritable`, `interrupted`
 */
export async function setUpTensorflow(options: SetupOptions): Promise<SetupResult> {
  requirePlatform();
  const folder = resolve(options.folder);
  const kept = await readManifest(folder);
  if (await isOccupied(folder)) {
    const message = `${folder} holds something else than a TensorFlow that lockstep has put there.`;
    throw new LockstepError('usage', message, 'Name a new folder by --folder.');
  }
  if (kept && !options.force && isWanted(kept, options)) {
    const checked = await check(folder, options).catch(throwIfMeant);
    if (checked) return { ...kept, folder, action: 'kept', ...checked };
  }
  if (options.wheel !== undefined) await requireFitting(options.wheel, options.flavour);
  const toolchain = await findToolchain(options);
  return writing(dirname(folder), async () => {
    await mkdir(dirname(folder), { recursive: true });
    await removeAbandoned(folder);
    const part = partOf(folder);
    try {
      await mkdir(part);
      const manifest = await build(part, toolchain, options);
      const checked = await check(part, options);
      await writeFile(join(part, layout.manifest), manifestText(manifest));
      throwIfInterrupted(options.signal);
      await replace(folder, part);
      return { ...manifest, folder, action: 'installed', ...checked };
    } finally {
      await rm(part, { recursive: true, force: true });
    }
  });
}

/** A failure of the old installation is reason for a new one; an interruption is none. */
function throwIfMeant(error: unknown): undefined {
  if ((error as LockstepError).code === 'interrupted') throw error;
}

function requirePlatform(): void {
  const here = `${process.platform} on ${process.arch}`;
  // Without it, the report looks up the names of all network peers.
  const reports = Object.assign(process.report, { excludeNetwork: true });
  const report = reports.getReport() as { header?: { glibcVersionRuntime?: string } };
  const hasGlibc = report.header?.glibcVersionRuntime !== undefined;
  if (process.platform === 'linux' && ['x64', 'arm64'].includes(process.arch) && hasGlibc) return;
  throw new LockstepError(
    'engine-unavailable',
    `TensorFlow can be set up on Linux with glibc on x64 and arm64; this is ${here}${hasGlibc || process.platform !== 'linux' ? '' : ' without glibc'}.`,
    'Use --engine onnx, which needs no set-up.',
  );
}

function isWanted({ flavour, source }: Manifest, options: SetupOptions): boolean {
  if (options.wheel !== undefined && source !== sourceOf(options.wheel)) return false;
  if (options.flavour !== undefined) return flavour === options.flavour;
  return options.wheel !== undefined || flavour === defaultFlavour();
}

/** Whether there is anything but what an earlier set-up, perhaps of another version, has put there. */
async function isOccupied(folder: string): Promise<boolean> {
  const names = await readdir(folder).catch((): string[] => []);
  return names.length > 0 && !names.includes(layout.manifest);
}

/** A folder in the making, and one that makes way. */
const partOf = (folder: string): string => `${folder}.${process.pid}.part`;
const oldOf = (folder: string): string => `${folder}.${process.pid}.old`;

/** Removes what processes left that were killed. */
async function removeAbandoned(folder: string): Promise<void> {
  const name = basename(folder);
  for (const entry of await readdir(dirname(folder))) {
    const pid = Number(/^\.(\d+)\.(?:part|old)$/.exec(entry.slice(name.length))?.[1]);
    if (!entry.startsWith(name) || !(pid > 0) || (pid !== process.pid && isAlive(pid))) continue;
    await rm(join(dirname(folder), entry), { recursive: true, force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Puts `part` where `folder` is, in two moves where there is one already. */
async function replace(folder: string, part: string): Promise<void> {
  const old = oldOf(folder);
  await rename(folder, old).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error;
  });
  await rename(part, folder);
  await rm(old, { recursive: true, force: true });
}

/** Fills an empty folder with everything but the manifest. */
async function build(part: string, toolchain: Toolchain, options: SetupOptions): Promise<Manifest> {
  const manifest = await obtain(part, options);
  options.onProgress?.({ stage: 'compile', what: `the binding with ${toolchain.compiler}` });
  const nvidia = await readdir(join(part, 'nvidia')).catch(() => []);
  await compileBinding(toolchain, part, nvidia, options);
  await rm(join(part, layout.libraries, 'include'), { recursive: true });
  return manifest;
}

/** The compiled file, also where a test runs this one from source. */
const CHECK = fileURLToPath(new URL('../../dist/tensorflow/check.js', import.meta.url));

/** Lets another process compute with it. @throws LockstepError `engine-unavailable` when it does not work */
async function check(
  folder: string,
  { env, signal, onProgress }: SetupOptions,
): Promise<Pick<SetupResult, 'device' | 'notice'>> {
  onProgress?.({ stage: 'check', what: 'that it computes a gradient' });
  const outcome = await run(process.execPath, [CHECK, folder], {
    // With what TensorFlow says about devices.
    ...{ env: { ...env, TF_CPP_MIN_LOG_LEVEL: '0' }, signal, deadlineMs: CHECK_MS },
  });
  const failed = (why: string): LockstepError =>
    new LockstepError(
      'engine-unavailable',
      `TensorFlow does not work on this machine: ${why}`,
      'Try another version by --wheel, or use --engine onnx.',
    );
  if (outcome.status !== 0) {
    throw failed(`a process that loads it ${howItEnded(outcome, CHECK_MS)}.${lastLines(outcome.stderr, 6)}`);
  }
  const { device, error } = JSON.parse(outcome.stdout) as CheckReport;
  if (!(error <= TOLERANCE)) {
    throw failed(`its gradient differs from that of tf.js by ${error.toExponential(1)} of its length.`);
  }
  const about = outcome.stderr.split('\n').filter((line) => /cuda|gpu|dlopen/i.test(line));
  return { device, notice: device === 'cpu' && about.length > 0 ? lastLines(about.join('\n'), 3).trim() : undefined };
}
