/**
 * Softmax regression in plain JavaScript, as the engine of light-workers.js: gradients of the model "flatten, dense 10
 * softmax", and their sums along the tree. The last bits differ from those of a real engine, which adds in another order.
 */
import { coveringNodes, ShardPlan, shardsUnder } from '@lockstep/core';

const NUM_PIXELS = 784;
const NUM_CLASSES = 10;
const NUM_WEIGHTS = NUM_PIXELS * NUM_CLASSES;
const NUM_PARAMETERS = NUM_WEIGHTS + NUM_CLASSES;
/** The gradient, the sum of losses, how many were right, and of how many. */
const SUM_LENGTH = NUM_PARAMETERS + 3;

export class SoftmaxRegression {
  #plan;
  #seed;
  /** Orders of samples, by shard, of the epoch that was asked for last. */
  #orders = new Map();
  #epoch = -1;
  #scores = new Float32Array(NUM_CLASSES);

  /** @param job as parseJob returns it */
  constructor({ numSamples, numShards, batchSize, seed }) {
    this.#plan = new ShardPlan(numSamples, numShards, batchSize);
    this.#seed = seed;
  }

  /** Bytes of a shard's partition. */
  partitionBytes(shard) {
    return this.#plan.shardSize(shard) * (NUM_PIXELS + 1);
  }

  /**
   * Sum vectors of the fewest nodes that cover the shards of a work message.
   * @param parameters kernel [784, 10], then bias [10]
   * @param partitions by shard: its pictures, then its labels
   */
  compute({ epoch, step, from, to }, parameters, partitions) {
    const { numShards } = this.#plan;
    const sum = (node) => {
      const shards = shardsUnder(node, numShards);
      if (node >= numShards) return this.#gradient(epoch, step, shards.from, parameters, partitions.get(shards.from));
      const left = sum(2 * node);
      const right = sum(2 * node + 1);
      for (let i = 0; i < SUM_LENGTH; i++) left[i] += right[i];
      return left;
    };
    const nodes = coveringNodes({ from, to }, numShards);
    return { nodes, sums: nodes.map(sum) };
  }

  #orderOf(epoch, shard) {
    if (epoch !== this.#epoch) this.#orders.clear();
    this.#epoch = epoch;
    const order = this.#orders.get(shard) ?? this.#plan.epochOrder(this.#seed, epoch, shard);
    this.#orders.set(shard, order);
    return order;
  }

  #gradient(epoch, step, shard, parameters, partition) {
    const sums = new Float32Array(SUM_LENGTH);
    const { from, to } = this.#plan.microBatch(shard, step);
    const first = this.#plan.partition(shard).from;
    const labels = this.#plan.shardSize(shard) * NUM_PIXELS;
    const order = this.#orderOf(epoch, shard);
    for (let i = from; i < to; i++) {
      const index = order[i] - first;
      const picture = partition.subarray(index * NUM_PIXELS, (index + 1) * NUM_PIXELS);
      this.#addSample(picture, partition[labels + index], parameters, sums);
    }
    return sums;
  }

  #addSample(picture, label, parameters, sums) {
    const scores = this.#scores;
    for (let c = 0; c < NUM_CLASSES; c++) scores[c] = parameters[NUM_WEIGHTS + c];
    for (let p = 0; p < NUM_PIXELS; p++) {
      if (picture[p] === 0) continue;
      const value = picture[p] / 255;
      const row = p * NUM_CLASSES;
      for (let c = 0; c < NUM_CLASSES; c++) scores[c] += value * parameters[row + c];
    }
    const greatest = Math.max(...scores);
    if (scores.indexOf(greatest) === label) sums[NUM_PARAMETERS + 1]++;
    let total = 0;
    for (let c = 0; c < NUM_CLASSES; c++) total += Math.exp(scores[c] - greatest);
    sums[NUM_PARAMETERS] += Math.log(total) + greatest - scores[label];
    sums[NUM_PARAMETERS + 2]++;
    // From here on the scores are the gradient of the loss by them: probability, minus one for the label.
    for (let c = 0; c < NUM_CLASSES; c++) {
      scores[c] = Math.exp(scores[c] - greatest) / total - (c === label ? 1 : 0);
      sums[NUM_WEIGHTS + c] += scores[c];
    }
    for (let p = 0; p < NUM_PIXELS; p++) {
      if (picture[p] === 0) continue;
      const value = picture[p] / 255;
      const row = p * NUM_CLASSES;
      for (let c = 0; c < NUM_CLASSES; c++) sums[row + c] += value * scores[c];
    }
  }
}
