/**
 * The engine in a browser: the part of this package that needs no Node.js. A bundler for browsers takes this file for the
 * package itself, so what is not exported here cannot be imported there.
 */
import { LockstepError } from '@lockstep/core';
import type { Engine, EngineConfig } from './engine.ts';
import { createWasmEngine, createWebGpuEngine } from './onnx/web.ts';
import { findGpu } from './onnx/web-device.ts';
import { compareSketches, sketchGradient } from './self-test.ts';
import type { Network } from './topology/network.ts';

export type { Engine, EngineConfig, MicroBatch, Samples } from './engine.ts';
export { sketchGradient } from './self-test.ts';
export { type Network, numElements } from './topology/network.ts';
export { parseTopology } from './topology/parse.ts';

/** Of the self-test by which a GPU is checked; any will do. */
const SEED = 1;

/** `auto`: a GPU where there is a real one that computes right, else WebAssembly. */
export const webDevices = ['auto', 'webgpu', 'wasm'] as const;
export type WebDevice = (typeof webDevices)[number];

export interface WebEngine {
  readonly engine: Engine;
  /** Why this device: one sentence for people. */
  readonly reason: string;
}

/**
 * Opens the best engine that works in this browser. It computes on the thread that calls it: a Web Worker.
 * @throws LockstepError `engine-unavailable` when the device that was asked for does not work
 */
export async function createWebEngine(config: EngineConfig, device: WebDevice): Promise<WebEngine> {
  if (device === 'wasm') return { engine: await wasm(config), reason: 'asked for' };
  const opened = await tryGpu(config, device);
  if (typeof opened !== 'string') return opened;
  if (device === 'webgpu') {
    throw new LockstepError('engine-unavailable', `WebGPU cannot be used: ${opened}.`, 'Compute with WebAssembly.');
  }
  return { engine: await wasm(config), reason: opened };
}

async function wasm(config: EngineConfig): Promise<Engine> {
  try {
    return await createWasmEngine(config);
  } catch (error) {
    throw new LockstepError(
      'engine-unavailable',
      `WebAssembly does not work in this browser: ${(error as Error).message}`,
      'Take a current version of Chrome, Edge, Firefox or Safari, on a device with more memory.',
      { cause: error },
    );
  }
}

/** @returns an engine, or why there is none */
async function tryGpu(config: EngineConfig, device: 'auto' | 'webgpu'): Promise<WebEngine | string> {
  const gpu = await findGpu();
  if (!gpu.found) return gpu.reason;
  if (gpu.isSoftware && device === 'auto') return `the only GPU is ${gpu.name}, which is software`;
  try {
    const { engine, reference } = await createWebGpuEngine(config, `webgpu: ${gpu.name}`);
    const problem = await disagreement(engine, reference, config.network);
    await reference.dispose();
    if (problem === undefined) return { engine, reason: device === 'auto' ? 'the GPU of this browser' : 'asked for' };
    await engine.dispose();
    return `${gpu.name} does not compute right: ${problem}`;
  } catch (error) {
    return `${gpu.name} does not run this model (${(error as Error).message})`;
  }
}

/** The coordinator would refuse a GPU that computes nonsense; here the tab can still go on without it. */
async function disagreement(engine: Engine, reference: Engine, network: Network): Promise<string | undefined> {
  const expected = await sketchGradient(reference, network, SEED);
  return compareSketches(network, await sketchGradient(engine, network, SEED), expected);
}
