/** Which samples belong to which shard, and which of them a shard contributes to a step. */
import { LockstepError } from './errors.ts';
import { purposes, RandomStream } from './random.ts';

/** Half-open range of positions. */
export interface Range {
  readonly from: number;
  readonly to: number;
}

/**
 * The division of a training set into V shards and of an epoch into steps. It depends on the job alone (number of
 * samples, of shards, global batch), never on how many workers there are.
 */
export class ShardPlan {
  readonly numSamples: number;
  readonly numShards: number;
  readonly batchSize: number;
  readonly stepsPerEpoch: number;

  /**
   * @param numShards a power of two
   * @param batchSize samples per step (global), at least one per shard
   * @throws LockstepError `usage`
   */
  constructor(numSamples: number, numShards: number, batchSize: number) {
    if (!Number.isInteger(Math.log2(numShards))) {
      throw new LockstepError(
        'usage',
        `--shards must be a power of two (1, 2, 4, 8, …), got ${numShards}.`,
        'Choose the nearest power of two.',
      );
    }
    if (batchSize < numShards) {
      throw new LockstepError(
        'usage',
        `--batch-size is the number of samples per step over all shards: ${batchSize} cannot give each of ${numShards} shards one.`,
        `Use --batch-size ${numShards} or more, or fewer --shards.`,
      );
    }
    if (numSamples < 1) {
      throw new LockstepError('usage', 'The training set is empty.', 'Raise --limit-train.');
    }
    this.numSamples = numSamples;
    this.numShards = numShards;
    this.batchSize = batchSize;
    let steps = 0;
    for (let shard = 0; shard < numShards; shard++) {
      steps = Math.max(steps, Math.ceil(this.shardSize(shard) / this.microBatchSize(shard)));
    }
    this.stepsPerEpoch = steps;
  }

  /** The samples that shard `shard` owns, as a range of indices into the training set. */
  partition(shard: number): Range {
    return {
      from: Math.floor((this.numSamples * shard) / this.numShards),
      to: Math.floor((this.numSamples * (shard + 1)) / this.numShards),
    };
  }

  shardSize(shard: number): number {
    const { from, to } = this.partition(shard);
    return to - from;
  }

  /** Samples of a full micro-batch of this shard: the global batch over the shards, the remainder to the first ones. */
  microBatchSize(shard: number): number {
    return Math.floor(this.batchSize / this.numShards) + (shard < this.batchSize % this.numShards ? 1 : 0);
  }

  /** Largest micro-batch of any shard. */
  get maxMicroBatchSize(): number {
    return this.microBatchSize(0);
  }

  /** The positions, in the epoch's order of the shard, of its micro-batch at `step` (0-based in the epoch); may be empty. */
  microBatch(shard: number, step: number): Range {
    const size = this.shardSize(shard);
    const micro = this.microBatchSize(shard);
    return { from: Math.min(step * micro, size), to: Math.min((step + 1) * micro, size) };
  }

  /** Samples of all shards at `step` of an epoch. */
  stepSize(step: number): number {
    let total = 0;
    for (let shard = 0; shard < this.numShards; shard++) {
      const { from, to } = this.microBatch(shard, step);
      total += to - from;
    }
    return total;
  }

  /**
   * Order in which shard `shard` walks its samples in `epoch`: indices into the training set, each of its partition
   * exactly once. A function of (seed, epoch, shard) alone.
   */
  epochOrder(seed: number, epoch: number, shard: number): Uint32Array {
    const { from, to } = this.partition(shard);
    // A plain loop: all threads wait for it at the beginning of an epoch.
    const order = new Uint32Array(to - from);
    for (let i = 0; i < order.length; i++) order[i] = from + i;
    new RandomStream(seed, purposes.shuffle, epoch, shard, 0).shuffle(order);
    return order;
  }
}
