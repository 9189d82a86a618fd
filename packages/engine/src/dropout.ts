/** Dropout masks from the counter-based RNG: the same for every engine and worker. */
import { purposes, RandomStream } from '@lockstep/core';
import type { RandomKey } from './engine.ts';

/**
 * Draws the mask of one dropout layer for one micro-batch.
 * @param rate share of the elements that are dropped, in [0, 1)
 * @param index number of the dropout layer in the model
 * @param mask receives 1 where an element stays and 0 where it is dropped
 */
export function fillDropoutMask(rate: number, key: RandomKey, index: number, mask: Uint8Array): void {
  const random = new RandomStream(key.seed, purposes.dropout, key.step, key.shard, index);
  const threshold = rate * 2 ** 32;
  for (let i = 0; i < mask.length; i++) mask[i] = random.uint32() >= threshold ? 1 : 0;
}
