/** Thread of scaling.js: times the engine by itself. */
import { parentPort, workerData } from 'node:worker_threads';
import { parseTopology, zoo } from '@lockstep/engine';
import { openDefaultEngine } from './default-engine.js';

const { model, microBatch, shards, numSamples, train } = workerData;
const network = parseTopology(zoo[model].topology);
const engine = await openDefaultEngine(network);
const { layout, inputShape } = network;
engine.setParameters(Float32Array.from({ length: layout.numParameters }, () => (Math.random() - 0.5) / 10));
const size = inputShape.reduce((product, dimension) => product * dimension, 1);
const batches = Array.from({ length: Math.min(engine.maxGroup, shards) }, (_, shard) => ({
  samples: {
    count: microBatch,
    images: train.images.slice(shard * microBatch * size, (shard + 1) * microBatch * size),
    labels: train.labels.slice(shard * microBatch, (shard + 1) * microBatch),
  },
  key: { seed: 0, step: 0, shard },
}));
const sums = new Float32Array(layout.sumLength);

parentPort.on('message', async () => {
  const started = performance.now();
  let done = 0;
  while (done < numSamples) {
    await engine.gradient(batches, sums);
    done += microBatch * batches.length;
  }
  parentPort.postMessage((done / (performance.now() - started)) * 1000);
});
