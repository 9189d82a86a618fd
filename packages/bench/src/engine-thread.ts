/** Thread of engine-subject.ts: opens an engine, and computes gradients for as long as it is told to. */
import { parentPort, workerData } from 'node:worker_threads';
import { purposes, RandomStream } from '@lockstep/core';
import {
  chooseEngine,
  createEngine,
  type MicroBatch,
  noiseSamples,
  numElements,
  parseTopology,
} from '@lockstep/engine';
import type { EngineAnswer, EngineOrder } from './engine-subject.ts';

const port = parentPort!;
const answer = (message: EngineAnswer): void => port.postMessage(message);

/** Samples of a call that tells how long a whole one would take. */
const PROBE = 2;

async function main({
  topology,
  engine: wanted,
  device: asked,
  microBatch,
  maxGroup,
  maxCallSeconds,
  pictures,
}: EngineOrder): Promise<void> {
  const network = parseTopology(topology);
  const { layout, inputShape } = network;
  const config = { network, labelSmoothing: 0 };
  const { kind, device } = await chooseEngine(wanted, asked, config);
  const engine = await createEngine(kind, config, device);
  const random = new RandomStream(0, purposes.jitter, 0, 0, 0);
  engine.setParameters(Float32Array.from({ length: layout.numParameters }, () => (random.below(2001) - 1000) / 20_000));
  const size = numElements(inputShape);
  const numBatches = Math.min(engine.maxGroup, maxGroup);
  const { images, labels, count } = pictures ?? noiseSamples(network, numBatches * microBatch);
  const batches = Array.from({ length: numBatches }, (_, shard): MicroBatch => {
    const samples = {
      count: microBatch,
      images: new Uint8Array(microBatch * size),
      labels: new Uint8Array(microBatch),
    };
    for (let i = 0; i < microBatch; i++) {
      // A small dataset begins again.
      const picture = (shard * microBatch + i) % count;
      samples.images.set(images.subarray(picture * size, (picture + 1) * size), i * size);
      samples.labels[i] = labels[picture]!;
    }
    return { samples, key: { seed: 0, step: 0, shard } };
  });
  const sums = new Float32Array(layout.sumLength);
  const timed = async (group: readonly MicroBatch[]): Promise<number> => {
    const started = performance.now();
    await engine.gradient(group, sums);
    return (performance.now() - started) / 1000;
  };
  const [{ samples, key }] = batches as [MicroBatch];
  const probe = [{ samples: { ...samples, count: Math.min(PROBE, microBatch) }, key }];
  // The first call of a size prepares much.
  await timed(probe);
  const callSeconds = ((await timed(probe)) / probe[0]!.samples.count) * microBatch * numBatches;
  if (callSeconds > maxCallSeconds) {
    await engine.dispose();
    answer({ kind: 'failed', message: `it is too slow: one call would take about ${Math.round(callSeconds)} s` });
    return;
  }
  const firstSeconds = await timed(batches);
  const first = { rate: (microBatch * numBatches) / firstSeconds, seconds: firstSeconds };
  port.on('message', async (seconds: number | undefined) => {
    if (seconds === undefined) {
      await engine.dispose();
      port.close();
      return;
    }
    const started = performance.now();
    let samples = 0;
    do {
      await engine.gradient(batches, sums);
      samples += microBatch * numBatches;
    } while (performance.now() - started < seconds * 1000);
    answer({ kind: 'block', samples, seconds: (performance.now() - started) / 1000 });
  });
  answer({ kind: 'open', engine: kind, device: engine.device, first });
}

main(workerData as EngineOrder).catch((error: Error) => answer({ kind: 'failed', message: error.message }));
