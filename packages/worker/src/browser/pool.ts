/**
 * The pool of a tab: lanes that compute gradients, and a memory of its own in which their sums are added up. Pages share no
 * memory between threads, so parameters, pictures and sums travel in messages.
 */
import {
  BLOCK_LENGTH,
  coveringNodes,
  invariant,
  type KernelFunctions,
  loadKernels,
  planReduction,
  type Range,
  Region,
  Rounding,
  type RoundingTerms,
  reduceBlocks,
  sumsUnder,
  type WireFormat,
} from '@lockstep/core';
import { numElements } from '@lockstep/engine/browser';
import { EpochOrders } from '../epoch-orders.ts';
import { divideRange } from '../job.ts';
import { PackedVectors, roundingTerms } from '../packed-vectors.ts';
import { partitionBytes, type RemoteJob } from '../remote/job.ts';
import type { GradientPool } from '../remote/roles.ts';
import type { PartialSum, StepPosition } from '../tasks.ts';
import type { Lane } from './lane-client.ts';
import type { GradientTask, ShardBatch } from './lane-messages.ts';

/** Byte offsets into the pool's memory. */
interface Layout {
  /** Those before step s lie in s % 2. */
  readonly parameters: readonly [number, number];
  /** Sum vectors. */
  readonly partials: readonly number[];
  /** Where a vector is packed and unpacked. */
  readonly packed: number;
  /** Registers of a reduction. */
  readonly scratch: number;
}

/** One part of the work: what a lane was given, and what it gave. */
interface Part {
  readonly nodes: readonly number[];
  readonly sums: readonly Float32Array[];
}

export class TabPool implements GradientPool {
  readonly #job: RemoteJob;
  readonly #lanes: readonly Lane[];
  readonly #partitions = new Map<number, Uint8Array>();
  readonly #orders: EpochOrders;
  readonly #memory: WebAssembly.Memory;
  readonly #kernels: KernelFunctions;
  readonly #layout: Layout;
  readonly #vectors: PackedVectors;
  /** Places for sums that are not in use. */
  readonly #free: number[];
  /** Of the parameters that the lanes have. */
  #lanesHave: number | undefined;
  /** Whether something came for the parameters in each place since the lanes were given them. */
  readonly #changed = [false, false];
  #isCancelled = false;

  /** @param lanes which are open */
  constructor(job: RemoteJob, lanes: readonly Lane[]) {
    this.#job = job;
    this.#lanes = lanes;
    const { numShards } = job;
    const { sumLength, numParameters } = job.network.layout;
    const depth = Math.log2(numShards) + 1;
    const region = new Region();
    // What the lanes give, what it is added up to, and a change of the parameters.
    const numPartials = Math.min(numShards, lanes.length * 2 * depth) + 2 * depth + 1;
    this.#layout = {
      parameters: [region.floats(numParameters), region.floats(numParameters)],
      partials: Array.from({ length: numPartials }, () => region.floats(sumLength)),
      packed: region.floats(sumLength + BLOCK_LENGTH),
      scratch: region.floats(depth * BLOCK_LENGTH),
    };
    this.#memory = region.allocate('private');
    this.#kernels = loadKernels(this.#memory);
    this.#vectors = new PackedVectors(this.#memory, this.#kernels, job.network.layout, this.#layout.packed);
    this.#orders = new EpochOrders(job.plan, job.seed);
    this.#free = [...this.#layout.partials];
  }

  /** All of a sum vector. */
  get #sums(): Range {
    return { from: 0, to: this.#job.network.layout.sumLength };
  }

  /** All parameters. */
  get #all(): Range {
    return { from: 0, to: this.#job.network.layout.numParameters };
  }

  get numThreads(): number {
    return this.#lanes.length;
  }

  fill(shard: number, partition: Uint8Array): void {
    invariant(partition.length === partitionBytes(this.#job, shard), `partition ${shard} is as long as the job says`);
    this.#partitions.set(shard, partition);
  }

  load(runStep: number, bytes: Uint8Array, from = 0): void {
    const parameters = this.#parameters(runStep);
    new Uint8Array(parameters.buffer, parameters.byteOffset + from * 4, bytes.length).set(bytes);
    this.#changed[runStep % 2] = true;
  }

  change(runStep: number, bytes: Uint8Array, wire: WireFormat, slice = this.#all): void {
    const into = this.#layout.parameters[runStep % 2 === 0 ? 0 : 1];
    const before = this.#layout.parameters[runStep % 2 === 0 ? 1 : 0];
    const change = this.#reserve();
    this.#vectors.applyChange(into, before, change, bytes, wire, slice);
    this.#free.push(change);
    this.#changed[runStep % 2] = true;
  }

  async gradient(step: StepPosition, range: Range): Promise<PartialSum[] | undefined> {
    this.#isCancelled = false;
    this.#handOn(step.runStep);
    const terms = roundingTerms(step, this.#job.seed, this.#job.network.layout);
    const work = divideRange(range, this.#lanes.length).flatMap((shards, i) =>
      shards.from < shards.to ? [{ lane: this.#lanes[i]!, task: this.#task(step, shards, terms) }] : [],
    );
    // All must have ended before the next call gives them work.
    const outcomes = await Promise.allSettled(
      work.map(async ({ lane, task }): Promise<Part | undefined> => {
        const sums = await lane.gradient(task);
        return sums && { nodes: task.nodes, sums };
      }),
    );
    const parts = outcomes.map((outcome) => {
      if (outcome.status === 'rejected') throw outcome.reason;
      return outcome.value;
    });
    if (this.#isCancelled || parts.includes(undefined)) return undefined;
    return this.#combine(parts as Part[], range, terms);
  }

  cancel(): void {
    this.#isCancelled = true;
    for (const lane of this.#lanes) lane.cancel();
  }

  packed({ at }: PartialSum, wire: WireFormat, slice = this.#sums): Uint8Array {
    return this.#vectors.pack(at, wire, slice);
  }

  release(partials: readonly PartialSum[]): void {
    for (const { at } of partials) this.#free.push(at);
  }

  async close(): Promise<void> {
    for (const lane of this.#lanes) lane.close();
  }

  /** Gives the lanes the parameters before a step, if they have others. */
  #handOn(runStep: number): void {
    if (this.#lanesHave === runStep && !this.#changed[runStep % 2]) return;
    for (const lane of this.#lanes) lane.parameters(this.#parameters(runStep));
    this.#lanesHave = runStep;
    this.#changed[runStep % 2] = false;
  }

  #parameters(runStep: number): Float32Array {
    const at = this.#layout.parameters[runStep % 2 === 0 ? 0 : 1];
    return new Float32Array(this.#memory.buffer, at, this.#job.network.layout.numParameters);
  }

  #reserve(): number {
    const at = this.#free.pop();
    invariant(at !== undefined, 'there is room for all sums of an assignment');
    return at;
  }

  #task({ epoch, step, runStep }: StepPosition, shards: Range, rounding: RoundingTerms | undefined): GradientTask {
    const batches = Array.from({ length: shards.to - shards.from }, (_, i) =>
      this.#batch(shards.from + i, epoch, step),
    );
    return { epoch, runStep, rounding, nodes: coveringNodes(shards, this.#job.numShards), batches };
  }

  /** Collects a shard's samples at a step of an epoch. */
  #batch(shard: number, epoch: number, step: number): ShardBatch {
    const { plan, network } = this.#job;
    const partition = this.#partitions.get(shard);
    invariant(partition, `the partition of shard ${shard} is there`);
    const size = numElements(network.inputShape);
    const first = plan.partition(shard).from;
    const labelsAt = plan.shardSize(shard) * size;
    const { from, to } = plan.microBatch(shard, step);
    const indices = this.#orders.of(epoch, shard).slice(from, to) as Uint32Array<ArrayBuffer>;
    const images = new Uint8Array(indices.length * size);
    const labels = new Uint8Array(indices.length);
    for (const [i, index] of indices.entries()) {
      const place = index - first;
      images.set(partition.subarray(place * size, (place + 1) * size), i * size);
      labels[i] = partition[labelsAt + place]!;
    }
    return { shard, indices, images, labels };
  }

  /** Adds the lanes' sums up to the fewest nodes that cover the same shards. */
  #combine(parts: readonly Part[], range: Range, terms: RoundingTerms | undefined): PartialSum[] {
    const { numShards, network } = this.#job;
    const given = parts.flatMap(({ nodes, sums }) =>
      nodes.map((node, i): PartialSum => {
        const at = this.#reserve();
        new Float32Array(this.#memory.buffer, at, network.layout.sumLength).set(sums[i]!);
        return { node, at };
      }),
    );
    return coveringNodes(range, numShards).map((node) => {
      const sources = sumsUnder(given, node, numShards);
      if (sources.length === 1) return sources[0]!;
      const sum = { node, at: this.#reserve() };
      this.#add(sources, sum, terms);
      this.release(sources);
      return sum;
    });
  }

  #add(sources: readonly PartialSum[], sum: PartialSum, terms: RoundingTerms | undefined): void {
    const kernels = this.#kernels;
    const nodes = sources.map(({ node }) => node);
    const reduction = planReduction(nodes, sum.node, this.#job.numShards);
    const offsets = sources.map(({ at }) => at);
    const { sumLength } = this.#job.network.layout;
    const rounding = terms && new Rounding(kernels, terms);
    const keep = (block: number, start: number, length: number): void =>
      kernels.copy(sum.at + start * 4, block, length);
    reduceBlocks(kernels, reduction, offsets, this.#layout.scratch, 0, sumLength, rounding, keep);
  }
}
