/** Exported models, loaded by the programs they are for, say what `evaluate` says: tf.js, ONNX Runtime, safetensors. */
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import { decodeSafetensors, fillFromTensors } from '@lockstep/core';
import { createEngine, parseTopology } from '@lockstep/engine';
import * as tf from '@tensorflow/tfjs';
import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm';
import * as ort from 'onnxruntime-node';
import { beforeAll, describe, expect, it } from 'vitest';
import { lockstep, offline, temporaryFolder } from '../lockstep.ts';
import { type Trained, trained } from './trained.ts';

const CHUNK = 250;
const LONG = 1_800_000;

/** Pixels in 0..1 of test pictures [from, to). */
function scaled({ data }: Trained, from: number, to: number): Float32Array {
  return Float32Array.from(data.test.images.subarray(from * 784, to * 784), (byte) => byte / 255);
}

const argMax = (row: ArrayLike<number>): number => {
  let best = 0;
  for (let k = 1; k < row.length; k++) if (row[k]! > row[best]!) best = k;
  return best;
};

/** The classes that some program gives to the test pictures. */
async function classesOf(
  model: Trained,
  probabilities: (pixels: Float32Array, count: number) => Promise<ArrayLike<number>>,
): Promise<Uint8Array> {
  const count = model.report.samples;
  const classes = new Uint8Array(count);
  for (let from = 0; from < count; from += CHUNK) {
    const to = Math.min(from + CHUNK, count);
    const rows = Array.from(await probabilities(scaled(model, from, to), to - from));
    for (let i = from; i < to; i++) classes[i] = argMax(rows.slice((i - from) * 10, (i - from + 1) * 10));
  }
  return classes;
}

function expectSame({ report, data }: Trained, classes: Uint8Array): void {
  expect(classes).toEqual(report.predictions);
  const numCorrect = classes.filter((predicted, i) => predicted === data.test.labels[i]).length;
  expect(numCorrect / classes.length).toBe(report.testAccuracy);
}

/** Serves a folder, as `tf.loadLayersModel` wants it. */
async function serving<Result>(folder: string, use: (url: string) => Promise<Result>): Promise<Result> {
  const server = createServer((request, response) => response.end(readFileSync(join(folder, request.url!))));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    return await use(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  } finally {
    server.close();
  }
}

describe.each(['mlp', 'cnn', 'resnet'] as const)('an exported %s', (name) => {
  let model: Trained;
  beforeAll(async () => {
    model = await trained(name);
  }, LONG);

  async function exported(format: string, ...more: string[]) {
    const out = join(temporaryFolder(), 'exported');
    const args = ['export', model.runDir, '--format', format, '--out', out, '--json', ...more];
    const { code, stderr, events } = await lockstep(args, offline());
    expect(code, stderr).toBe(0);
    expect(events[0]).toMatchObject({ event: 'exported', format, weightsSha256: model.report.weightsSha256 });
    return events[0].path as string;
  }

  it(
    'gives the same classes in tf.js',
    async () => {
      // The backend in plain JavaScript would take minutes for 10,000 pictures.
      setWasmPaths(`${dirname(createRequire(import.meta.url).resolve('@tensorflow/tfjs-backend-wasm'))}/`);
      expect(await tf.setBackend('wasm')).toBe(true);
      tf.enableProdMode();
      const folder = await exported('tfjs');
      const { userDefinedMetadata } = JSON.parse(readFileSync(join(folder, 'model.json'), 'utf8'));
      expect(userDefinedMetadata).toMatchObject({ inputRange: '[0, 1]', trainedOn: /SHA-256/ });
      const loaded = await serving(folder, (url) => tf.loadLayersModel(`${url}/model.json`));
      const classes = await classesOf(model, async (pixels, count) =>
        tf.tidy(() => (loaded.predict(tf.tensor4d(pixels, [count, 28, 28, 1])) as tf.Tensor).dataSync()),
      );
      expectSame(model, classes);
    },
    LONG,
  );

  it(
    'gives the same classes in ONNX Runtime',
    async () => {
      const session = await ort.InferenceSession.create(await exported('onnx'));
      const classes = await classesOf(model, async (pixels, count) => {
        const images = new ort.Tensor('float32', pixels, [count, 28, 28, 1]);
        return (await session.run({ images })).probabilities!.data as Float32Array;
      });
      expectSame(model, classes);
    },
    LONG,
  );

  it(
    'gives the same classes from safetensors and its own topology',
    async () => {
      const path = await exported('safetensors');
      const { tensors, metadata } = decodeSafetensors(readFileSync(path), path);
      const network = parseTopology(JSON.parse(metadata.topology!));
      const parameters = new Float32Array(network.layout.numParameters);
      fillFromTensors(network.layout, parameters, tensors, path);
      const engine = await createEngine('onnx', { network, labelSmoothing: 0 }, 'cpu');
      engine.setParameters(parameters);
      const classes = new Uint8Array(model.report.samples);
      for (let from = 0; from < classes.length; from += CHUNK) {
        const to = Math.min(from + CHUNK, classes.length);
        const images = model.data.test.images.slice(from * 784, to * 784);
        const labels = model.data.test.labels.slice(from, to);
        classes.set((await engine.evaluate({ count: to - from, images, labels })).predictions, from);
      }
      await engine.dispose();
      expectSame(model, classes);
    },
    LONG,
  );

  it.runIf(name === 'mlp')('is not written over anything', async () => {
    const path = await exported('onnx');
    const before = readFileSync(path);
    const again = await lockstep(['export', model.runDir, '--format', 'onnx', '--out', path, '--json'], offline());
    expect(again.code).toBe(1);
    expect(again.events[0]).toMatchObject({ event: 'error', code: 'output-exists' });
    expect(again.stderr).toMatch(/exists already.*\n.*--force/);
    expect(readFileSync(path)).toEqual(before);
    const forced = ['export', model.runDir, '--format', 'onnx', '--out', path, '--force'];
    expect((await lockstep(forced, offline())).code).toBe(0);
    const onRun = await lockstep(['export', model.runDir, '--out', model.runDir, '--force'], offline());
    expect(onRun.code).toBe(1);
    expect(onRun.stderr).toMatch(/which no export wrote/);
  });

  it.runIf(name === 'mlp')('has a name of its own when none is given', async () => {
    const cwd = temporaryFolder();
    const { code, stdout } = await lockstep(['export', model.runDir], offline(), cwd);
    expect(code).toBe(0);
    expect(stdout).toMatch(/saved .*mlp-tfjs \(tfjs, 2 files, 0\.8 MB\)/);
    expect(readFileSync(join(cwd, 'mlp-tfjs', 'model.json'), 'utf8')).toContain('weightsManifest');
  });
});
