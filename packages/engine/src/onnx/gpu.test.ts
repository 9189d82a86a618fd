// WebGPU with a driver that plays a GPU in software: Chromium brings one along, and so does Mesa.
import { describe, expect, it } from 'vitest';
import { vulkanDrivers } from '../device/vulkan.ts';
import type { EngineConfig } from '../engine.ts';
import { describeEngineContract } from '../testing/contract.ts';
import { type ContractModel, contractModels, tieModel } from '../testing/models.ts';
import { parseTopology } from '../topology/parse.ts';
import { zoo, zooNames } from '../zoo/recipes.ts';
import { compileInference, compileTraining } from './compile.ts';
import { createGpuEngine, gpuRuntime } from './gpu.ts';
import { gpuDialect } from './runtime.ts';

const device = 'webgpu:software';
const hasDriver = process.platform === 'linux' && vulkanDrivers(process.env).some(({ isSoftware }) => isSoftware);
const skip = hasDriver ? undefined : 'there is no software Vulkan driver';
const create = (config: EngineConfig) => createGpuEngine(config, device);

const zooModels = zooNames.map((name): ContractModel => ({ name, topology: zoo[name].topology }));
// Chromium's driver takes seconds to compile the shaders of a model, so a few models with most kinds of layers must do.
const computed = new Set(['activation layers and dropout', 'padding and branches', 'residual, Keras 3', 'mlp']);

describeEngineContract('onnx on WebGPU', create, {
  skip,
  models: [...contractModels, ...zooModels].filter(({ name }) => computed.has(name)),
  samplesPerParameter: 0,
  largestGroup: 2,
  batchSizes: [2],
});

const open = async (graph: Uint8Array): Promise<void> => (await gpuRuntime(device).open(graph, false)).release();

// Sessions do not open where an operator would have to run on the CPU.
describe.skipIf(!hasDriver)(`no operator falls back to the CPU${hasDriver ? '' : ` (skipped: ${skip})`}`, () => {
  it.each([...zooModels, ...contractModels, tieModel])('of $name, in training and inference', async ({ topology }) => {
    const network = parseTopology(topology);
    await open(compileTraining({ network, labelSmoothing: 0.1 }, 2, gpuDialect).bytes);
    await open(compileInference(network, gpuDialect).bytes);
  });

  it('which would be noticed: the graph of the CPU does not open', async () => {
    const { bytes } = compileInference(parseTopology(zoo.mlp.topology), { block: undefined, gpu: false });
    await expect(open(bytes)).rejects.toThrow('fallback to CPU EP');
  });
});
