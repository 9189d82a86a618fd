import { describe, expect, it } from 'vitest';
import type { Engine } from './engine.ts';
import { createOnnxEngine } from './onnx/node.ts';
import { compareSketches, MAX_SKETCH_LENGTH, sketchGradient, sketchOf } from './self-test.ts';
import { createTfjsEngine } from './tfjs/backends.ts';
import { parseTopology } from './topology/parse.ts';
import { type ZooName, zoo } from './zoo/recipes.ts';

const SEED = 11;
const configOf = (name: ZooName) => ({ network: parseTopology(zoo[name].topology), labelSmoothing: 0.1 });

// Of resnet-fine, which has the layers of resnet, plain tf.js would take minutes.
describe.each(['mlp', 'cnn', 'resnet'] as const)('the self-test of %s', (name) => {
  const config = configOf(name);
  const { network } = config;
  const { layout } = network;

  it('is passed by engines that share no code', async () => {
    const sketches: number[][] = [];
    for (const create of [createOnnxEngine, createTfjsEngine]) {
      const engine = await create(config);
      sketches.push(await sketchGradient(engine, network, SEED));
      await engine.dispose();
    }
    expect(sketches[0]).toHaveLength(layout.parameters.length * 5 + 1);
    expect(sketches[0]!.length).toBeLessThanOrEqual(MAX_SKETCH_LENGTH);
    expect(compareSketches(network, sketches[0]!, sketches[1]!)).toBeUndefined();
  });

  it('is failed, with the parameter and the numbers, by kernels that are silently wrong', async () => {
    let right = new Float32Array();
    const engine = await createOnnxEngine(config);
    const spying: Engine = Object.assign(Object.create(engine), {
      setParameters: (flat: Float32Array) => engine.setParameters(flat),
      gradient: async (...[batches, sums]: Parameters<Engine['gradient']>) => {
        await engine.gradient(batches, sums);
        right = sums.slice();
      },
    });
    const reference = await sketchGradient(spying, network, SEED);
    await engine.dispose();
    // The largest of the kernels, where a wrong kernel function shows.
    const kernel = layout.parameters.filter(({ name }) => name.endsWith('kernel')).sort((a, b) => b.size - a.size)[0]!;
    const wrongs: readonly ((values: Float32Array) => void)[] = [
      (values) => values.fill(0),
      (values) => values.reverse(),
      (values) => values.set(values.map((value) => value * 1.05)),
      (values) => values.set(values.map((value, i) => (i % 4 === 0 ? -value : value))),
      (values) => values.fill(Number.NaN, 0, 1),
    ];
    for (const spoil of wrongs) {
      const sums = right.slice();
      spoil(layout.view(sums, kernel));
      expect(compareSketches(network, sketchOf(network, SEED, sums), reference)).toMatch(
        new RegExp(`gradient of ${kernel.name} is wrong in the self-test: .+ in place of`),
      );
    }
    const sums = right.slice();
    sums[layout.lossIndex]! *= 1.1;
    expect(compareSketches(network, sketchOf(network, SEED, sums), reference)).toMatch(/^its loss/);
    expect(compareSketches(network, reference.slice(1), reference)).toMatch(/numbers in place of/);
  });
});
