/** Finds out which engine works on this machine. */
import { availableParallelism } from 'node:os';
import { LockstepError } from '@lockstep/core';
import { gpuCandidates } from './device/candidates.ts';
import { deviceVariables, prepareDevice } from './device/environment.ts';
import { parseDevice } from './device/name.ts';
import { type TrialOrder, type TrialResult, tryEngineApart } from './device/trial.ts';
import { weigh } from './device/weigh.ts';
import type { Engine, EngineConfig, EngineKind } from './engine.ts';
import { sketchGradient } from './self-test.ts';
import { numElements } from './topology/network.ts';

/** An engine that works here, and why it was taken. */
export interface EngineChoice {
  readonly kind: EngineKind;
  /** What to hand to {@link createEngine}. */
  readonly device: string;
  /** One sentence for people. */
  readonly reason: string;
}

/** What the engine will be asked for, so that GPU and CPU are compared at that. */
export interface Workload {
  /** Samples. */
  readonly microBatch: number;
  /** The most micro-batches in a call. */
  readonly maxGroup: number;
  /** Threads that would compute on the CPU. */
  readonly numThreads: number;
}

/** From the fastest to the one that runs anywhere. */
const preference: readonly EngineKind[] = ['native', 'onnx', 'tensorflow', 'tfjs'];
/** Those that compute on the CPU at full speed, against which a GPU is weighed. */
const onCpu: readonly EngineKind[] = ['native', 'onnx'];

const creators: { readonly [kind in EngineKind]: (config: EngineConfig, device: string) => Promise<Engine> } = {
  native: async (config) => {
    const { createNativeEngine } = await import('./native/engine.ts');
    return createNativeEngine(config);
  },
  onnx: async (config, device) => {
    if (device !== 'auto' && device !== 'cpu') {
      const { createGpuEngine } = await import('./onnx/gpu.ts');
      return createGpuEngine(config, device);
    }
    const { createOnnxEngine } = await import('./onnx/node.ts');
    return createOnnxEngine(config);
  },
  tensorflow: async (config) => {
    const { createTensorflowEngine } = await import('./tfjs/backends.ts');
    return createTensorflowEngine(config);
  },
  tfjs: async (config) => {
    const { createTfjsEngine } = await import('./tfjs/backends.ts');
    return createTfjsEngine(config);
  },
};

/**
 * Creates an engine of a kind.
 * @param device as {@link chooseEngine} found it; with `auto` the `onnx` engine runs on the CPU
 * @throws LockstepError `engine-unavailable` with the reason when it does not work on this machine
 */
export async function createEngine(kind: EngineKind, config: EngineConfig, device: string): Promise<Engine> {
  try {
    return await creators[kind](config, device);
  } catch (error) {
    if (error instanceof LockstepError) throw error;
    throw new LockstepError(
      'engine-unavailable',
      `The engine "${kind}" does not work on this machine: ${(error as Error).message}`,
      'Use --engine auto, which takes the fastest that works.',
      { cause: error },
    );
  }
}

/** What an engine of the CPU computes in the self-test: for those that speak the protocol and compute nothing themselves. */
export async function selfTestSketch(config: EngineConfig, seed: number): Promise<number[]> {
  const engine = await createEngine('onnx', config, 'cpu');
  try {
    return await sketchGradient(engine, config.network, seed);
  } finally {
    await engine.dispose();
  }
}

/** Runs one tiny micro-batch: an engine counts as working only when it has computed something, on the right device. */
async function tryEngine(kind: EngineKind, device: string, config: EngineConfig): Promise<string> {
  const engine = await createEngine(kind, config, device);
  try {
    if (device !== 'auto' && engine.device !== device) {
      throw new LockstepError(
        'engine-unavailable',
        `The engine "${kind}" runs on ${engine.device} here, not on ${device}.`,
        'Use --device auto, or install what the device needs.',
      );
    }
    const { layout, inputShape } = config.network;
    const size = numElements(inputShape);
    const sums = new Float32Array(layout.sumLength);
    engine.setParameters(new Float32Array(layout.numParameters));
    const samples = { count: 1, images: new Uint8Array(size).fill(128), labels: new Uint8Array(1) };
    await engine.gradient([{ samples, key: { seed: 0, step: 0, shard: 0 } }], sums);
    if (sums[layout.countIndex] !== 1 || !Number.isFinite(sums[layout.lossIndex])) {
      throw new LockstepError(
        'engine-failed',
        `The engine "${kind}" computed a loss of ${sums[layout.lossIndex]} for a test picture.`,
        'Use another --engine.',
      );
    }
    return engine.device;
  } finally {
    await engine.dispose();
  }
}

const isGpu = (device: string): boolean => device !== 'auto' && parseDevice(device).kind !== 'cpu';

/** Tries an engine on a device that was asked for; a GPU in a process of its own, since its driver may crash. */
async function tryAsked(kind: EngineKind, device: string, config: EngineConfig): Promise<string> {
  if (kind !== 'onnx' || !isGpu(device)) return tryEngine(kind, device, config);
  // Says at once, and better, what is missing.
  deviceVariables(device);
  const result = await tryEngineApart(config, { kind, device, microBatch: 1, maxGroup: 1, seconds: 0 });
  if (result.works) return result.device;
  throw new LockstepError('engine-unavailable', result.reason, result.nextStep);
}

const TRIAL_SECONDS = 0.5;
/** A GPU that takes longer to start is not waited for unless it is asked for. */
const TRIAL_DEADLINE_MS = 45_000;

/**
 * Lets GPU and CPU compute for a moment.
 * @returns the GPU to take and why, or why none
 */
async function tryGpus(
  config: EngineConfig,
  { microBatch, maxGroup, numThreads }: Workload,
): Promise<{ readonly device: string | undefined; readonly reason: string } | undefined> {
  const names = gpuCandidates();
  if (names.length === 0) return undefined;
  const trial = (device: string, kind: EngineKind = 'onnx'): Promise<TrialResult> => {
    const order: TrialOrder = { kind, device, microBatch, maxGroup, seconds: TRIAL_SECONDS };
    return tryEngineApart(config, order, TRIAL_DEADLINE_MS);
  };
  const rates: { readonly device: string; readonly rate: number }[] = [];
  const failures: string[] = [];
  for (const device of names) {
    const result = await trial(device);
    if (result.works) rates.push({ device, rate: result.rate! });
    else failures.push(`${device} does not work here (${result.reason})`);
  }
  if (rates.length === 0) return { device: undefined, reason: failures.join('; ') };
  let cpuRate = 0;
  for (const kind of onCpu) {
    const cpu = await trial('cpu', kind);
    if (!cpu.works) continue;
    cpuRate = cpu.rate!;
    break;
  }
  return weigh(rates, cpuRate, numThreads);
}

/** The first of the kinds that works, with what was in the way of those before it. */
async function firstThatWorks(device: string, config: EngineConfig): Promise<EngineChoice> {
  const failures: string[] = [];
  let nextStep: string | undefined;
  // Only ONNX Runtime and TensorFlow know other devices.
  for (const kind of isGpu(device) ? preference.filter((kind) => kind !== 'native') : preference) {
    try {
      const found = await tryAsked(kind, device, config);
      const reason =
        failures.length === 0
          ? `the fastest engine that works on this machine's ${found}`
          : `${failures.join('; ')}; this is the next fastest`;
      return { kind, device: found, reason };
    } catch (error) {
      failures.push(`${kind} does not work here (${(error as Error).message})`);
      nextStep ??= isGpu(device) && error instanceof LockstepError ? error.nextStep : undefined;
    }
  }
  throw new LockstepError(
    'engine-unavailable',
    `No engine works on this machine${device === 'auto' ? '' : `'s ${device}`}: ${failures.join('; ')}.`,
    nextStep ?? 'Run `npm ci` again and look at its output.',
  );
}

/**
 * Takes the requested engine and device. With `auto` that is a GPU when there is one that is faster than the CPU for this
 * model, else the first engine in order of speed that works. To be called on the main thread, which it prepares for the
 * device; threads can then create the engine.
 * @param requestedDevice `auto`, or the device that the engine must run on
 * @throws LockstepError `engine-unavailable` when the requested one does not work, or none does
 */
export async function chooseEngine(
  requested: EngineKind | 'auto',
  requestedDevice: string,
  config: EngineConfig,
  workload: Workload = { microBatch: 64, maxGroup: 8, numThreads: availableParallelism() },
): Promise<EngineChoice> {
  const choice = await choose(requested, requestedDevice, config, workload);
  if (choice.kind === 'onnx') prepareDevice(choice.device);
  return choice;
}

async function choose(
  asked: EngineKind | 'auto',
  device: string,
  config: EngineConfig,
  workload: Workload,
): Promise<EngineChoice> {
  // No other has WebGPU.
  const requested = asked === 'auto' && device.startsWith('webgpu') ? 'onnx' : asked;
  const isOpen = device === 'auto' && (requested === 'auto' || requested === 'onnx');
  const gpu = isOpen ? await tryGpus(config, workload) : undefined;
  if (gpu?.device !== undefined) return { kind: 'onnx', device: gpu.device, reason: gpu.reason };
  const choice =
    requested === 'auto'
      ? await firstThatWorks(device, config)
      : {
          kind: requested,
          device: await tryAsked(requested, device, config),
          reason: `asked for with --${asked === 'auto' ? 'device' : 'engine'}`,
        };
  return gpu ? { ...choice, reason: gpu.reason } : choice;
}

/**
 * How many threads are to compute. On a GPU that is one; more can share it by CUDA, but not by WebGPU.
 * @param asked by the user
 */
export function numEngineThreads({ kind, device }: EngineChoice, asked: number | undefined): number {
  const gpu = kind === 'tfjs' ? 'cpu' : parseDevice(device).kind;
  if (gpu === 'webgpu') return 1;
  return asked ?? (gpu === 'cuda' ? 1 : availableParallelism());
}
