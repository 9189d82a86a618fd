/** Gets TensorFlow's libraries and headers: from a wheel, from Python, or from the network. */
import { existsSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { LockstepError } from '@lockstep/core';
import { listInstalled, requireRoom, type SourceFile, unpack } from './files.ts';
import { type Flavour, libraries, type Manifest } from './installation.ts';
import { downloadWheels, findInstalled, findPython } from './python.ts';
import { openWheel, type Wheel } from './wheel.ts';

/** The newest that this was tried with. */
const TENSORFLOW_VERSION = '2.21.0';
/** Older ones were not tried, and their GPU builds want older CUDA libraries. */
const OLDEST_MINOR = 18;

const DOWNLOAD_MS = 60 * 60_000;
/** What the compiled binding and the headers take, with something to spare. */
const EXTRA_BYTES = 50e6;

/** What is going on. `bytes` of `total`, where they are known. */
export interface SetupProgress {
  readonly stage: 'download' | 'unpack' | 'compile' | 'check';
  readonly what: string;
  readonly bytes?: number;
  readonly total?: number;
}

export interface SetupOptions {
  /** Undefined: `gpu` where there is an NVIDIA driver. */
  readonly flavour: Flavour | undefined;
  /** A wheel to take TensorFlow from. */
  readonly wheel: string | undefined;
  /** Where to put it. */
  readonly folder: string;
  /** Do it again though it is there. */
  readonly force: boolean;
  readonly env: NodeJS.ProcessEnv;
  readonly signal: AbortSignal | undefined;
  readonly onProgress?: ((progress: SetupProgress) => void) | undefined;
  readonly downloadDeadlineMs?: number | undefined;
}

/** For which the driver makes a device when it is loaded. */
export const defaultFlavour = (): Flavour => (existsSync('/dev/nvidiactl') ? 'gpu' : 'cpu');

/** What a manifest says of a wheel that was named. */
export const sourceOf = (wheel: string): string => `the wheel ${basename(wheel)}`;

/**
 * Fills `part`, an empty folder, with the libraries and headers.
 * @throws LockstepError `usage`, `engine-unavailable`, `cache-unwritable`, `interrupted`
 */
export async function obtain(part: string, options: SetupOptions): Promise<Manifest> {
  if (options.wheel !== undefined) {
    return unpackWheel(options.wheel, part, sourceOf(options.wheel), () => findPython(options), options);
  }
  const flavour = options.flavour ?? defaultFlavour();
  const python = await findPython(options);
  const installed = python === undefined ? undefined : await findInstalled(python, options);
  if (installed && fits(installed.version)) {
    const files = await listInstalled(installed.folder);
    const suitable = flavour === 'gpu' ? files : files.filter(({ name }) => !name.startsWith('nvidia/'));
    if (isComplete(suitable, flavour)) {
      const source = `Python's TensorFlow in ${installed.folder}`;
      await unpackShowing(suitable, part, source, options);
      return { version: installed.version, flavour, source };
    }
  }
  // There is no CPU build of its own for arm64.
  const name = flavour === 'cpu' && process.arch === 'x64' ? 'tensorflow-cpu' : 'tensorflow';
  const requirement = `${name}==${TENSORFLOW_VERSION}`;
  const [wheel] = await fetchWheels(python, part, [requirement], undefined, options);
  const source = `the downloaded wheel ${basename(wheel!)}`;
  const manifest = await unpackWheel(wheel!, part, source, async () => python, { ...options, flavour });
  await rm(dirname(wheel!), { recursive: true });
  return manifest;
}

function fits(version: string): boolean {
  const [major, minor] = version.split('.').map(Number);
  return major === 2 && minor! >= OLDEST_MINOR;
}

const isComplete = (files: readonly SourceFile[], flavour: Flavour): boolean =>
  libraries.every((library) => files.some(({ name }) => name === `tensorflow/${library}`)) &&
  files.some(({ name }) => name === 'tensorflow/include/tensorflow/c/c_api.h') &&
  (flavour === 'cpu' || files.some(({ name }) => name.startsWith('nvidia/cudnn/')));

/** Downloads into a folder of its own below `part`. */
async function fetchWheels(
  python: string | undefined,
  part: string,
  requirements: readonly string[],
  beside: string | undefined,
  options: SetupOptions,
): Promise<string[]> {
  const into = join(part, 'wheels');
  await mkdir(into, { recursive: true });
  const what = requirements.join(' ');
  options.onProgress?.({ stage: 'download', what });
  return downloadWheels(python, {
    ...{ requirements, into, beside, env: options.env, signal: options.signal },
    deadlineMs: options.downloadDeadlineMs ?? DOWNLOAD_MS,
    onBytes: (bytes) => options.onProgress?.({ stage: 'download', what, bytes }),
  });
}

/** Unpacks a wheel of TensorFlow and, for GPUs, those of NVIDIA's libraries, which pip gets. */
async function unpackWheel(
  path: string,
  part: string,
  source: string,
  python: () => Promise<string | undefined>,
  options: SetupOptions,
): Promise<Manifest> {
  const wheel = await openWheel(path);
  try {
    requireTensorflow(path, wheel, options.flavour);
    await unpackShowing(wheel.files, part, basename(path), options);
  } finally {
    wheel.close();
  }
  const { name, version, cudaRequirements } = wheel;
  const flavour = options.flavour ?? (name === 'tensorflow' ? defaultFlavour() : 'cpu');
  if (flavour === 'gpu') {
    for (const nvidia of await fetchWheels(await python(), part, cudaRequirements, dirname(path), options)) {
      const opened = await openWheel(nvidia);
      try {
        await unpackShowing(opened.files, part, basename(nvidia), options);
      } finally {
        opened.close();
      }
      await rm(nvidia);
    }
  }
  return { version, flavour, source };
}

/** Looks at a wheel that was named, before anything else is done. @throws LockstepError `usage` when it does not fit */
export async function requireFitting(path: string, flavour: Flavour | undefined): Promise<void> {
  const wheel = await openWheel(path);
  wheel.close();
  requireTensorflow(path, wheel, flavour);
}

function requireTensorflow(
  path: string,
  { name, version, files, cudaRequirements }: Wheel,
  flavour: Flavour | undefined,
) {
  const nextStep = `Name a wheel of tensorflow or tensorflow-cpu, 2.${OLDEST_MINOR} or later, such as ${TENSORFLOW_VERSION}.`;
  const wrong = (problem: string): LockstepError => new LockstepError('usage', `${path} ${problem}.`, nextStep);
  if (!/^tensorflow(-|$)/.test(name)) throw wrong(`is the wheel of ${name}, not of TensorFlow`);
  if (!fits(version)) throw wrong(`is TensorFlow ${version}, which does not fit`);
  if (!isComplete(files, 'cpu')) throw wrong(`(${name} ${version}) lacks ${libraries.join(', ')} or their headers`);
  if (flavour === 'gpu' && (name === 'tensorflow-cpu' || cudaRequirements.length === 0)) {
    throw wrong(`is a build of TensorFlow for CPUs, and --gpu was given`);
  }
}

async function unpackShowing(
  files: readonly SourceFile[],
  part: string,
  what: string,
  { signal, onProgress }: SetupOptions,
): Promise<void> {
  const total = files.reduce((sum, { size }) => sum + size, 0);
  await requireRoom(dirname(part), total + EXTRA_BYTES);
  let bytes = 0;
  onProgress?.({ stage: 'unpack', what, bytes, total });
  await unpack(files, part, signal, (more) => {
    bytes += more;
    onProgress?.({ stage: 'unpack', what, bytes, total });
  });
}
