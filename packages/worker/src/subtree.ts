/** Sums the gradients of a subtree of shards inside one thread's own memory. */
import {
  BLOCK_LENGTH,
  invariant,
  type KernelFunctions,
  loadKernels,
  planReduction,
  type Range,
  type Reduction,
  Region,
  Rounding,
  type RoundingTerms,
  reduceBlocks,
  shardsUnder,
} from '@lockstep/core';

/** This many partial sums are kept side by side and added up in one pass, as long as they stay below the limit. */
const MAX_WIDTH = 8;
const MAX_WIDTH_BYTES = 64 * 2 ** 20;

type Accelerate = (loops: KernelFunctions, memory: WebAssembly.Memory) => Promise<KernelFunctions>;

/** Receives a finished block: its byte offset in the adder's memory, and the elements [start, start + length) it holds. */
type UseBlock = (block: number, start: number, length: number) => void;

export class SubtreeSummer {
  /** The memory in which blocks lie. */
  readonly values: Float32Array;
  #kernels: KernelFunctions;
  /** Until it was called. */
  #accelerate: (() => Promise<void>) | undefined;
  readonly #numShards: number;
  readonly #length: number;
  /** Shards that are computed by one call. */
  readonly #group: number;
  /** Groups whose sums are kept side by side. */
  readonly #width: number;
  readonly #leaves: readonly { readonly at: number; readonly view: Float32Array }[];
  readonly #held: readonly number[];
  readonly #scratch: number;
  /** By node: the same few come again step after step. */
  readonly #plans = new Map<number, Reduction>();

  /**
   * @param length of a sum vector
   * @param maxGroup shards that one call of `compute` can take together, a power of two
   * @param accelerate gives faster loops for sums that are rounded
   */
  constructor(numShards: number, length: number, maxGroup: number, accelerate: Accelerate = async (loops) => loops) {
    this.#numShards = numShards;
    this.#length = length;
    this.#group = Math.min(maxGroup, numShards);
    let width = 1;
    const fits = (candidate: number): boolean =>
      candidate <= MAX_WIDTH && candidate * this.#group <= numShards && candidate * length * 4 <= MAX_WIDTH_BYTES;
    while (fits(width * 2)) width *= 2;
    this.#width = width;
    const region = new Region();
    const leaves = Array.from({ length: width }, () => region.floats(length));
    this.#held = Array.from({ length: Math.log2(numShards / (this.#group * width)) }, () => region.floats(length));
    this.#scratch = region.floats(Math.log2(width * 2) * BLOCK_LENGTH);
    const memory = region.allocate('private');
    this.#kernels = loadKernels(memory);
    this.#accelerate = async () => {
      this.#kernels = await accelerate(this.#kernels, memory);
      this.#accelerate = undefined;
    };
    this.values = new Float32Array(memory.buffer);
    this.#leaves = leaves.map((at) => ({ at, view: new Float32Array(memory.buffer, at, length) }));
  }

  /** Whether one call of `compute` gives the sum at `node`, so that nothing is left to add. */
  isOneCall(node: number): boolean {
    const { from, to } = shardsUnder(node, this.#numShards);
    return to - from <= this.#group;
  }

  /**
   * Computes the sum at `node`.
   * @param compute fills a sum vector with the sum over neighbouring shards
   * @param use receives the result, block by block
   * @param terms of the rounding of every sum that is formed, those of `compute` included
   */
  async sum(
    node: number,
    compute: (shards: Range, sums: Float32Array) => Promise<void>,
    use: UseBlock,
    terms?: RoundingTerms,
  ): Promise<void> {
    if (terms) await this.#accelerate?.();
    const rounding = terms && new Rounding(this.#kernels, terms);
    await this.#sum(node, compute, rounding, use);
  }

  async #sum(
    node: number,
    compute: (shards: Range, sums: Float32Array) => Promise<void>,
    rounding: Rounding | undefined,
    use: UseBlock,
  ): Promise<void> {
    const { from, to } = shardsUnder(node, this.#numShards);
    const group = Math.min(this.#group, to - from);
    const width = (to - from) / group;
    if (width <= this.#width) {
      for (let i = 0; i < width; i++) {
        const { at, view } = this.#leaves[i]!;
        await compute({ from: from + i * group, to: from + (i + 1) * group }, view);
        rounding?.round(node * width + i, at, 0, this.#length);
      }
      const sources = this.#leaves.map(({ at }) => at);
      reduceBlocks(this.#kernels, this.#plan(node, width), sources, this.#scratch, 0, this.#length, rounding, use);
      return;
    }
    const first = this.#leaves[0]!.at;
    const keepIn =
      (vector: number): UseBlock =>
      (block, start, length) =>
        this.#kernels.copy(vector + start * 4, block, length);
    const held = this.#held[Math.log2(width / this.#width) - 1];
    invariant(held !== undefined, 'there is a vector to hold the left half of every level');
    await this.#sum(2 * node, compute, rounding, keepIn(held));
    await this.#sum(2 * node + 1, compute, rounding, keepIn(first));
    for (let start = 0; start < this.#length; start += BLOCK_LENGTH) {
      const length = Math.min(BLOCK_LENGTH, this.#length - start);
      this.#kernels.add(this.#scratch, held + start * 4, first + start * 4, length);
      rounding?.round(node, this.#scratch, start, length);
      use(this.#scratch, start, length);
    }
  }

  /** The reduction to a node of its `width` descendants of one level. */
  #plan(node: number, width: number): Reduction {
    let plan = this.#plans.get(node);
    if (!plan) {
      const descendants = Array.from({ length: width }, (_, i) => node * width + i);
      plan = planReduction(descendants, node, this.#numShards);
      this.#plans.set(node, plan);
    }
    return plan;
  }
}
