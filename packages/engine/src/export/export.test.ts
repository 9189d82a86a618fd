// What is exported is loaded with the programs it is meant for, and must say the same as the engine.
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decodeSafetensors, fillFromTensors } from '@lockstep/core';
import * as tf from '@tensorflow/tfjs';
import * as ort from 'onnxruntime-node';
import { beforeAll, describe, expect, it } from 'vitest';
import { createOnnxEngine } from '../onnx/node.ts';
import { distance, norm } from '../testing/differences.ts';
import { randomParameters, randomSamples } from '../testing/inputs.ts';
import { contractModels, layer, sequential3 } from '../testing/models.ts';
import { type Network, numElements } from '../topology/network.ts';
import { parseTopology } from '../topology/parse.ts';
import { zoo } from '../zoo/recipes.ts';
import { type ExportFormat, exportModel } from './export.ts';
import { loadTfjs } from './testing/load.ts';

const COUNT = 3;
const notes = (network: Network) => ({
  version: '1.2.3',
  classNames: Array.from({ length: network.numClasses }, (_, i) => `class ${i}`),
  pictures: 'a light garment on black',
  facts: { weightsSha256: 'abc' },
});

/** A network with random weights, what the engine says about random pictures, and those pictures in 0..1. */
async function example(topology: unknown) {
  const network = parseTopology(topology);
  const parameters = randomParameters(network, 1);
  const samples = randomSamples(network, COUNT, 2);
  const engine = await createOnnxEngine({ network, labelSmoothing: 0 });
  const probabilities = new Float32Array(COUNT * network.numClasses);
  engine.setParameters(parameters);
  await engine.predict(samples, probabilities);
  await engine.dispose();
  const used = samples.images.subarray(0, COUNT * numElements(network.inputShape));
  const pixels = Float32Array.from(used, (byte) => byte / 255);
  return { network, model: { network, parameters, notes: notes(network) }, pixels, probabilities };
}

const models = [
  ...contractModels.map(({ name, topology }) => [name, topology] as const),
  ...Object.entries(zoo).map(([name, { topology }]) => [name, topology] as const),
];
const json = (files: ReturnType<typeof exportModel>) =>
  JSON.parse(new TextDecoder().decode(files.find(({ name }) => name === 'model.json')!.bytes));

beforeAll(async () => {
  await tf.setBackend('cpu');
});

describe('the export to tfjs', () => {
  it.each(models)('loads in tf.js and says the same: %s', async (_, topology) => {
    // tf.js cannot load that one; see below.
    const loadable = JSON.parse(JSON.stringify(topology).replaceAll('"activation":"gelu_new"', '"activation":"gelu"'));
    const { network, model, pixels, probabilities } = await example(loadable);
    const loaded = await loadTfjs(exportModel('tfjs', model));
    const output = tf.tidy(() => loaded.predict(tf.tensor(pixels, [COUNT, ...network.inputShape])) as tf.Tensor);
    const said = network.endsInSoftmax ? output : tf.softmax(output);
    expect(distance(probabilities, await said.data()) / norm(probabilities)).toBeLessThan(1e-5);
    loaded.dispose();
  });

  it('says what goes in and comes out', async () => {
    const { model } = await example(zoo.cnn.topology);
    const { userDefinedMetadata: metadata, generatedBy, modelTopology } = json(exportModel('tfjs', model));
    expect(generatedBy).toBe('lockstep 1.2.3');
    expect(metadata).toMatchObject({ inputRange: '[0, 1]', weightsSha256: 'abc', model: 'cnn' });
    expect(metadata.input).toBe('float32 [N, 28, 28, 1]: pixels divided by 255, so 0 to 1; a light garment on black');
    expect(metadata.output).toMatch(/\[N, 10\]: probabilities of the classes class 0, /);
    expect(JSON.parse(metadata.classNames)).toHaveLength(10);
    expect(modelTopology.class_name).toBe('Sequential');
  });

  it('cuts weights into shards of at most 4 MB, in the middle of a tensor where need be', async () => {
    const wide = sequential3(
      'wide',
      [28, 28, 1],
      [
        layer('Flatten', 'flatten'),
        layer('Dense', 'hidden', { units: 1500, activation: 'relu' }),
        layer('Dense', 'logits', { units: 4 }),
      ],
    );
    const { network, model, pixels, probabilities } = await example(wide.topology);
    const files = exportModel('tfjs', model);
    const shards = files.filter(({ name }) => name.endsWith('.bin'));
    expect(shards.map(({ name }) => name)).toEqual(['group1-shard1of2.bin', 'group1-shard2of2.bin']);
    for (const { bytes } of shards) expect(bytes.length).toBeLessThanOrEqual(4_000_000);
    expect(json(files).userDefinedMetadata.output).toMatch(/logits of the classes/);
    const loaded = await loadTfjs(files);
    const output = tf.softmax(loaded.predict(tf.tensor(pixels, [COUNT, ...network.inputShape])) as tf.Tensor);
    expect(distance(probabilities, await output.data()) / norm(probabilities)).toBeLessThan(1e-5);
  });

  it('refuses what tf.js cannot load', async () => {
    const { model } = await example(contractModels[0]!.topology);
    expect(() => exportModel('tfjs', model)).toThrow(
      expect.objectContaining({ code: 'model-unsupported', message: expect.stringMatching(/gelu_new.*"gelu_new"/) }),
    );
  });
});

async function openOnnx(bytes: Uint8Array): Promise<ort.InferenceSession> {
  const path = join(await mkdtemp(join(tmpdir(), 'lockstep-export-')), 'model.onnx');
  await writeFile(path, bytes);
  return ort.InferenceSession.create(path);
}

describe('the export to onnx', () => {
  it.each(models)('loads in ONNX Runtime and says the same: %s', async (_, topology) => {
    const { network, model, pixels, probabilities } = await example(topology);
    const session = await openOnnx(exportModel('onnx', model)[0]!.bytes);
    expect(session.inputMetadata).toEqual([
      { name: 'images', isTensor: true, type: 'float32', shape: ['N', ...network.inputShape] },
    ]);
    expect(session.outputMetadata).toEqual([
      { name: 'probabilities', isTensor: true, type: 'float32', shape: ['N', network.numClasses] },
    ]);
    const images = new ort.Tensor('float32', pixels, [COUNT, ...network.inputShape]);
    const { probabilities: output } = await session.run({ images });
    expect(distance(probabilities, output!.data as Float32Array) / norm(probabilities)).toBeLessThan(1e-6);
    await session.release();
  });

  it('says what goes in and comes out', async () => {
    const { model } = await example(zoo.mlp.topology);
    const text = Buffer.from(exportModel('onnx', model)[0]!.bytes).toString('latin1');
    expect(text).toContain('mlp, an image classifier trained with Lockstep. Input float32 [N, 28, 28, 1]: pixels');
    // In the words about the model, about its graph and about the value, and in the metadata.
    for (const sentence of [
      '[N, 28, 28, 1]: pixels divided by 255',
      '[N, 10]: probabilities of the classes class 0, ',
    ]) {
      expect(text.split(`float32 ${sentence}`)).toHaveLength(5);
    }
    expect(text).toMatch(/weightsSha256\W+abc/);
  });
});

describe('the export to safetensors', () => {
  it('holds every tensor by its Keras name, and the topology', async () => {
    const { network, model } = await example(zoo.resnet.topology);
    const { tensors, metadata } = decodeSafetensors(exportModel('safetensors', model)[0]!.bytes, 'the export');
    const flat = new Float32Array(network.layout.numParameters);
    fillFromTensors(network.layout, flat, tensors, 'the export');
    expect(flat).toEqual(model.parameters);
    expect(tensors.map(({ name, shape }) => [name, shape])).toContainEqual(['stem_conv/kernel', [3, 3, 1, 32]]);
    expect(metadata).toMatchObject({ format: 'keras', model: 'resnet', inputRange: '[0, 1]', weightsSha256: 'abc' });
    expect(parseTopology(JSON.parse(metadata.topology!)).layout).toEqual(network.layout);
  });

  it.each<ExportFormat>(['tfjs', 'onnx', 'safetensors'])('and %s take no more than the parameters', async (format) => {
    const { model } = await example(contractModels[1]!.topology);
    const longer = new Float32Array([...model.parameters, 1, 2, 3]);
    expect(exportModel(format, { ...model, parameters: longer })).toEqual(exportModel(format, model));
  });
});
