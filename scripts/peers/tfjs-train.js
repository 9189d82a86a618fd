/**
 * tf.js `model.fit` in Node, in plain JavaScript: what @tensorflow/tfjs computes with where there is no native library.
 *
 *   node tfjs-train.js --model mlp --samples 2048 --data-dir DIR [--batch 512]
 */
import { parseArgs } from 'node:util';
import { loadDataset } from '@lockstep/dataset';
import { parseTopology, zoo } from '@lockstep/engine';
import * as tf from '@tensorflow/tfjs';
import { serve } from './lines.js';

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    batch: { type: 'string', default: '512' },
    samples: { type: 'string' },
    'data-dir': { type: 'string' },
  },
});
const samples = Number(values.samples);
const { train } = await loadDataset({ dataset: 'fashion-mnist', dataDir: values['data-dir'], env: process.env });
const { modelTopology } = parseTopology(zoo[values.model].topology);
const model = await tf.models.modelFromJSON({ modelTopology });
model.compile({ optimizer: tf.train.adam(0.001), loss: 'sparseCategoricalCrossentropy' });
const images = tf.tensor4d(
  Float32Array.from(train.images.subarray(0, samples * 784), (pixel) => pixel / 255),
  [samples, 28, 28, 1],
);
const labels = tf.tensor1d(Float32Array.from(train.labels.subarray(0, samples)));

await serve({ backend: tf.getBackend(), versions: { tfjs: tf.version.tfjs } }, async () => {
  const started = performance.now();
  await model.fit(images, labels, { batchSize: Number(values.batch), epochs: 1, shuffle: true, verbose: 0 });
  return (samples / (performance.now() - started)) * 1000;
});
