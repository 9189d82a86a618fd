/** The orders in which shards walk their samples, each kept until its shard is asked for in another epoch. */
import type { ShardPlan } from '@lockstep/core';

export class EpochOrders {
  readonly #plan: ShardPlan;
  readonly #seed: number;
  readonly #known = new Map<number, { readonly epoch: number; readonly order: Uint32Array }>();

  constructor(plan: ShardPlan, seed: number) {
    this.#plan = plan;
    this.#seed = seed;
  }

  /** Places in the training set, in the order of this epoch. */
  of(epoch: number, shard: number): Uint32Array {
    const known = this.#known.get(shard);
    if (known?.epoch === epoch) return known.order;
    const order = this.#plan.epochOrder(this.#seed, epoch, shard);
    this.#known.set(shard, { epoch, order });
    return order;
  }
}
