// A whole step of each zoo model through the default engine, against a plain tf.js model: no shards, no tree, no
// hand-written gradients.
import { describe, expect, it } from 'vitest';
import type { Engine, Samples } from '../engine.ts';
import { createOnnxEngine } from '../onnx/node.ts';
import { addUp, distance, norm } from '../testing/differences.ts';
import { randomParameters, randomSamples } from '../testing/inputs.ts';
import { withoutDropout } from '../testing/models.ts';
import { PlainModel } from '../testing/plain-model.ts';
import { type Network, numElements } from '../topology/network.ts';
import { parseTopology } from '../topology/parse.ts';
import { type ZooName, zoo } from './recipes.ts';

/**
 * A ReLU whose input is within float32's rounding of zero falls on either side, and with it the gradient of all pixels
 * behind it, which then differs by up to 1e-2. With this seed (and with 3 and 6) there is none: differences are below 1e-5.
 */
const SEED = 5;

/**
 * Samples of each of the 8 shards: few, since tf.js in plain JavaScript takes a second and more for each of a resnet's, and
 * some none, as at the end of an epoch.
 */
const shardCounts = {
  mlp: [5, 4, 4, 4, 4, 4, 4, 3],
  cnn: [2, 1, 1, 0, 1, 1, 0, 1],
  resnet: [2, 0, 1, 0, 0, 1, 0, 0],
  // One sample takes plain tf.js four times as long as one of resnet's.
  'resnet-fine': [0, 0, 0, 0, 0, 1, 0, 0],
} as const satisfies { readonly [name in ZooName]: readonly number[] };

function split({ images, labels }: Samples, counts: readonly number[], pictureSize: number): Samples[] {
  let start = 0;
  return counts.map((count) => {
    const shard = { count, images: images.subarray(start * pictureSize), labels: labels.subarray(start) };
    start += count;
    return shard;
  });
}

/** The sums of a step over all shards, in groups as large as the engine takes, along the reduction tree. */
async function stepSums(engine: Engine, { layout }: Network, shards: readonly Samples[]): Promise<Float32Array> {
  const batches = shards.map((samples, shard) => ({ samples, key: { seed: 1, step: 0, shard } }));
  const sums: Float32Array[] = [];
  for (let start = 0; start < batches.length; start += engine.maxGroup) {
    const group = new Float32Array(layout.sumLength);
    await engine.gradient(batches.slice(start, start + engine.maxGroup), group);
    sums.push(group);
  }
  return addUp(sums);
}

/**
 * Gradient of the mean loss over a step by a plain model. One with batch normalization takes its statistics from whatever
 * it is given at once, and Lockstep from each shard by itself, so it is given each shard by itself.
 */
function plainGradient(plain: PlainModel, network: Network, all: Samples, shards: readonly Samples[]): Float32Array {
  if (!network.nodes.some(({ kind }) => kind === 'batchNorm')) return plain.meanGradient(all);
  const mean = new Float32Array(network.layout.numWeights);
  for (const shard of shards) {
    if (shard.count === 0) continue;
    const gradient = plain.meanGradient(shard);
    for (let i = 0; i < mean.length; i++) mean[i]! += (gradient[i]! * shard.count) / all.count;
  }
  return mean;
}

/** tf.js in plain JavaScript takes its time. */
const LONG = 240_000;

describe('a step of', () => {
  it.each(Object.entries(shardCounts) as [ZooName, readonly number[]][])(
    '%s has the gradient that plain tf.js has of the full batch',
    async (name, counts) => {
      const network = parseTopology(withoutDropout(zoo[name].topology));
      const { layout } = network;
      const count = counts.reduce((sum, next) => sum + next, 0);
      const plain = await PlainModel.load(network);
      const engine = await createOnnxEngine({ network, labelSmoothing: 0 });
      try {
        const samples = randomSamples(network, count, SEED);
        const shards = split(samples, counts, numElements(network.inputShape));
        const parameters = randomParameters(network, SEED);
        engine.setParameters(parameters);
        plain.setParameters(parameters);
        const sums = await stepSums(engine, network, shards);
        const gradient = sums.subarray(0, layout.numWeights).map((sum) => sum / sums[layout.countIndex]!);
        const expected = plainGradient(plain, network, samples, shards);
        expect(sums[layout.countIndex]).toBe(count);
        expect(distance(gradient, expected) / norm(expected)).toBeLessThanOrEqual(1e-4);
      } finally {
        await engine.dispose();
        plain.dispose();
      }
    },
    LONG,
  );
});
