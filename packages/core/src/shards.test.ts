import { describe, expect, it } from 'vitest';
import { ShardPlan } from './shards.ts';

const plans: [numSamples: number, numShards: number, batchSize: number][] = [
  [60_000, 8, 512],
  [60_000, 8, 500],
  [1000, 8, 64],
  [1003, 16, 37],
  [5, 8, 8],
  [1, 1, 1],
];

describe('ShardPlan', () => {
  it.each(plans)(
    'covers %i samples in %i shards exactly once per epoch at batch %i',
    (numSamples, numShards, batchSize) => {
      const plan = new ShardPlan(numSamples, numShards, batchSize);
      const times = new Uint8Array(numSamples);
      let total = 0;
      for (let step = 0; step < plan.stepsPerEpoch; step++) {
        let stepSize = 0;
        for (let shard = 0; shard < numShards; shard++) {
          const order = plan.epochOrder(3, 1, shard);
          const { from, to } = plan.microBatch(shard, step);
          for (const index of order.subarray(from, to)) times[index]!++;
          expect(to - from).toBeLessThanOrEqual(plan.maxMicroBatchSize);
          stepSize += to - from;
        }
        expect(stepSize).toBe(plan.stepSize(step));
        expect(stepSize).toBeGreaterThan(0);
        expect(stepSize).toBeLessThanOrEqual(batchSize);
        total += stepSize;
      }
      expect(total).toBe(numSamples);
      expect(times.every((count) => count === 1)).toBe(true);
    },
  );

  it('orders a shard by seed, epoch and shard', () => {
    const plan = new ShardPlan(800, 8, 80);
    expect(plan.epochOrder(1, 2, 3)).toEqual(plan.epochOrder(1, 2, 3));
    expect(plan.epochOrder(1, 2, 3)).not.toEqual(plan.epochOrder(2, 2, 3));
    expect(plan.epochOrder(1, 2, 3)).not.toEqual(plan.epochOrder(1, 3, 3));
  });

  it.each([
    [100, 6, 60, /--shards must be a power of two.*got 6/],
    [100, 8, 4, /--batch-size.*4 cannot give each of 8 shards/],
    [0, 8, 8, /empty/],
  ])('refuses %i samples, %i shards, batch %i', (numSamples, numShards, batchSize, message) => {
    expect(() => new ShardPlan(numSamples, numShards, batchSize)).toThrow(message);
  });
});
