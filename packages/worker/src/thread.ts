/** One thread of the pool: an engine, and its share of the additions and updates. */
import {
  augment,
  invariant,
  type KernelFunctions,
  planReduction,
  type Range,
  reduceBlocks,
  ShardPlan,
  shardsUnder,
} from '@lockstep/core';
import {
  accelerate,
  createEngine,
  type Engine,
  type Evaluation,
  evaluateViews,
  type Network,
  numElements,
  PLAIN_VIEW,
  parseTopology,
  type Samples,
  sketchGradient,
} from '@lockstep/engine';
import { workerData } from 'piscina';
import { Barrier } from './barrier.ts';
import { EpochOrders } from './epoch-orders.ts';
import { inject } from './faults.ts';
import { Gatherer } from './gather.ts';
import { largestBatch, MARKS, NUM_MARKS, type ThreadSetup } from './job.ts';
import { openLoops } from './loops.ts';
import { roundingTerms } from './packed-vectors.ts';
import { SubtreeSummer } from './subtree.ts';
import type { ParameterVersion, Share, StepPosition, Task, TaskResults } from './tasks.ts';
import { Updater } from './updater.ts';

class Thread {
  readonly #setup: ThreadSetup;
  readonly #network: Network;
  readonly #plan: ShardPlan;
  readonly #shared;
  readonly #kernels;
  readonly #updater: Updater;
  readonly #barrier: Barrier;
  readonly #sampleSize: number;
  #engine: Promise<Engine> | undefined;
  /** By the number of shards that one call of the engine takes. */
  readonly #summers = new Map<number, SubtreeSummer>();
  /** Sum vectors in shared memory, by offset. */
  readonly #vectors = new Map<number, Float32Array>();
  /** One per micro-batch of a group. */
  readonly #gatherers: Gatherer[] = [];
  /** Of the parameters that the engine holds. */
  #version: ParameterVersion | undefined;
  readonly #orders: EpochOrders;

  static async open(setup: ThreadSetup): Promise<Thread> {
    return new Thread(setup, await openLoops(setup));
  }

  private constructor(setup: ThreadSetup, kernels: KernelFunctions) {
    const { job, memory } = setup;
    this.#setup = setup;
    this.#network = parseTopology(job.topology);
    this.#updater = new Updater(setup, this.#network, kernels);
    this.#plan = new ShardPlan(job.numSamples, job.numShards, job.batchSize);
    this.#orders = new EpochOrders(this.#plan, job.seed);
    this.#shared = new Float32Array(memory.buffer);
    this.#kernels = kernels;
    this.#barrier = new Barrier(memory, setup.layout.control);
    this.#sampleSize = numElements(this.#network.inputShape);
  }

  async run(task: Task): Promise<TaskResults[Task['kind']]> {
    switch (task.kind) {
      case 'prepare': {
        const { kind, device } = await this.#getEngine();
        return { kind, device };
      }
      case 'selfTest': {
        const engine = await this.#getEngine();
        this.#version = undefined;
        return sketchGradient(engine, this.#network, this.#setup.job.seed);
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
    const { engine, device, labelSmoothing } = this.#setup.job;
    this.#engine ??= createEngine(engine, { network: this.#network, labelSmoothing }, device);
    return this.#engine;
  }

  async #engineAt(version: ParameterVersion): Promise<Engine> {
    const engine = await this.#getEngine();
    const { runStep, loads, vector } = version;
    const known = this.#version;
    if (known?.runStep !== runStep || known.loads !== loads || known.vector !== vector) {
      const start = this.#setup.layout.state[runStep % 2]![vector]! / 4;
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
      for (const _ of this.#updater.update(step, share, partials, i, clipNorm)) if (!allArrived()) return;
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
    const terms = roundingTerms(step, this.#setup.job.seed, this.#network.layout);
    // A worker that is sent rounded changes has nothing but the reference.
    const vector = step.wire !== 'fp32' && this.#setup.job.keepsReference ? 'reference' : 'parameters';
    const engine = await this.#engineAt({ runStep, loads, vector });
    const { seed, reduction, numShards } = this.#setup.job;
    const summer = this.#summer(reduction === 'fast' ? numShards : terms ? 1 : engine.maxGroup);
    const { values } = summer;
    const compute = ({ from, to }: Range, sums: Float32Array): Promise<void> => {
      if (this.#barrier.cancelled) throw new Error('cancelled');
      // What counts as one micro-batch.
      const size = reduction === 'fast' ? to - from : 1;
      const batches = Array.from({ length: (to - from) / size }, (_, i) => {
        const shards = { from: from + i * size, to: from + (i + 1) * size };
        return {
          samples: this.#microBatch(step, shards, i, index),
          key: { seed, step: runStep, shard: shards.from },
        };
      });
      return engine.gradient(batches, sums);
    };
    for (const { node, at } of partials) {
      if (engine.writesShared && !terms && summer.isOneCall(node)) {
        await compute(shardsUnder(node, numShards), this.#sumsAt(at));
        continue;
      }
      await summer.sum(
        node,
        compute,
        (block, start, length) => this.#shared.set(values.subarray(block / 4, block / 4 + length), at / 4 + start),
        terms,
      );
    }
  }

  /** The vector at an offset of the shared memory: the same view each time, since engines know places by their views. */
  #sumsAt(at: number): Float32Array {
    let vector = this.#vectors.get(at);
    if (!vector) {
      vector = new Float32Array(this.#setup.memory.buffer, at, this.#network.layout.sumLength);
      this.#vectors.set(at, vector);
    }
    return vector;
  }

  #summer(maxGroup: number): SubtreeSummer {
    let summer = this.#summers.get(maxGroup);
    if (!summer) {
      summer = new SubtreeSummer(this.#setup.job.numShards, this.#network.layout.sumLength, maxGroup, accelerate);
      this.#summers.set(maxGroup, summer);
    }
    return summer;
  }

  /** Gathers the samples of some shards into the thread's own buffer number `place`, and changes their pictures as the job says. */
  #microBatch({ epoch, step }: StepPosition, shards: Range, place: number, share: number): Samples {
    this.#gatherers[place] ??= new Gatherer(
      this.#setup,
      this.#kernels,
      this.#sampleSize,
      largestBatch(this.#setup.job),
    );
    const indices = this.#indices(epoch, step, shards);
    const samples = this.#gatherers[place].gather(indices, share);
    const { augmentation, seed } = this.#setup.job;
    if (augmentation) augment(samples.images, this.#network.inputShape, indices, augmentation, seed, epoch);
    return samples;
  }

  #indices(epoch: number, step: number, shards: Range): Uint32Array {
    const parts = Array.from({ length: shards.to - shards.from }, (_, i) => {
      const { from, to } = this.#plan.microBatch(shards.from + i, step);
      return this.#orders.of(epoch, shards.from + i).subarray(from, to);
    });
    if (parts.length === 1) return parts[0]!;
    const all = new Uint32Array(parts.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const part of parts) {
      all.set(part, at);
      at += part.length;
    }
    return all;
  }

  /** Forms partial sums from others, over a slice of the vectors. */
  #combine({ share, step, combinations }: Extract<Task, { kind: 'combine' }>): undefined {
    const { sums } = this.#updater.rounding(step);
    const scratch = this.#setup.layout.scratch[share.index]!;
    const { from, to } = share.slice;
    for (const { node, at, sources } of combinations) {
      const nodes = sources.map((source) => source.node);
      const reduction = planReduction(nodes, node, this.#setup.job.numShards);
      const offsets = sources.map((source) => source.at);
      reduceBlocks(this.#kernels, reduction, offsets, scratch, from, to, sums, (block, start, length) =>
        this.#kernels.copy(at + start * 4, block, length),
      );
    }
  }

  async #evaluate({ version, split, plain, from, to }: Extract<Task, { kind: 'evaluate' }>): Promise<Evaluation> {
    const engine = await this.#engineAt(version);
    const { images, labels } = this.#setup[split]!;
    const size = this.#sampleSize;
    // Copied: native engines refuse tensors over shared memory.
    const samples = {
      count: to - from,
      images: images.slice(from * size, to * size),
      labels: labels.slice(from, to),
    };
    return evaluateViews(engine, this.#network, samples, plain ? PLAIN_VIEW : this.#setup.job.views);
  }
}

let thread: Promise<Thread> | undefined;

/** Piscina's entry: carries out one task. */
export default async function run(task: Task): Promise<TaskResults[Task['kind']]> {
  invariant(workerData, 'the pool hands its setup to every thread');
  thread ??= Thread.open(workerData as ThreadSetup);
  return (await thread).run(task);
}
