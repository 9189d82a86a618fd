import { beforeAll, describe, expect, it } from 'vitest';
import type { Engine } from '../engine.ts';
import { describeEngineContract } from '../testing/contract.ts';
import { randomParameters, randomSamples } from '../testing/inputs.ts';
import { contractModels } from '../testing/models.ts';
import { parseTopology } from '../topology/parse.ts';
import { loadCpuBackend } from './backends.ts';
import { createEngineOnBackend, type TfjsBackend } from './engine.ts';

describeEngineContract('tfjs', async (config) => createEngineOnBackend(config, await loadCpuBackend()));

describe('memory', () => {
  const network = parseTopology(contractModels.at(-1)!.topology);
  const parameters = randomParameters(network, 1);
  const samples = randomSamples(network, 3, 1);
  const key = { seed: 1, step: 0, shard: 0 };
  const sums = new Float32Array(network.layout.sumLength);
  let backend: TfjsBackend;
  const numTensors = () => backend.tf.memory().numTensors;

  beforeAll(async () => {
    backend = await loadCpuBackend();
  });

  it('holds as many tensors after a call as before it', async () => {
    const before = numTensors();
    const engine: Engine = await createEngineOnBackend({ network, labelSmoothing: 0.1 }, backend);
    engine.setParameters(parameters);
    expect(numTensors()).toBe(before + network.layout.parameters.length);
    for (let i = 0; i < 2; i++) {
      engine.setParameters(parameters);
      await engine.gradient([{ samples, key }], sums);
      await engine.evaluate(samples);
      await engine.predict(samples, new Float32Array(3 * network.numClasses));
      expect(numTensors()).toBe(before + network.layout.parameters.length);
    }
    await engine.dispose();
    expect(numTensors()).toBe(before);
  });

  it('frees what a failed call left', async () => {
    const engine = await createEngineOnBackend({ network, labelSmoothing: 0 }, backend);
    engine.setParameters(parameters);
    const before = numTensors();
    const tooFew = { count: 3, images: samples.images.subarray(0, 10), labels: samples.labels };
    await expect(engine.gradient([{ samples: tooFew, key }], sums)).rejects.toThrow();
    expect(numTensors()).toBe(before);
    await engine.dispose();
  });
});
