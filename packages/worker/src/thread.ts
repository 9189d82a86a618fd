/** One thread of the pool: an engine, and its share of the additions and updates. */
import {
  augment,
  BLOCK_LENGTH,
  invariant,
  loadKernels,
  planReduction,
  type Reduction,
  ROOT,
  reduceBlocks,
  ShardPlan,
  type UpdateScalars,
  updateSlice,
} from '@lockstep/core';
import {
  createEngine,
  type Engine,
  type Evaluation,
  evaluateBothWays,
  type Network,
  numElements,
  parseTopology,
  type Samples,
} from '@lockstep/engine';
import { workerData } from 'piscina';
import { Barrier } from './barrier.ts';
import { inject } from './faults.ts';
import { Gatherer } from './gather.ts';
import { MARKS, NUM_MARKS, type ThreadSetup } from './job.ts';
import { SubtreeSummer } from './subtree.ts';
import type { ParameterVersion, PartialSum, Share, StepPlan, StepPosition, Task, TaskResults } from './tasks.ts';

class Thread {
  readonly #setup: ThreadSetup;
  readonly #network: Network;
  readonly #plan: ShardPlan;
  readonly #shared;
  readonly #kernels;
  readonly #squares: Float64Array;
  readonly #barrier: Barrier;
  readonly #sampleSize: number;
  #engine: Promise<Engine> | undefined;
  #summer: SubtreeSummer | undefined;
  /** One per micro-batch of a group. */
  readonly #gatherers: Gatherer[] = [];
  /** Of the parameters that the engine holds. */
  #version: ParameterVersion | undefined;
  /** Order of the samples, per shard, of the epoch in which it was last asked for. */
  readonly #orders = new Map<number, { epoch: number; order: Uint32Array }>();
  #reduction: { key: string; plan: Reduction } | undefined;

  constructor(setup: ThreadSetup) {
    const { job, memory } = setup;
    this.#setup = setup;
    this.#network = parseTopology(job.topology);
    this.#plan = new ShardPlan(job.numSamples, job.numShards, job.batchSize);
    this.#shared = new Float32Array(memory.buffer);
    this.#kernels = loadKernels(memory);
    const numBlocks = Math.ceil(this.#network.layout.numWeights / BLOCK_LENGTH);
    this.#squares = new Float64Array(memory.buffer, setup.layout.squares, numBlocks);
    this.#barrier = new Barrier(memory, setup.layout.control);
    this.#sampleSize = numElements(this.#network.inputShape);
  }

  async run(task: Task): Promise<TaskResults[Task['kind']]> {
    switch (task.kind) {
      case 'prepare': {
        const { kind, device } = await this.#getEngine();
        return { kind, device };
      }
      case 'steps':
        return this.#steps(task);
      case 'gradient':
        return this.#gradient(task.step, task.share, task.loads);
      case 'combine':
        return this.#combine(task);
      case 'evaluate':
        return this.#evaluate(task);
      default:
        return task satisfies never;
    }
  }

  /** Opened on first use, since a thread that only adds needs none. */
  #getEngine(): Promise<Engine> {
    const { engine, labelSmoothing } = this.#setup.job;
    this.#engine ??= createEngine(engine, { network: this.#network, labelSmoothing });
    return this.#engine;
  }

  async #engineAt(version: ParameterVersion): Promise<Engine> {
    const engine = await this.#getEngine();
    const { runStep, loads, averaged } = version;
    const known = this.#version;
    if (known?.runStep !== runStep || known.loads !== loads || known.averaged !== averaged) {
      const { parameters, average } = this.#setup.layout.state[runStep % 2]!;
      const start = (averaged ? average! : parameters) / 4;
      engine.setParameters(this.#shared.subarray(start, start + this.#network.layout.numParameters));
      this.#version = version;
    }
    return engine;
  }

  /**
   * Step after step: gradients of this share, then, when all shares have theirs, the sum and the update of a slice. Nothing
   * that a step reads is overwritten before all threads have finished it, so it can be done again after a failure.
   */
  async #steps({ share, partials, steps, loads, clipNorm }: Extract<Task, { kind: 'steps' }>): Promise<undefined> {
    let arrivals = 0;
    const allArrived = (): boolean => {
      arrivals += share.numShares;
      return this.#barrier.arrive(arrivals);
    };
    const marks = new Float64Array(this.#setup.memory.buffer, this.#setup.layout.marks[share.index]!);
    for (const [i, step] of steps.entries()) {
      const mark = (moment: keyof typeof MARKS): void => {
        marks[i * NUM_MARKS + MARKS[moment]] = performance.timeOrigin + performance.now();
      };
      mark('started');
      if (this.#setup.faults.length > 0) await inject(this.#setup.faults, share.index, step.runStep);
      await this.#gradient(step, share, loads);
      mark('computed');
      if (!allArrived()) return;
      mark('gathered');
      const tail = this.#setup.layout.tails[i]!;
      if (clipNorm === undefined) {
        this.#reduceAndUpdate(share, partials, tail, this.#scalars(step, 1));
      } else {
        this.#reduceAndUpdate(share, partials, tail, undefined);
        if (!allArrived()) return;
        const norm = Math.sqrt(this.#squares.reduce((sum, square) => sum + square, 0)) / step.count;
        const { from, to } = share.slice;
        const scalars = this.#scalars(step, norm > clipNorm ? clipNorm / norm : 1);
        this.#updateSlice(scalars, this.#setup.layout.sum + from * 4, from, to - from);
      }
      if (!allArrived()) return;
      mark('ended');
      if (share.index === 0) this.#barrier.commit(i + 1);
    }
  }

  /** Leaves partial sums of one step's gradients in shared memory. */
  async #gradient(
    step: StepPosition,
    { index, partials }: Pick<Share, 'index' | 'partials'>,
    loads: number,
  ): Promise<undefined> {
    const { runStep } = step;
    if (partials.length === 0) return;
    const engine = await this.#engineAt({ runStep, loads, averaged: false });
    const { seed, numShards } = this.#setup.job;
    this.#summer ??= new SubtreeSummer(numShards, this.#network.layout.sumLength, engine.maxGroup);
    const { values } = this.#summer;
    for (const { node, at } of partials) {
      await this.#summer.sum(
        node,
        ({ from, to }, sums) => {
          if (this.#barrier.cancelled) throw new Error('cancelled');
          const batches = Array.from({ length: to - from }, (_, i) => ({
            samples: this.#microBatch(step, from + i, i, index),
            key: { seed, step: runStep, shard: from + i },
          }));
          return engine.gradient(batches, sums);
        },
        (block, start, length) => this.#shared.set(values.subarray(block / 4, block / 4 + length), at / 4 + start),
      );
    }
  }

  /** Gathers a shard's micro-batch into the thread's own buffer number `place`, and changes its pictures as the job says. */
  #microBatch({ epoch, step }: StepPosition, shard: number, place: number, share: number): Samples {
    const { from, to } = this.#plan.microBatch(shard, step);
    this.#gatherers[place] ??= new Gatherer(this.#setup, this.#kernels, this.#sampleSize, this.#plan.maxMicroBatchSize);
    const indices = this.#order(epoch, shard).subarray(from, to);
    const samples = this.#gatherers[place].gather(indices, share);
    const { augmentation, seed } = this.#setup.job;
    if (augmentation) augment(samples.images, this.#network.inputShape, indices, augmentation, seed, epoch);
    return samples;
  }

  #order(epoch: number, shard: number): Uint32Array {
    const known = this.#orders.get(shard);
    if (known?.epoch === epoch) return known.order;
    const order = this.#plan.epochOrder(this.#setup.job.seed, epoch, shard);
    this.#orders.set(shard, { epoch, order });
    return order;
  }

  /** Forms partial sums from others, over a slice of the vectors. */
  #combine({ share, combinations }: Extract<Task, { kind: 'combine' }>): undefined {
    const scratch = this.#setup.layout.scratch[share.index]!;
    const { from, to } = share.slice;
    for (const { node, at, sources } of combinations) {
      const nodes = sources.map((source) => source.node);
      const reduction = planReduction(nodes, node, this.#setup.job.numShards);
      const offsets = sources.map((source) => source.at);
      reduceBlocks(this.#kernels, reduction, offsets, scratch, from, to, (block, start, length) =>
        this.#kernels.copy(at + start * 4, block, length),
      );
    }
  }

  /**
   * Adds the partial sums up along the tree over a slice of the vector, and updates the slice.
   * @param tail byte offset at which to leave what stands behind the parameters
   * @param scalars undefined: only leave the sum and its squares behind, since the update needs the whole norm
   */
  #reduceAndUpdate(
    share: Share,
    partials: readonly PartialSum[],
    tail: number,
    scalars: UpdateScalars | undefined,
  ): void {
    const { layout } = this.#setup;
    const { numParameters } = this.#network.layout;
    const sources = partials.map(({ at }) => at);
    const { from, to } = share.slice;
    const reduction = this.#planFor(partials);
    reduceBlocks(this.#kernels, reduction, sources, layout.scratch[share.index]!, from, to, (block, start, length) => {
      const end = start + length;
      if (scalars) this.#updateSlice(scalars, block, start, length);
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

  #updateSlice(update: UpdateScalars, sums: number, start: number, length: number): void {
    const { layout, job } = this.#setup;
    const current = layout.state[update.step % 2]!;
    const next = layout.state[(update.step + 1) % 2]!;
    updateSlice(this.#kernels, this.#network.layout, job.optimizer, update, current, next, sums, start, length);
  }

  async #evaluate({ version, split, from, to }: Extract<Task, { kind: 'evaluate' }>): Promise<Evaluation> {
    const engine = await this.#engineAt(version);
    const { images, labels } = this.#setup[split]!;
    const size = this.#sampleSize;
    // Copied: native engines refuse tensors over shared memory.
    const samples = {
      count: to - from,
      images: images.slice(from * size, to * size),
      labels: labels.slice(from, to),
    };
    return this.#setup.job.testFlip ? evaluateBothWays(engine, this.#network, samples) : engine.evaluate(samples);
  }
}

let thread: Thread | undefined;

/** Piscina's entry: carries out one task. */
export default function run(task: Task): Promise<TaskResults[Task['kind']]> {
  invariant(workerData, 'the pool hands its setup to every thread');
  thread ??= new Thread(workerData as ThreadSetup);
  return thread.run(task);
}
