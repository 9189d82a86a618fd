/** Compiles the binding between Node and TensorFlow from the sources that @tensorflow/tfjs-node-gpu brings along. */
import { existsSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { LockstepError } from '@lockstep/core';
import { environmentSource } from './environment.ts';
import { layout, libraries } from './installation.ts';
import { PACKAGE, requireOfPackage } from './load.ts';
import { howItEnded, lastLines, type RunOptions, run } from './process.ts';

const PROBE_MS = 60_000;
const COMPILE_MS = 10 * 60_000;

/** What there must be for it. */
export interface Toolchain {
  /** Command. */
  readonly compiler: string;
  /** Folder with `node_api.h`. */
  readonly nodeHeaders: string;
  readonly sources: readonly string[];
}

type Options = Pick<RunOptions, 'signal' | 'env'>;

/**
 * Finds compiler, headers and sources.
 * @param node path of the Node that the headers shall be of
 * @throws LockstepError `engine-unavailable` that says what is missing and how to get it
 */
export async function findToolchain(options: Options, node: string = process.execPath): Promise<Toolchain> {
  return { sources: findSources(), nodeHeaders: findNodeHeaders(node), compiler: await findCompiler(options) };
}

const missing = (what: string, nextStep: string): LockstepError =>
  new LockstepError('engine-unavailable', `The binding to TensorFlow cannot be compiled: ${what}`, nextStep);

function findSources(): string[] {
  try {
    const folder = join(dirname(requireOfPackage().resolve('./package.json')), 'binding');
    return ['tfjs_backend.cc', 'tfjs_binding.cc'].map((name) => join(folder, name));
  } catch {
    throw missing(`${PACKAGE} is not installed.`, `Run: npm install --ignore-scripts ${PACKAGE}`);
  }
}

/** Beside Node, where its own distributions have them, else from npm. */
function findNodeHeaders(node: string): string {
  const candidates = [join(dirname(node), '..', 'include', 'node')];
  try {
    candidates.push(join(dirname(createRequire(import.meta.url).resolve('node-api-headers/package.json')), 'include'));
  } catch {
    // Not installed.
  }
  const found = candidates.find((folder) => existsSync(join(folder, 'node_api.h')));
  if (found !== undefined) return found;
  throw missing(
    `there is no node_api.h (looked in ${candidates.join(', ')}).`,
    'Run: npm install node-api-headers, or install the headers of Node (Debian, Ubuntu: apt-get install libnode-dev).',
  );
}

async function findCompiler({ env, signal }: Options): Promise<string> {
  const candidates = env.CXX ? [env.CXX] : ['g++', 'clang++', 'c++'];
  for (const command of candidates) {
    const { status } = await run(command, ['--version'], { env, signal, deadlineMs: PROBE_MS });
    if (status === 0) return command;
  }
  throw missing(
    `there is no C++ compiler (${env.CXX ? `CXX is ${env.CXX}` : `looked for ${candidates.join(', ')}`}).`,
    'Install one (Debian, Ubuntu: apt-get install g++; Fedora: dnf install gcc-c++).',
  );
}

/**
 * Compiles into `folder`, which holds TensorFlow's libraries and headers as a wheel does.
 * @param nvidia names of the folders below `nvidia/`
 * @throws LockstepError `engine-unavailable` with the compiler's last words; `interrupted`
 */
export async function compileBinding(
  toolchain: Toolchain,
  folder: string,
  nvidia: readonly string[],
  { env, signal }: Options,
): Promise<void> {
  const environment = join(folder, 'environment.cc');
  await writeFile(environment, environmentSource());
  const near = ['$ORIGIN', ...nvidia.map((name) => `$ORIGIN/../nvidia/${name}/lib`)];
  const args = [
    ...['-std=c++17', '-O2', '-fPIC', '-shared', '-DNAPI_VERSION=8', `-I${toolchain.nodeHeaders}`],
    `-I${join(folder, layout.libraries, 'include')}`,
    ...toolchain.sources,
    environment,
    ...['-o', join(folder, layout.binding), `-L${join(folder, layout.libraries)}`],
    ...libraries.map((library) => `-l:${library}`),
    // Node unloads what only threads have loaded when they end, and TensorFlow leaves things to do at the process' exit.
    '-Wl,-z,nodelete',
    // Not RUNPATH: this must also hold for what TensorFlow itself opens later.
    ...['-Wl,--disable-new-dtags', `-Wl,-rpath,${near.join(':')}`],
  ];
  const outcome = await run(toolchain.compiler, args, { env, signal, deadlineMs: COMPILE_MS });
  await rm(environment);
  if (outcome.status === 0) return;
  const errors = outcome.stderr.split('\n').filter((line) => /error/i.test(line));
  const details = lastLines((errors.length > 0 ? errors : outcome.stderr.split('\n')).slice(0, 3).join('\n'), 3);
  throw missing(
    `${toolchain.compiler} ${howItEnded(outcome, COMPILE_MS)}.${details}`,
    'Use a compiler that knows C++17 (CXX=clang++, for instance), or another version of TensorFlow by --wheel.',
  );
}
