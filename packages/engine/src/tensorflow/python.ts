/** What Python is asked for: whether it has a TensorFlow, and to download one with pip. */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { LockstepError } from '@lockstep/core';
import { z } from 'zod';
import { howItEnded, lastLines, type RunOptions, run } from './process.ts';

const PROBE_MS = 60_000;
const POLL_MS = 500;
/** A Python for which there are wheels of the wanted TensorFlow, for those that are too old or too new. */
const OTHER_PYTHON = '3.12';

/** Finds TensorFlow without loading it, which would take seconds. */
const PROBE = `
import importlib.metadata as metadata, importlib.util as util, json, os
found = {}
spec = util.find_spec("tensorflow")
if spec and spec.submodule_search_locations:
    for name in ("tensorflow", "tensorflow-cpu", "tensorflow_cpu"):
        try:
            found = {"version": metadata.version(name), "folder": os.path.dirname(list(spec.submodule_search_locations)[0])}
            break
        except metadata.PackageNotFoundError:
            pass
print(json.dumps(found))
`;

const probed = z.object({ version: z.string(), folder: z.string() });

/** A TensorFlow that Python has; `folder` is its site-packages. */
export type Installed = z.output<typeof probed>;

type Options = Pick<RunOptions, 'signal' | 'env'>;

const withoutPython =
  'Install Python 3 with pip (Debian, Ubuntu: apt-get install python3-pip), or download a wheel of TensorFlow elsewhere and name it by --wheel.';

/** @returns the command of a Python 3 on this machine; undefined when there is none */
export async function findPython(options: Options): Promise<string | undefined> {
  for (const command of ['python3', 'python']) {
    const { status } = await run(command, ['-c', 'import sys; sys.exit(sys.version_info < (3, 8))'], {
      ...options,
      deadlineMs: PROBE_MS,
    });
    if (status === 0) return command;
  }
  return undefined;
}

/** @returns undefined when it has none, or does not say */
export async function findInstalled(python: string, options: Options): Promise<Installed | undefined> {
  // -I: what lies in the current folder is not Python's.
  const { status, stdout } = await run(python, ['-I', '-c', PROBE], { ...options, deadlineMs: PROBE_MS });
  if (status !== 0) return undefined;
  try {
    return probed.parse(JSON.parse(stdout));
  } catch {
    return undefined;
  }
}

export interface Download extends Options {
  /** As pip takes them: `tensorflow-cpu==2.21.0`. */
  readonly requirements: readonly string[];
  /** An empty folder for the wheels; also for what is not yet complete. */
  readonly into: string;
  /** A folder whose wheels are taken before those of the network. */
  readonly beside: string | undefined;
  readonly deadlineMs: number;
  /** Called now and then with the bytes that are there. */
  readonly onBytes: (bytes: number) => void;
}

/**
 * Downloads wheels, without what they depend on.
 * @param python command, or undefined when there is none
 * @returns paths of the wheels
 * @throws LockstepError `engine-unavailable` when pip cannot; `interrupted`
 */
export async function downloadWheels(python: string | undefined, download: Download): Promise<string[]> {
  if (python === undefined) {
    throw new LockstepError(
      'engine-unavailable',
      'TensorFlow cannot be downloaded: there is no Python here.',
      withoutPython,
    );
  }
  const { requirements, into, beside, deadlineMs, signal } = download;
  const poll = setInterval(async () => download.onBytes(await sizeOf(into)), POLL_MS);
  try {
    const pip = (more: readonly string[]) =>
      run(
        python,
        [
          ...['-m', 'pip', 'download', '--no-deps', '--only-binary=:all:', '--disable-pip-version-check', '--no-input'],
          ...['--no-cache-dir', '--progress-bar=off', '--retries=1', '--timeout=30', `--dest=${into}`],
          ...(beside === undefined ? [] : [`--find-links=${beside}`]),
          ...more,
          ...requirements,
        ],
        // What is not yet complete goes to where there is room for the whole, and away with it.
        { deadlineMs, signal, env: { ...download.env, TMPDIR: into } },
      );
    let outcome = await pip([]);
    if (outcome.status !== 0 && isForOtherPython(outcome.stderr))
      outcome = await pip([`--python-version=${OTHER_PYTHON}`]);
    if (outcome.status !== 0) throw explain(outcome.stderr, howItEnded(outcome, deadlineMs), requirements);
  } finally {
    clearInterval(poll);
  }
  return (await readdir(into)).filter((name) => name.endsWith('.whl')).map((name) => join(into, name));
}

async function sizeOf(folder: string): Promise<number> {
  let bytes = 0;
  for (const name of await readdir(folder, { recursive: true }).catch(() => [])) {
    const info = await stat(join(folder, name)).catch(() => undefined);
    if (info?.isFile()) bytes += info.size;
  }
  return bytes;
}

const isWithoutNetwork = (stderr: string): boolean =>
  /NewConnectionError|NameResolutionError|Temporary failure in name resolution|ProxyError|ConnectTimeout|ReadTimeout|Network is unreachable|Connection (refused|reset)|SSLError|HTTPError/i.test(
    stderr,
  );

const isForOtherPython = (stderr: string): boolean =>
  /No matching distribution found/.test(stderr) && !isWithoutNetwork(stderr);

function explain(stderr: string, ended: string, requirements: readonly string[]): LockstepError {
  const failed = (why: string, nextStep: string): LockstepError =>
    new LockstepError('engine-unavailable', `${requirements.join(' ')} cannot be downloaded: ${why}`, nextStep);
  if (/No module named '?pip/.test(stderr)) return failed('this Python has no pip.', withoutPython);
  if (/No space left on device|Disk quota exceeded/i.test(stderr)) {
    return new LockstepError(
      'cache-unwritable',
      `There is no room for ${requirements.join(' ')}: the disk is full.`,
      'Make room there, or name another place by --folder.',
    );
  }
  const details = lastLines(stderr, 3);
  const elsewhere = 'download the wheel on another machine and name it by --wheel.';
  if (isWithoutNetwork(stderr))
    return failed(
      `pip cannot reach its package index.${details}`,
      `Look at the network and at pip's settings (pip config list), or ${elsewhere}`,
    );
  if (/No matching distribution found/.test(stderr)) {
    return failed(
      `pip's package index has none for this machine.${details}`,
      `Look at pip's settings (pip config list), or ${elsewhere}`,
    );
  }
  return failed(`pip ${ended}.${details}`, `Try again, or ${elsewhere}`);
}
