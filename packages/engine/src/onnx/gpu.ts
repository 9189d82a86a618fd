/** ONNX Runtime's native build on a GPU: by WebGPU, which is part of it, or by CUDA, whose libraries are fetched apart. */
import './quiet.ts';
import { LockstepError, release } from '@lockstep/core';
import * as ort from 'onnxruntime-node';
import { prepareDevice } from '../device/environment.ts';
import { type Device, parseDevice } from '../device/name.ts';
import type { Engine, EngineConfig } from '../engine.ts';
import { createOnnxEngineOn } from './engine.ts';
import { gpuDialect, type OnnxRuntime } from './runtime.ts';

type Gpu = Exclude<Device, { kind: 'cpu' }>;

function sessionOptions(device: Gpu): ort.InferenceSession.SessionOptions {
  const lowPower = device.kind === 'webgpu' && device.choice === 'low-power';
  return {
    executionProviders: [device.kind === 'cuda' ? { name: 'cuda', deviceId: device.index } : { name: 'webgpu' }],
    graphOptimizationLevel: 'all',
    extra: {
      // An operator that has no kernel there would otherwise run on the CPU in silence, and its data go back and forth.
      session: { disable_cpu_ep_fallback: '1' },
      ...(lowPower ? { ep: { webgpuexecutionprovider: { powerPreference: 'low-power' } } } : {}),
    },
    // Failures come as errors; what is below them is the drivers' small talk.
    logSeverityLevel: 4,
  };
}

/**
 * Only one thread of a process may compute by WebGPU: ONNX Runtime's sessions share one device there, and the process
 * crashes when two use it at once.
 * @param name of a device other than `cpu`
 * @throws LockstepError `engine-unavailable` when the machine cannot have it
 */
export function gpuRuntime(name: string): OnnxRuntime {
  prepareDevice(name);
  const device = parseDevice(name) as Gpu;
  const options = sessionOptions(device);
  return {
    device: name,
    Tensor: ort.Tensor,
    dialect: gpuDialect,
    // The binding knows the GPU's tensors of no other provider.
    keeps: device.kind === 'webgpu',
    open: (graph, keep) =>
      ort.InferenceSession.create(graph, keep ? { ...options, preferredOutputLocation: 'gpu-buffer' } : options),
    release,
  };
}

/** Says in words what ONNX Runtime says in its own. */
function explain(name: string, error: Error): LockstepError {
  const [reason, nextStep] = name.startsWith('cuda') ? explainCuda(error.message) : explainWebGpu(error.message);
  const message = `The engine "onnx" does not run on ${name}: ${reason}`;
  return new LockstepError('engine-unavailable', message, nextStep, { cause: error });
}

function explainCuda(message: string): readonly [string, string] {
  if (message.includes('Failed to load shared library')) {
    return [
      "ONNX Runtime's CUDA provider does not load: it is not installed, or CUDA 12 or cuDNN 9, which it needs, are not.",
      'Run ONNXRUNTIME_NODE_INSTALL=cuda12 node node_modules/onnxruntime-node/script/install.js and install CUDA 12 and ' +
        'cuDNN 9; or use --device webgpu.',
    ];
  }
  if (message.includes('is unsupported')) {
    return ['ONNX Runtime has CUDA on Linux x64 only.', 'Use --device webgpu, which runs on NVIDIA GPUs, too.'];
  }
  return [firstLine(message), 'Look at nvidia-smi: the driver must work and support CUDA 12; or use --device webgpu.'];
}

function explainWebGpu(message: string): readonly [string, string] {
  if (message.includes('Failed to get a WebGPU adapter')) {
    return [
      'its driver shows no GPU that WebGPU can use.',
      process.platform === 'linux'
        ? 'Install libvulkan1 and a current Vulkan driver of the GPU; look at what vulkaninfo --summary says.'
        : "Install the GPU's current driver.",
    ];
  }
  if (message.includes('fallback to CPU EP')) {
    return ['this model has operators that WebGPU does not.', 'Use --device cpu for this model.'];
  }
  return [firstLine(message), 'Update the driver of the GPU, or use --device cpu.'];
}

const firstLine = (message: string): string => message.trim().split('\n')[0]!.replace(/\.?$/, '.');

/**
 * Opens the engine on a GPU, of which {@link gpuRuntime} says how it may be used.
 * @throws LockstepError `engine-unavailable` with the reason and what helps
 */
export async function createGpuEngine(config: EngineConfig, name: string): Promise<Engine> {
  const runtime = gpuRuntime(name);
  try {
    return await createOnnxEngineOn(runtime, config);
  } catch (error) {
    throw explain(name, error as Error);
  }
}
