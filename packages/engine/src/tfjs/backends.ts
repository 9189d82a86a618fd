/** Finds which tf.js backends work on this machine, and says in words why the others do not. */
import { LockstepError } from '@lockstep/core';
import type { Engine, EngineConfig } from '../engine.ts';
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

type NativeAttempt =
  | { readonly ok: true; readonly backend: TfjsBackend }
  | { readonly ok: false; readonly reason: string; readonly command: string };

/** Whether `error` says that the module itself could not be found, not one that it needs. */
function isMissing(name: string, error: unknown): boolean {
  const { code, message = '' } = error as { code?: string; message?: string };
  return (code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND') && message.includes(`'${name}'`);
}

const firstLine = (message: string): string => message.split('\n')[0]!.trim().replace(/\.?$/, '.');

function explainNativeFailure(name: string, error: unknown): NativeAttempt {
  if (isMissing(name, error)) {
    return { ok: false, reason: `${name} is not installed.`, command: `npm install ${name}` };
  }
  const message = error instanceof Error ? error.message : String(error);
  const library = /(\S+): cannot open shared object file/.exec(message)?.[1];
  let reason = `${name} does not load: ${firstLine(message)}`;
  if (message.includes('tfjs_binding.node')) {
    reason = `${name} is installed without its native library, whose download failed or was skipped.`;
  } else if (library) {
    reason = `${name} is installed, but the library ${library} that it needs is not.`;
  }
  return { ok: false, reason, command: `npm rebuild ${name}` };
}

async function tryNative(name: string, load: LoadModule): Promise<NativeAttempt> {
  try {
    const loaded = (await load(name)) as Tf & { readonly default?: Tf };
    const tf = loaded.default ?? loaded;
    await tf.setBackend('tensorflow');
    await tf.ready();
    const { isUsingGpuDevice } = tf.backend() as unknown as { isUsingGpuDevice?: boolean };
    const device = isUsingGpuDevice === true ? 'cuda' : 'cpu';
    return { ok: true, backend: { tf, kind: 'tensorflow', name: 'tensorflow', device } };
  } catch (error) {
    return explainNativeFailure(name, error);
  }
}

/** The binding's released binaries, and its own JavaScript, stop working after this major version of Node. */
const newestNativeNode = 22;

/**
 * TensorFlow through its Node binding: the GPU build if it loads, else the CPU build. The device is `cuda` only if
 * TensorFlow itself says that it computes there.
 * @param nodeVersion such as `22.12.0`
 */
export async function findTensorflow(
  nodeVersion: string = process.versions.node,
  load: LoadModule = importModule,
): Promise<Found> {
  if (Number.parseInt(nodeVersion, 10) > newestNativeNode) {
    return {
      ok: false,
      reason: `The TensorFlow binding (@tensorflow/tfjs-node-gpu) works on Node up to ${newestNativeNode}, and this is Node ${nodeVersion}.`,
      nextStep: `Run with Node ${newestNativeNode}, or with another engine.`,
    };
  }
  const failures: { reason: string; command: string }[] = [];
  for (const name of ['@tensorflow/tfjs-node-gpu', '@tensorflow/tfjs-node']) {
    const attempt = await tryNative(name, load);
    if (attempt.ok) return attempt;
    failures.push(attempt);
  }
  return {
    ok: false,
    reason: failures.map(({ reason }) => reason).join(' '),
    nextStep: `Run: ${failures.map(({ command }) => command).join(', or: ')}`,
  };
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

/** @throws LockstepError `engine-unavailable` when neither build of the binding loads */
export async function createTensorflowEngine(config: EngineConfig): Promise<Engine> {
  const found = await findTensorflow();
  if (!found.ok) throw new LockstepError('engine-unavailable', found.reason, found.nextStep);
  return createEngineOnBackend(config, found.backend);
}

export async function createTfjsEngine(config: EngineConfig): Promise<Engine> {
  return createEngineOnBackend(config, await findTfjs(config.network));
}
