/** One thread of the pool: an engine, and its share of the additions and updates. */
import {
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
  type Network,
  parseTopology,
  type Samples,
} from '@lockstep/engine';
import { workerData } from 'piscina';
import type { ThreadSetup } from './job.ts';
import { SubtreeSummer } from './subtree.ts';
import type { PartialSum, PreparedEngine, Task } from './tasks.ts';

class Thread {
  readonly #setup: ThreadSetup;
  readonly #network: Network;
  readonly #plan: ShardPlan;
  readonly #shared;
  readonly #kernels;
  readonly #sampleSize: number;
  #engine: Promise<Engine> | undefined;
  #summer: SubtreeSummer | undefined;
  /** Buffers for the micro-batches of a group. */
  readonly #samples: { images: Uint8Array; labels: Uint8Array }[] = [];
  #version = -1;
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
    this.#sampleSize = this.#network.inputShape.reduce((product, dimension) => product * dimension, 1);
  }

  async run(task: Task): Promise<PreparedEngine | Evaluation | undefined> {
    switch (task.kind) {
      case 'prepare': {
        const { kind, device } = await this.#getEngine();
        return { kind, device };
      }
      case 'gradient':
        return this.#gradient(task);
      case 'reduce':
        return this.#reduce(task);
      case 'update':
        return this.#update(task);
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

  async #engineAt(version: number): Promise<Engine> {
    const engine = await this.#getEngine();
    if (this.#version !== version) {
      const start = this.#setup.layout.state[version % 2]!.parameters / 4;
      engine.setParameters(this.#shared.subarray(start, start + this.#network.layout.numParameters));
      this.#version = version;
    }
    return engine;
  }

  async #gradient({ epoch, step, runStep, partials }: Extract<Task, { kind: 'gradient' }>): Promise<undefined> {
    const engine = await this.#engineAt(runStep);
    const { seed, numShards } = this.#setup.job;
    this.#summer ??= new SubtreeSummer(numShards, this.#network.layout.sumLength, engine.maxGroup);
    const { values } = this.#summer;
    for (const { node, at } of partials) {
      await this.#summer.sum(
        node,
        ({ from, to }, sums) => {
          const batches = Array.from({ length: to - from }, (_, i) => ({
            samples: this.#microBatch(epoch, step, from + i, i),
            key: { seed, step: runStep, shard: from + i },
          }));
          return engine.gradient(batches, sums);
        },
        (block, start, length) => this.#shared.set(values.subarray(block / 4, block / 4 + length), at / 4 + start),
      );
    }
  }

  /** Gathers a shard's micro-batch into the thread's own buffer number `place`. */
  #microBatch(epoch: number, step: number, shard: number, place: number): Samples {
    const { from, to } = this.#plan.microBatch(shard, step);
    const { images, labels } = this.#setup.train;
    const size = this.#sampleSize;
    this.#samples[place] ??= {
      images: new Uint8Array(this.#plan.maxMicroBatchSize * size),
      labels: new Uint8Array(this.#plan.maxMicroBatchSize),
    };
    const batch = this.#samples[place];
    const order = this.#order(epoch, shard);
    for (let i = from; i < to; i++) {
      const sample = order[i]!;
      batch.images.set(images.subarray(sample * size, (sample + 1) * size), (i - from) * size);
      batch.labels[i - from] = labels[sample]!;
    }
    return { ...batch, count: to - from };
  }

  #order(epoch: number, shard: number): Uint32Array {
    const known = this.#orders.get(shard);
    if (known?.epoch === epoch) return known.order;
    const order = this.#plan.epochOrder(this.#setup.job.seed, epoch, shard);
    this.#orders.set(shard, { epoch, order });
    return order;
  }

  #reduce({ slice, partials, update }: Extract<Task, { kind: 'reduce' }>): undefined {
    const { layout } = this.#setup;
    const { numWeights, numParameters } = this.#network.layout;
    const sources = partials.map(({ at }) => at);
    const squares = new Float64Array(this.#setup.memory.buffer, layout.squares, Math.ceil(numWeights / BLOCK_LENGTH));
    const reduction = this.#planFor(partials);
    reduceBlocks(
      this.#kernels,
      reduction,
      sources,
      layout.scratch[slice.index]!,
      slice.from,
      slice.to,
      (block, start, length) => {
        const end = start + length;
        if (update) {
          this.#updateSlice(update, block, start, length);
        } else {
          this.#kernels.copy(layout.sum + start * 4, block, length);
          const weights = Math.min(end, numWeights) - start;
          if (weights > 0) squares[start / BLOCK_LENGTH] = this.#kernels.sumSquares(block, weights);
        }
        const tail = Math.max(start, numParameters);
        if (tail < end)
          this.#kernels.copy(layout.tail + (tail - numParameters) * 4, block + (tail - start) * 4, end - tail);
      },
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

  #update({ slice: { from, to }, update }: Extract<Task, { kind: 'update' }>): undefined {
    this.#updateSlice(update, this.#setup.layout.sum + from * 4, from, to - from);
  }

  #updateSlice(update: UpdateScalars, sums: number, start: number, length: number): void {
    const { layout, job } = this.#setup;
    const current = layout.state[update.step % 2]!;
    const next = layout.state[(update.step + 1) % 2]!;
    updateSlice(this.#kernels, this.#network.layout, job.optimizer, update, current, next, sums, start, length);
  }

  async #evaluate({ version, from, to }: Extract<Task, { kind: 'evaluate' }>): Promise<Evaluation> {
    const engine = await this.#engineAt(version);
    const { images, labels } = this.#setup.test;
    const size = this.#sampleSize;
    // Copied: native engines refuse tensors over shared memory.
    return engine.evaluate({
      count: to - from,
      images: images.slice(from * size, to * size),
      labels: labels.slice(from, to),
    });
  }
}

let thread: Thread | undefined;

/** Piscina's entry: carries out one task. */
export default function run(task: Task): Promise<PreparedEngine | Evaluation | undefined> {
  invariant(workerData, 'the pool hands its setup to every thread');
  thread ??= new Thread(workerData as ThreadSetup);
  return thread.run(task);
}
