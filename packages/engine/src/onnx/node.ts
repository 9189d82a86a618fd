/** The default engine's runtime: ONNX Runtime's native build, on one CPU thread. */
import './quiet.ts';
import { release } from '@lockstep/core';
import * as ort from 'onnxruntime-node';
import type { Engine, EngineConfig } from '../engine.ts';
import type { Block } from './blocked.ts';
import { createOnnxEngineOn } from './engine.ts';
import { findBlock } from './find-block.ts';
import type { OnnxRuntime } from './runtime.ts';

/** One thread per engine: a pool of engines uses the cores, and one thread always adds in the same order. */
const sessionOptions: ort.InferenceSession.SessionOptions = {
  executionProviders: ['cpu'],
  intraOpNumThreads: 1,
  interOpNumThreads: 1,
  executionMode: 'sequential',
  graphOptimizationLevel: 'all',
  enableCpuMemArena: true,
  enableMemPattern: true,
};

const cpu = (block: Block | undefined): OnnxRuntime => ({
  device: 'cpu',
  Tensor: ort.Tensor,
  dialect: { block, gpu: false },
  keeps: false,
  open: (graph) => ort.InferenceSession.create(graph, sessionOptions),
  release,
});

/** The processor does not change. */
let known: Promise<Block | undefined> | undefined;

/** Opens the engine. Never call `gradient` on a thread that must stay responsive: ONNX Runtime computes on the caller's. */
export async function createOnnxEngine(config: EngineConfig): Promise<Engine> {
  known ??= findBlock(sessionOptions);
  return createOnnxEngineWith(config, await known);
}

/** @param block of blocked convolutions; undefined for an engine without them */
export function createOnnxEngineWith(config: EngineConfig, block: Block | undefined): Promise<Engine> {
  return createOnnxEngineOn(cpu(block), config);
}
