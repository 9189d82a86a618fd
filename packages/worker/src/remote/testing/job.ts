/** A small job, its data, and what a local pool computes for it. */
import { createHash } from 'node:crypto';
import { initializeParameters, optimizerDefaults, type Range, ShardPlan } from '@lockstep/core';
import { PLAIN_VIEW, parseTopology, zoo } from '@lockstep/engine';
import { describeJob } from '@lockstep/protocol';
import type { SharedSplit } from '../../job.ts';
import { WorkerPool } from '../../pool.ts';

const NUM_SAMPLES = 400;
export const NUM_SHARDS = 4;
const BATCH_SIZE = 80;
const SEED = 3;

const { topology } = zoo.mlp;
export const network = parseTopology(topology);
export const plan = new ShardPlan(NUM_SAMPLES, NUM_SHARDS, BATCH_SIZE);

function noise(count: number): SharedSplit {
  const images = new Uint8Array(new SharedArrayBuffer(count * 784));
  const labels = new Uint8Array(new SharedArrayBuffer(count));
  let state = 1;
  const next = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state >>> 24;
  };
  for (let i = 0; i < images.length; i++) images[i] = next();
  for (let i = 0; i < count; i++) labels[i] = next() % 10;
  return { images, labels, count };
}

const train = noise(NUM_SAMPLES);

/** Each shard's partition, by its digest and in the order of the shards. */
export const partitions = new Map(
  Array.from({ length: NUM_SHARDS }, (_, shard) => {
    const { from, to } = plan.partition(shard);
    const bytes = Buffer.concat([train.images.subarray(from * 784, to * 784), train.labels.subarray(from, to)]);
    return [createHash('sha256').update(bytes).digest('hex'), bytes] as const;
  }),
);
export const digests = [...partitions.keys()];
export const partitionLength = partitions.get(digests[0]!)!.length;

const description = {
  topology,
  labelSmoothing: 0,
  seed: SEED,
  numSamples: NUM_SAMPLES,
  numShards: NUM_SHARDS,
  batchSize: BATCH_SIZE,
  partitions: digests,
};

export const job = describeJob(description);
/** Another one, in which a worker sends so many entries of its sums. */
export const NUM_ENTRIES = 500;
export const sparseJob = describeJob({ ...description, reduction: 'fast', topk: NUM_ENTRIES });
/** Another one over the same data. */
export const otherJob = describeJob({ ...description, labelSmoothing: 0.1 });

/** Parameters to compute gradients from. */
export function parametersOf(seed: number): Uint8Array {
  const flat = new Float32Array(network.layout.numParameters);
  initializeParameters(network.layout, seed, flat);
  return new Uint8Array(flat.buffer);
}

/** The position of a step of the run. */
export const positionOf = (runStep: number) => ({
  epoch: Math.floor(runStep / plan.stepsPerEpoch),
  step: runStep % plan.stepsPerEpoch,
  runStep,
  wire: 'fp32' as const,
});

/** What a pool of one thread on this machine computes: nodes, and the bytes of their sums. */
export async function localGradient(runStep: number, parameters: Uint8Array, range: Range) {
  const test = { images: train.images.subarray(0, 0), labels: train.labels.subarray(0, 0), count: 0 };
  const pool = new WorkerPool({
    job: {
      ...description,
      augmentation: undefined,
      engine: 'onnx',
      device: 'cpu',
      optimizer: optimizerDefaults.adam,
      ema: 0,
      views: PLAIN_VIEW,
      keepsReference: false,
      reduction: 'exact',
    },
    network,
    train,
    test,
    numThreads: 1,
    onRecovery: undefined,
  });
  try {
    pool.load(runStep, parameters);
    const partials = (await pool.gradient(positionOf(runStep), range, true))!;
    return {
      nodes: partials.map(({ node }) => node),
      bytes: Buffer.concat(partials.map((partial) => pool.packed(partial, 'fp32'))),
    };
  } finally {
    await pool.close();
  }
}
