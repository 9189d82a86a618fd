import { createHash } from 'node:crypto';
import { LockstepError } from '@lockstep/core';
import { describe, expect, it } from 'vitest';
import type { EngineConfig } from '../engine.ts';
import { chooseEngine } from '../select.ts';
import { describeEngineContract } from '../testing/contract.ts';
import { randomParameters, randomSamples } from '../testing/inputs.ts';
import { contractModels } from '../testing/models.ts';
import { nativeModels, nativeSpecial } from '../testing/native-models.ts';
import { here, missing, noMachineCode } from '../testing/processor.ts';
import { parseTopology } from '../topology/parse.ts';
import { zoo, zooNames } from '../zoo/recipes.ts';
import type { Isa } from './assembler.ts';
import { createNativeEngine } from './engine.ts';

const isas = ['avx2', 'avx512'] as const;

for (const isa of isas) {
  describeEngineContract(`native, ${isa}`, (config) => createNativeEngine(config, isa), {
    skip: missing(isa),
    models: nativeModels,
    special: nativeSpecial,
  });
}

const zooModels = zooNames.map((name) => ({ name, topology: zoo[name].topology }));

// Once on the widest vectors: the bits are the same on the others.
describeEngineContract('native (models of the zoo)', (config) => createNativeEngine(config), {
  skip: noMachineCode,
  // Of resnet-fine, which has the layers of resnet, plain tf.js would take minutes.
  models: zooModels.filter(({ name }) => name !== 'resnet-fine'),
  special: nativeSpecial,
  samplesPerParameter: 0,
  batchSizes: [2, 1],
});

const digest = (values: Float32Array): string =>
  createHash('sha256').update(new Uint8Array(values.buffer)).digest('hex');

/** Of bright pictures and of dark ones. */
async function sumsOf(config: EngineConfig, isa: Isa, count: number): Promise<string[]> {
  const engine = await createNativeEngine(config, isa);
  try {
    engine.setParameters(randomParameters(config.network, 3));
    const digests: string[] = [];
    for (const seed of [4, 5]) {
      const sums = new Float32Array(config.network.layout.sumLength);
      const samples = randomSamples(config.network, count, seed);
      await engine.gradient([{ samples, key: { seed: 1, step: 2, shard: 3 } }], sums);
      digests.push(digest(sums));
    }
    return digests;
  } finally {
    await engine.dispose();
  }
}

const both = here.length === 2 ? undefined : 'it takes a processor with AVX-512';

describe.skipIf(both !== undefined)(`vectors of any width${both === undefined ? '' : ` (skipped: ${both})`}`, () => {
  it.each([...nativeModels, ...zooModels])('give the same bits: $name', async ({ topology }) => {
    const config = { network: parseTopology(topology), labelSmoothing: 0.1 };
    for (const count of [1, 13])
      expect(await sumsOf(config, 'avx512', count)).toEqual(await sumsOf(config, 'avx2', count));
  });
});

describe.skipIf(noMachineCode !== undefined)('what it cannot compute', () => {
  it('is left to the next fastest engine, with the reason', async () => {
    const strange = contractModels.find(({ name }) => name === 'conv valid')!;
    const choose = (topology: unknown) =>
      chooseEngine('auto', 'cpu', { network: parseTopology(topology), labelSmoothing: 0 });
    const { kind, reason } = await choose(strange.topology);
    expect(kind).toBe('onnx');
    expect(reason).toBe(
      'native does not work here (The engine "native" has no activation "tanh" (layer "even/tanh").); this is the next fastest',
    );
    expect(await choose(zoo.cnn.topology)).toMatchObject({ kind: 'native', device: 'cpu' });
  });

  it('is refused by name, and nothing else is', async () => {
    const refused = new Map<string, string>();
    for (const { name, topology } of [...contractModels, ...nativeModels, ...zooModels]) {
      const network = parseTopology(topology);
      try {
        await (await createNativeEngine({ network, labelSmoothing: 0 })).dispose();
      } catch (error) {
        expect(error).toBeInstanceOf(LockstepError);
        expect(error).toMatchObject({ code: 'engine-unavailable' });
        refused.set(name, (error as Error).message);
      }
    }
    expect(Object.fromEntries(refused)).toMatchInlineSnapshot(`
      {
        "AveragePooling2D overlapping": "The engine "native" has no layer of the kind "averagePool" (layer "overlap").",
        "AveragePooling2D same": "The engine "native" has no layer of the kind "averagePool" (layer "uneven").",
        "AveragePooling2D valid": "The engine "native" has no layer of the kind "averagePool" (layer "halves").",
        "MaxPooling2D overlapping": "The engine "native" has no max pooling with overlapping or padded windows (layer "overlap").",
        "MaxPooling2D same": "The engine "native" has no max pooling with overlapping or padded windows (layer "uneven").",
        "MaxPooling2D valid": "The engine "native" has no max pooling with overlapping or padded windows (layer "oblong").",
        "activation layers and dropout": "The engine "native" has no activation "gelu" (layer "a_gelu/gelu").",
        "batch normalization": "The engine "native" has no activation "tanh" (layer "hidden_tanh/tanh").",
        "batch normalization of the picture": "The engine "native" has no batch normalization of the picture itself (layer "picture_norm").",
        "conv of many channels": "The engine "native" has no activation "tanh" (layer "same/tanh").",
        "conv same": "The engine "native" has no activation "sigmoid" (layer "even/sigmoid").",
        "conv strides": "The engine "native" has no activation "relu6" (layer "skipping/relu6").",
        "conv valid": "The engine "native" has no activation "tanh" (layer "even/tanh").",
        "dense activations": "The engine "native" has no activation "tanh" (layer "tanh/tanh").",
        "dense on a sequence": "The engine "native" has no reshaping of channels that are no multiple of 16 (layer "rows").",
        "depthwise": "The engine "native" has no layer of the kind "depthwiseConv2d" (layer "plain").",
        "padding and branches": "The engine "native" has no layer of the kind "zeroPad" (layer "pad").",
        "relu6 and softmax in the middle": "The engine "native" has no activation "relu6" (layer "relu6/relu6").",
        "residual, Keras 2": "The engine "native" has no layer of the kind "depthwiseConv2d" (layer "third").",
        "residual, Keras 3": "The engine "native" has no layer of the kind "depthwiseConv2d" (layer "third").",
      }
    `);
  });
});
