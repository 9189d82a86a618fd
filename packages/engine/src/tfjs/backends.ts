/** Finds which tf.js backends work on this machine, and says in words why the others do not. */
import { LockstepError } from '@lockstep/core';
import type { Engine, EngineConfig } from '../engine.ts';
import { prepareEnvironment } from '../tensorflow/environment.ts';
import { installationFolder, readManifest } from '../tensorflow/installation.ts';
import { loadTensorflow } from '../tensorflow/load.ts';
import type { Network } from '../topology/network.ts';
import type { Tf } from './applied.ts';
import { createEngineOnBackend, type TfjsBackend } from './engine.ts';

export type Found =
  | { readonly ok: true; readonly backend: TfjsBackend }
  /** `reason` is a sentence; `nextStep` what would make it work. */
  | { readonly ok: false; readonly reason: string; readonly nextStep: string };

/** Loads a module; tests replace it to play a machine that they do not run on. */
export type LoadModule = (name: string) => Promise<unknown>;

/** The name is a variable so that packages which are not dependencies stay optional for compilers and bundlers. */
const importModule: LoadModule = (name) => import(/* @vite-ignore */ name);

type Attempt = TfjsBackend | { readonly reason: string };

/** Whether `error` says that the module itself could not be found, not one that it needs. */
function isMissing(name: string, error: unknown): boolean {
  const { code, message = '' } = error as { code?: string; message?: string };
  return (code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND') && message.includes(`'${name}'`);
}

const firstLine = (message: string): string => message.split('\n')[0]!.trim().replace(/\.?$/, '.');

function explainNativeFailure(name: string, error: unknown): string {
  if (isMissing(name, error)) return `${name} is not installed.`;
  const message = error instanceof Error ? error.message : String(error);
  const library = /(\S+): cannot open shared object file/.exec(message)?.[1];
  if (message.includes('tfjs_binding.node')) {
    return `${name} is installed without its native library, whose download failed or was skipped.`;
  }
  if (library) return `${name} is installed, but the library ${library} that it needs is not.`;
  return `${name} does not load: ${firstLine(message)}`;
}

/** Starts the backend of a tf.js that has TensorFlow, which falls back to the CPU in silence. */
async function start(tf: Tf): Promise<TfjsBackend> {
  // Without it, tf.js prints advice.
  tf.enableProdMode();
  await tf.setBackend('tensorflow');
  await tf.ready();
  const { isUsingGpuDevice } = tf.backend() as unknown as { isUsingGpuDevice?: boolean };
  return { tf, kind: 'tensorflow', name: 'tensorflow', device: isUsingGpuDevice === true ? 'cuda' : 'cpu' };
}

async function tryPackage(name: string, load: LoadModule): Promise<Attempt> {
  try {
    prepareEnvironment();
    const loaded = (await load(name)) as Tf & { readonly default?: Tf };
    return await start(loaded.default ?? loaded);
  } catch (error) {
    return { reason: explainNativeFailure(name, error) };
  }
}

/** @param folder of what `lockstep setup tensorflow` made. @throws whatever hinders it from loading */
export const openTensorflow = async (folder: string): Promise<TfjsBackend> => start(loadTensorflow(folder));

/** @returns undefined when nothing is set up */
async function trySetUp(env: NodeJS.ProcessEnv): Promise<Attempt | undefined> {
  const folder = await installationFolder(env).catch(() => undefined);
  const manifest = folder === undefined ? undefined : await readManifest(folder);
  if (folder === undefined || manifest === undefined) return undefined;
  try {
    return await openTensorflow(folder);
  } catch (error) {
    return {
      reason: `TensorFlow ${manifest.version} in ${folder} does not load: ${firstLine((error as Error).message)}`,
    };
  }
}

/** The packages' released binaries, and their own JavaScript, stop working after this major version of Node. */
const newestPackagesNode = 22;

/**
 * TensorFlow through its Node binding: what `lockstep setup tensorflow` made, else the package's GPU build if it loads, else
 * its CPU build. The device is `cuda` only if TensorFlow itself says that it computes there.
 * @param nodeVersion such as `22.12.0`
 */
export async function findTensorflow(
  env: NodeJS.ProcessEnv = process.env,
  nodeVersion: string = process.versions.node,
  load: LoadModule = importModule,
): Promise<Found> {
  const setUp = await trySetUp(env);
  if (setUp && 'tf' in setUp) return { ok: true, backend: setUp };
  if (setUp) return { ok: false, reason: setUp.reason, nextStep: 'Run: lockstep setup tensorflow --force' };
  const nextStep = 'Run: lockstep setup tensorflow';
  if (Number.parseInt(nodeVersion, 10) > newestPackagesNode) {
    const reason = `TensorFlow is not set up, and the binaries of its packages work on Node up to ${newestPackagesNode}; this is Node ${nodeVersion}.`;
    return { ok: false, reason, nextStep };
  }
  const reasons = ['TensorFlow is not set up.'];
  for (const name of ['@tensorflow/tfjs-node-gpu', '@tensorflow/tfjs-node']) {
    const attempt = await tryPackage(name, load);
    if ('tf' in attempt) return { ok: true, backend: attempt };
    reasons.push(attempt.reason);
  }
  return { ok: false, reason: reasons.join(' '), nextStep };
}

/** What the wasm backend has no gradient kernels for. */
const beyondWasm: ReadonlySet<string> = new Set(['conv2d', 'depthwiseConv2d', 'maxPool', 'averagePool']);

function wasmCanTrain(network: Network): boolean {
  return !network.nodes.some(
    (node) => beyondWasm.has(node.kind) || (node.kind === 'activation' && node.activation === 'gelu'),
  );
}

async function tryWasm(load: LoadModule): Promise<TfjsBackend | undefined> {
  try {
    await load('@tensorflow/tfjs-backend-wasm');
    const core = await import('@tensorflow/tfjs-core');
    if (!(await core.setBackend('wasm'))) return undefined;
    return { tf: core, kind: 'tfjs', name: 'wasm', device: 'wasm' };
  } catch {
    return undefined;
  }
}

/** The backend in plain JavaScript, which is always there. */
export async function loadCpuBackend(): Promise<TfjsBackend> {
  const core = await import('@tensorflow/tfjs-core');
  // Without it, tf.js advertises its native binding when the first tensor is made.
  core.enableProdMode();
  await import('@tensorflow/tfjs-backend-cpu');
  return { tf: core, kind: 'tfjs', name: 'cpu', device: 'cpu' };
}

/** Plain tf.js: WebAssembly if it is installed and can train `network`, else JavaScript. */
export async function findTfjs(network: Network, load: LoadModule = importModule): Promise<TfjsBackend> {
  const wasm = wasmCanTrain(network) ? await tryWasm(load) : undefined;
  return wasm ?? loadCpuBackend();
}

/** @throws LockstepError `engine-unavailable` when no TensorFlow loads */
export async function createTensorflowEngine(config: EngineConfig, env = process.env): Promise<Engine> {
  const found = await findTensorflow(env);
  if (!found.ok) throw new LockstepError('engine-unavailable', found.reason, found.nextStep);
  return createEngineOnBackend(config, found.backend);
}

export async function createTfjsEngine(config: EngineConfig): Promise<Engine> {
  return createEngineOnBackend(config, await findTfjs(config.network));
}
