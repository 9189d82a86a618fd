/** What follows the gradients of a step: their sum along the tree, and the optimizer's update, slice by slice. */
import {
  BLOCK_LENGTH,
  BROADCAST,
  type KernelFunctions,
  planReduction,
  type Reduction,
  ROOT,
  Rounding,
  reduceBlocks,
  type UpdateScalars,
  updateDirections,
  updateSlice,
} from '@lockstep/core';
import type { Network } from '@lockstep/engine';
import type { PoolSetup } from './job.ts';
import { changeTerms, roundingTerms } from './packed-vectors.ts';
import type { PartialSum, Share, StepPlan, StepPosition } from './tasks.ts';

/** Of the sums of a step, and of the change of the weights that it leads to; undefined where nothing is rounded. */
interface StepRounding {
  readonly sums: Rounding | undefined;
  readonly change: Rounding | undefined;
}

/** The part of a share in an update. */
type UpdateShare = Pick<Share, 'index' | 'numShares' | 'slice'>;

export class Updater {
  readonly #setup: PoolSetup;
  readonly #network: Network;
  readonly #kernels: KernelFunctions;
  /** Of the blocks of a gradient; all slices leave theirs there. */
  readonly #squares: Float64Array;
  #reduction: { key: string; plan: Reduction } | undefined;

  /** @param kernels loops over the memory */
  constructor(setup: PoolSetup, network: Network, kernels: KernelFunctions) {
    this.#setup = setup;
    this.#network = network;
    this.#kernels = kernels;
    const numBlocks = Math.ceil(network.layout.numWeights / BLOCK_LENGTH);
    this.#squares = new Float64Array(setup.memory.buffer, setup.layout.squares, numBlocks);
  }

  /**
   * Adds up and updates one slice. Yields wherever all slices must have come as far before it can go on.
   * @param partials cover every shard once
   * @param number of the step among those done together; picks where what stands behind the parameters is left
   * @param clipNorm upper bound for the norm of the gradient, or undefined
   */
  *update(
    step: StepPlan,
    share: UpdateShare,
    partials: readonly PartialSum[],
    number: number,
    clipNorm: number | undefined,
  ): Generator<void, void, void> {
    const { layout } = this.#setup;
    const rounding = this.rounding(step);
    const tail = layout.tails[number]!;
    const hasMatrices = layout.matrixScratch.length > 0;
    if (clipNorm === undefined && !hasMatrices) {
      this.#reduceAndUpdate(rounding, share, partials, tail, this.#scalars(step, 1));
      return;
    }
    this.#reduceAndUpdate(rounding, share, partials, tail, undefined);
    yield;
    const scalars = this.#scalars(step, this.#clipping(clipNorm, step.count));
    if (hasMatrices) {
      yield* this.#directions(scalars, share);
      yield;
    }
    const { from, to } = share.slice;
    this.#updateSlice(rounding.change, scalars, layout.sum + from * 4, from, to - from);
  }

  /** How a step's vectors are rounded. */
  rounding(step: StepPosition): StepRounding {
    const { seed } = this.#setup.job;
    const [sums, change] = [roundingTerms, changeTerms].map((termsOf) => {
      const terms = termsOf(step, seed, this.#network.layout);
      return terms && new Rounding(this.#kernels, terms);
    });
    return { sums, change };
  }

  /**
   * Adds the partial sums up along the tree over a slice of the vector, and updates the slice.
   * @param tail byte offset at which to leave what stands behind the parameters
   * @param scalars undefined: only leave the sum and its squares behind, since the update needs the whole norm
   */
  #reduceAndUpdate(
    rounding: StepRounding,
    share: UpdateShare,
    partials: readonly PartialSum[],
    tail: number,
    scalars: UpdateScalars | undefined,
  ): void {
    const { layout } = this.#setup;
    const { numParameters } = this.#network.layout;
    const sources = partials.map(({ at }) => at);
    const { from, to } = share.slice;
    const reduction = this.#planFor(partials);
    const scratch = layout.scratch[share.index]!;
    reduceBlocks(this.#kernels, reduction, sources, scratch, from, to, rounding.sums, (block, start, length) => {
      const end = start + length;
      if (scalars) this.#updateSlice(rounding.change, scalars, block, start, length);
      else this.#keepSum(block, start, length);
      const first = Math.max(start, numParameters);
      if (first < end) this.#kernels.copy(tail + (first - numParameters) * 4, block + (first - start) * 4, end - first);
    });
  }

  /** Leaves a part of the sum in shared memory, and the squares of its blocks, which all threads measure alike. */
  #keepSum(sum: number, start: number, length: number): void {
    const { numWeights } = this.#network.layout;
    this.#kernels.copy(this.#setup.layout.sum + start * 4, sum, length);
    const end = Math.min(start + length, numWeights);
    for (let at = start; at < end; at += BLOCK_LENGTH) {
      const values = sum + (at - start) * 4;
      this.#squares[at / BLOCK_LENGTH] = this.#kernels.sumSquares(values, Math.min(BLOCK_LENGTH, end - at));
    }
  }

  /** The factor for a gradient whose sum is there, so that its norm is not above the bound. */
  #clipping(clipNorm: number | undefined, count: number): number {
    if (clipNorm === undefined) return 1;
    const norm = Math.sqrt(this.#squares.reduce((sum, square) => sum + square, 0)) / count;
    return norm > clipNorm ? clipNorm / norm : 1;
  }

  #directions(update: UpdateScalars, { index, numShares, slice }: UpdateShare): Generator<void, void, void> {
    const { layout, job } = this.#setup;
    return updateDirections(
      this.#kernels,
      this.#network.layout,
      job.optimizer,
      update,
      layout.state[update.step % 2]!,
      layout.state[(update.step + 1) % 2]!,
      layout.sum,
      layout.matrixScratch,
      slice,
      { index, count: numShares },
    );
  }

  /** The same partial sums come step after step; their plan is made once. */
  #planFor(partials: readonly PartialSum[]): Reduction {
    const nodes = partials.map(({ node }) => node);
    const key = nodes.join();
    if (this.#reduction?.key !== key) {
      this.#reduction = { key, plan: planReduction(nodes, ROOT, this.#setup.job.numShards) };
    }
    return this.#reduction.plan;
  }

  #scalars({ runStep, count, learningRate }: StepPlan, clipping: number): UpdateScalars {
    return {
      step: runStep,
      learningRate,
      gradientScale: clipping / count,
      statisticScale: 1 / count,
      averageDecay: this.#setup.job.ema,
    };
  }

  #updateSlice(
    rounding: Rounding | undefined,
    update: UpdateScalars,
    sums: number,
    start: number,
    length: number,
  ): void {
    const { layout, job } = this.#setup;
    const current = layout.state[update.step % 2]!;
    const next = layout.state[(update.step + 1) % 2]!;
    updateSlice(this.#kernels, this.#network.layout, job.optimizer, update, current, next, sums, start, length);
    if (rounding) this.#updateReference(rounding, update.step, start, length);
  }

  /**
   * Moves a slice of the reference by the rounded distance to the new parameters; statistics, which are few, become the
   * same. What rounding leaves over is in the distance of the next step.
   */
  #updateReference(rounding: Rounding, runStep: number, start: number, length: number): void {
    const { state, change } = this.#setup.layout;
    if (change === undefined) return;
    const { numWeights, numParameters } = this.#network.layout;
    const current = state[runStep % 2]!.reference!;
    const { reference, parameters } = state[(runStep + 1) % 2]!;
    const at = (vector: number, index: number): number => vector + index * 4;
    const numMoved = Math.min(length, numWeights - start);
    if (numMoved > 0) {
      this.#kernels.subtract(at(change, start), at(parameters, start), at(current, start), numMoved);
      rounding.round(BROADCAST, at(change, start), start, numMoved);
      this.#kernels.add(at(reference!, start), at(current, start), at(change, start), numMoved);
    }
    const first = Math.max(start, numWeights);
    const numCopied = Math.min(start + length, numParameters) - first;
    if (numCopied <= 0) return;
    for (const vector of [change, reference!]) this.#kernels.copy(at(vector, first), at(parameters, first), numCopied);
  }
}
