/** Finds out which engine works on this machine. */
import { LockstepError } from '@lockstep/core';
import type { Engine, EngineConfig, EngineKind } from './engine.ts';
import { numElements } from './topology/network.ts';

/** An engine that works here, and why it was taken. */
export interface EngineChoice {
  readonly kind: EngineKind;
  readonly device: string;
  /** One sentence for people. */
  readonly reason: string;
}

/** From the fastest to the one that runs anywhere. */
const preference: readonly EngineKind[] = ['onnx', 'tensorflow', 'tfjs'];

const creators: { readonly [kind in EngineKind]: (config: EngineConfig) => Promise<Engine> } = {
  onnx: async (config) => {
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
 * @throws LockstepError `engine-unavailable` with the reason when it does not work on this machine
 */
export async function createEngine(kind: EngineKind, config: EngineConfig): Promise<Engine> {
  try {
    return await creators[kind](config);
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

/** Runs one tiny micro-batch: an engine counts as working only when it has computed something, on the right device. */
async function tryEngine(kind: EngineKind, device: string, config: EngineConfig): Promise<string> {
  const engine = await createEngine(kind, config);
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

/**
 * Takes the requested engine, or with `auto` the first in order of speed that works for this model.
 * @param requestedDevice `auto`, or the device that the engine must run on
 * @throws LockstepError `engine-unavailable` when the requested one does not work, or none does
 */
export async function chooseEngine(
  requested: EngineKind | 'auto',
  requestedDevice: string,
  config: EngineConfig,
): Promise<EngineChoice> {
  if (requested !== 'auto') {
    return {
      kind: requested,
      device: await tryEngine(requested, requestedDevice, config),
      reason: 'asked for with --engine',
    };
  }
  const failures: string[] = [];
  for (const kind of preference) {
    try {
      const device = await tryEngine(kind, requestedDevice, config);
      const reason =
        failures.length === 0
          ? `the fastest engine that works on this machine's ${device}`
          : `${failures.join('; ')}; this is the next fastest`;
      return { kind, device, reason };
    } catch (error) {
      failures.push(`${kind} does not work here (${(error as Error).message})`);
    }
  }
  throw new LockstepError(
    'engine-unavailable',
    `No engine works on this machine: ${failures.join('; ')}.`,
    'Run `npm ci` again and look at its output.',
  );
}
