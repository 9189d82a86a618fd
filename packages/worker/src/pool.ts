/**
 * A pool of engines on this machine behind one interface. Its threads compute gradients, add them up along the tree and
 * update the parameters, step after step, and evaluate. A coordinator uses all of that; a remote worker the gradients.
 */
import { availableParallelism } from 'node:os';
import {
  BLOCK_LENGTH,
  coveringNodes,
  invariant,
  loadKernels,
  type Range,
  ShardPlan,
  type SparseSums,
  shardsUnder,
  sumsUnder,
  type WireFormat,
} from '@lockstep/core';
import { type Evaluation, type Network, numElements, type PageAdvice } from '@lockstep/engine';
import { Barrier } from './barrier.ts';
import type { Fault } from './faults.ts';
import {
  allocateShared,
  divideRange,
  type Job,
  MARKS,
  MAX_STEPS,
  NUM_MARKS,
  type SharedLayout,
  type SharedSplit,
} from './job.ts';
import { openLoops } from './loops.ts';
import { PackedVectors } from './packed-vectors.ts';
import type {
  Combination,
  EvaluatedSplit,
  PartialSum,
  PreparedEngine,
  Share,
  StepPlan,
  StepPosition,
} from './tasks.ts';
import { DEADLINES, type Deadlines, gaveUp, MAX_ATTEMPTS, type TaskOf, Threads } from './threads.ts';
import { Updater } from './updater.ts';

export interface PoolOptions {
  readonly job: Job;
  readonly network: Network;
  /** Undefined: partitions come later, by {@link WorkerPool.fill}. */
  readonly train: SharedSplit | undefined;
  readonly test: SharedSplit;
  /** Held out of the training pictures. */
  readonly validation?: SharedSplit | undefined;
  readonly numThreads: number;
  /** For the memory that all threads share. */
  readonly advise?: PageAdvice | undefined;
  /** Called when a thread died or hung and its work is done again by another. */
  readonly onRecovery: ((reason: string) => void) | undefined;
  /** Failures to inject, and shorter deadlines; for tests. */
  readonly faults?: readonly Fault[];
  readonly deadlines?: Deadlines;
}

/** Sums over all samples of a step. */
export interface StepSums {
  readonly lossSum: number;
  readonly numCorrect: number;
  readonly count: number;
}

/** One thread's moments of a step, in milliseconds since 1970. */
export interface StepMarks {
  readonly started: number;
  /** Its gradients are there. */
  readonly computed: number;
  /** Everybody's are. */
  readonly gathered: number;
  /** All threads have updated. */
  readonly ended: number;
}

/** One thread per core, as the operating system counts them for this process. */
export const defaultNumThreads = (): number => availableParallelism();

/**
 * Up to so many values to read and write, about a millisecond, the caller's own thread updates: it takes half a millisecond to
 * call the others.
 */
const MAX_OWN_UPDATE = 2 ** 22;
/** Values that an update reads and writes for each parameter, beside the partial sums. */
const UPDATE_VALUES = 6;

/** Test samples per evaluation task. */
const EVALUATION_CHUNK = 250;

export class WorkerPool {
  readonly numThreads: number;
  readonly #memory: WebAssembly.Memory;
  readonly #threads: Threads;
  readonly #network: Network;
  readonly #plan: ShardPlan;
  readonly #shared: SharedLayout;
  readonly #trainLabels: Uint8Array;
  readonly #vectors: PackedVectors;
  readonly #barrier: Barrier;
  readonly #slices: readonly Range[];
  /** Places for partial sums that are not in use. */
  readonly #free: number[];
  /** Samples to evaluate on. */
  readonly #counts: { readonly [split in EvaluatedSplit]: number };
  readonly #onRecovery: PoolOptions['onRecovery'];
  readonly #kernels;
  readonly #job: Job;
  /** Of this thread; made when it is first needed. */
  #updater: Updater | undefined;
  #openingUpdater: Promise<Updater> | undefined;
  /** How often parameters came from outside. */
  #loads = 0;
  /** Steps whose moments are known, of the latest batch. */
  #numMarked = 0;

  constructor(options: PoolOptions) {
    const { job, network, train, test, validation, numThreads, onRecovery } = options;
    const { faults = [], deadlines = DEADLINES } = options;
    const { memory, layout: shared } = allocateShared(network, job, numThreads);
    options.advise?.(memory);
    this.numThreads = numThreads;
    this.#network = network;
    this.#plan = new ShardPlan(job.numSamples, job.numShards, job.batchSize);
    this.#memory = memory;
    this.#kernels = loadKernels(memory);
    this.#shared = shared;
    this.#vectors = new PackedVectors(memory, this.#kernels, network.layout, shared.packed);
    this.#free = [...shared.partials];
    this.#barrier = new Barrier(memory, shared.control);
    this.#job = job;
    this.#slices = divideVector(network.layout.sumLength, numThreads);
    this.#counts = { test: test.count, validation: validation?.count ?? 0 };
    this.#onRecovery = onRecovery;
    const trainLabels = train?.labels ?? new Uint8Array(new SharedArrayBuffer(job.numSamples));
    this.#trainLabels = trainLabels;
    if (train) this.#imagesFrom(0, job.numSamples).set(train.images.subarray(0, job.numSamples * this.#sampleSize));
    this.#threads = new Threads({
      count: numThreads,
      setup: { job, trainLabels, test, validation, memory, layout: shared, faults },
      deadlines,
      onRecovery,
      isCancelled: () => this.#barrier.cancelled,
      onTimeout: () => this.#barrier.stop(),
    });
  }

  /** All of a sum vector. */
  get #sums(): Range {
    return { from: 0, to: this.#network.layout.sumLength };
  }

  /** All parameters. */
  get #parameters(): Range {
    return { from: 0, to: this.#network.layout.numParameters };
  }

  get #sampleSize(): number {
    return numElements(this.#network.inputShape);
  }

  #imagesFrom(from: number, to: number): Uint8Array {
    const size = this.#sampleSize;
    return new Uint8Array(this.#memory.buffer, this.#shared.images + from * size, (to - from) * size);
  }

  /** Opens an engine on every thread. */
  async prepare(): Promise<PreparedEngine> {
    const tasks = this.#slices.map((): TaskOf<'prepare'> => ({ kind: 'prepare' }));
    const [engine] = await this.#threads.within('prepare', this.#threads.retrying(tasks));
    return engine!;
  }

  /** What an engine of this pool computes in the self-test; see {@link sketchGradient}. May be called at any time. */
  async selfTest(): Promise<readonly number[]> {
    const [sketch] = await this.#threads.within('selfTest', this.#threads.retrying([{ kind: 'selfTest' }]));
    return sketch!;
  }

  /** Takes the samples of a shard. @param partition its pictures, then its labels */
  fill(shard: number, partition: Uint8Array): void {
    const { from, to } = this.#plan.partition(shard);
    const images = this.#imagesFrom(from, to);
    invariant(partition.length === images.length + (to - from), `partition ${shard} holds ${to - from} samples`);
    images.set(partition.subarray(0, images.length));
    this.#trainLabels.set(partition.subarray(images.length), from);
  }

  /**
   * Does up to {@link MAX_STEPS} consecutive steps, over all shards. When a thread dies on the way, the step that it left
   * unfinished is done again; none is lost and none counts twice.
   * @param clipNorm upper bound for the norm of the gradient, or undefined
   * @returns the sums of each step, in order
   */
  async step(steps: readonly StepPlan[], clipNorm: number | undefined): Promise<StepSums[]> {
    const all = { from: 0, to: this.#plan.numShards };
    const parts = this.#reserveParts(all);
    const partials = parts.flat();
    try {
      return await this.#steps(steps, clipNorm, partials, parts);
    } finally {
      this.release(partials);
    }
  }

  /**
   * Computes the gradients of some shards at one step, from the parameters before it. Calls must not overlap.
   * @param combined whether to add them up to the fewest nodes; else each thread's sums stand by themselves
   * @returns partial sums that cover the shards, ascending by shard, to be given back by {@link release}; undefined when
   *   it was cancelled
   */
  async gradient(step: StepPosition, range: Range, combined: boolean): Promise<PartialSum[] | undefined> {
    const parts = this.#reserveParts(range);
    const partials = parts.flat();
    this.#barrier.reset();
    const tasks = parts.map((own, index): TaskOf<'gradient'> => {
      const share = { index, partials: own };
      return { kind: 'gradient', share, step, loads: this.#loads };
    });
    const busy = tasks.filter(({ share }) => share.partials.length > 0);
    try {
      await this.#threads.within('gradient', this.#threads.retrying(busy));
    } catch (error) {
      this.release(partials);
      if (this.#barrier.cancelled) return undefined;
      throw error;
    }
    return combined ? this.#combine(step, partials, range) : partials;
  }

  /** Lets a call of {@link gradient} that is under way end before it is complete. */
  cancel(): void {
    this.#barrier.cancel();
  }

  /**
   * Makes room for the partial sum of a node from outside, which comes by {@link accept}.
   * @returns undefined when there is none
   */
  expect(node: number): PartialSum | undefined {
    const at = this.#free.pop();
    return at === undefined ? undefined : { node, at };
  }

  /** Takes a slice of a partial sum. @param bytes as {@link packed} gives them */
  accept({ at }: PartialSum, bytes: Uint8Array, wire: WireFormat, slice = this.#sums): void {
    this.#vectors.unpack(at, bytes, wire, slice);
  }

  /**
   * Takes sums from outside that stand for several nodes at once: all of it at the first, nothing at the others.
   * @returns undefined when there is no room for them
   */
  acceptSparse(nodes: readonly number[], sums: SparseSums): PartialSum[] | undefined {
    if (this.#free.length < nodes.length) return undefined;
    const nothing = { indices: sums.indices.subarray(0, 0), values: sums.values.subarray(0, 0), tail: [] };
    return nodes.map((node, i) => {
      const at = this.#reserve();
      this.#vectors.scatter(at, i === 0 ? sums : nothing, this.#network.layout.sumLength);
      return { node, at };
    });
  }

  /** A slice of a partial sum's vector as it travels; as float32 it is a view into the shared memory. */
  packed({ at }: PartialSum, wire: WireFormat, slice = this.#sums): Uint8Array {
    return this.#vectors.pack(at, wire, slice);
  }

  /**
   * What has to be sent to those who have the parameters before step `runStep - 1`; valid until the next update.
   * Only where the job keeps a reference.
   */
  packedChange(wire: WireFormat, slice = this.#parameters): Uint8Array {
    const { change } = this.#shared;
    invariant(change !== undefined, 'the job keeps a reference');
    return this.#vectors.pack(change, wire, slice);
  }

  /**
   * Computes a slice of the parameters before step `runStep` from those before the step before it.
   * @param bytes from {@link packedChange}
   */
  change(runStep: number, bytes: Uint8Array, wire: WireFormat, slice = this.#parameters): void {
    const { parameters } = this.#shared.state[runStep % 2]!;
    const before = this.#shared.state[(runStep + 1) % 2]!.parameters;
    const change = this.#reserve();
    this.#vectors.applyChange(parameters, before, change, bytes, wire, slice);
    this.#free.push(change);
    this.#loads++;
  }

  /** Whether a slice of a partial sum is free of NaN and infinities. */
  isFinite({ at }: PartialSum, { from, to } = this.#sums): boolean {
    return this.#kernels.allFinite(at + from * 4, to - from) === 1;
  }

  release(partials: readonly PartialSum[]): void {
    for (const { at } of partials) this.#free.push(at);
  }

  /**
   * Completes a step whose gradients are there: the sum along the tree, and the optimizer's update.
   * @param partials cover every shard once
   * @param from the first element that {@link updateSlice} has not done
   */
  async update(
    step: StepPlan,
    partials: readonly PartialSum[],
    clipNorm: number | undefined,
    from = 0,
  ): Promise<StepSums> {
    const ordered = this.#inOrder(partials);
    if (from > 0 || this.#isQuick(ordered.length)) {
      return this.#updateHere(this.#updater ?? (await this.#openUpdater()), step, ordered, clipNorm, from);
    }
    const [sums] = await this.#steps([step], clipNorm, ordered, undefined);
    return sums!;
  }

  /** Whether {@link updateSlice} is possible: not where an update needs the whole gradient first. */
  canUpdateSlices(clipNorm: number | undefined): boolean {
    return clipNorm === undefined && this.#shared.matrixScratch.length === 0;
  }

  /**
   * Does a slice of a step's update as soon as the same slice of all partial sums is there, where {@link canUpdateSlices}. What it
   * changes counts once {@link update} has done the rest, and may be done again, from the beginning, until then.
   * @param partials cover every shard once @param slice begins where the one before it ended, and does not reach the end
   * @returns whether it was done; the first times nothing is ready for it
   */
  updateSlice(step: StepPlan, partials: readonly PartialSum[], slice: Range): boolean {
    if (!this.#updater) {
      // In time for one of the next. What keeps it from opening is told by the next update.
      this.#openUpdater().catch(() => {});
      return false;
    }
    const share = { index: 0, numShares: 1, slice };
    for (const _ of this.#updater.update(step, share, this.#inOrder(partials), 0, undefined));
    return true;
  }

  /** Ascending by shard. */
  #inOrder(partials: readonly PartialSum[]): PartialSum[] {
    const first = ({ node }: PartialSum): number => shardsUnder(node, this.#plan.numShards).from;
    return [...partials].sort((a, b) => first(a) - first(b));
  }

  /** Whether it is not worth calling threads for an update. */
  #isQuick(numPartials: number): boolean {
    const { matrixScratch } = this.#shared;
    return (
      matrixScratch.length === 0 && (numPartials + UPDATE_VALUES) * this.#network.layout.sumLength <= MAX_OWN_UPDATE
    );
  }

  #openUpdater(): Promise<Updater> {
    const setup = { job: this.#job, layout: this.#shared, memory: this.#memory };
    this.#openingUpdater ??= openLoops(setup).then((loops) => {
      this.#updater = new Updater(setup, this.#network, loops);
      return this.#updater;
    });
    return this.#openingUpdater;
  }

  #updateHere(
    updater: Updater,
    step: StepPlan,
    partials: readonly PartialSum[],
    clipNorm: number | undefined,
    from: number,
  ): StepSums {
    const share = { index: 0, numShares: 1, slice: { from, to: this.#network.layout.sumLength } };
    const started = performance.timeOrigin + performance.now();
    for (const _ of updater.update(step, share, partials, 0, clipNorm));
    const ended = performance.timeOrigin + performance.now();
    for (const block of this.#markBlocks()) {
      for (const moment of ['started', 'computed', 'gathered'] as const) block[MARKS[moment]] = started;
      block[MARKS.ended] = ended;
    }
    this.#numMarked = 1;
    return this.#sumsAt(this.#shared.tails[0]!);
  }

  /**
   * What the latest call of {@link step} or {@link update} took.
   * @returns per step, per thread; nothing when a step had to be done again
   */
  marks(numSteps: number): StepMarks[][] {
    if (this.#numMarked !== numSteps) return [];
    const blocks = this.#markBlocks();
    return Array.from({ length: numSteps }, (_, step) =>
      blocks.map((block): StepMarks => {
        const mark = (moment: keyof typeof MARKS): number => block[step * NUM_MARKS + MARKS[moment]]!;
        return {
          started: mark('started'),
          computed: mark('computed'),
          gathered: mark('gathered'),
          ended: mark('ended'),
        };
      }),
    );
  }

  /** Of each thread. */
  #markBlocks(): Float64Array[] {
    return this.#shared.marks.map((at) => new Float64Array(this.#memory.buffer, at, MAX_STEPS * NUM_MARKS));
  }

  /**
   * Loss and predictions of {@link result} on the samples of a split, in their order.
   * @param plain on pictures as they are, whatever views the job takes the mean over
   */
  async evaluate(
    runStep: number,
    split: EvaluatedSplit = 'test',
    plain = false,
  ): Promise<Evaluation & { readonly count: number }> {
    const tasks: TaskOf<'evaluate'>[] = [];
    const vector = this.#shared.state[0].average === undefined ? 'parameters' : 'average';
    const version = { runStep, loads: this.#loads, vector } as const;
    const count = this.#counts[split];
    for (let from = 0; from < count; from += EVALUATION_CHUNK) {
      tasks.push({ kind: 'evaluate', version, split, plain, from, to: Math.min(from + EVALUATION_CHUNK, count) });
    }
    const results = await this.#threads.within('evaluate', this.#threads.retrying(tasks));
    return {
      lossSum: results.reduce((sum, { lossSum }) => sum + lossSum, 0),
      numCorrect: results.reduce((sum, { numCorrect }) => sum + numCorrect, 0),
      predictions: Uint8Array.from(results.flatMap(({ predictions }) => [...predictions])),
      count,
    };
  }

  /** Takes a slice of the parameters before step `runStep` from outside. @param bytes float32 @param from its first element */
  load(runStep: number, bytes: Uint8Array, from = 0): void {
    const { buffer, byteOffset } = this.parameters(runStep).subarray(from);
    new Uint8Array(buffer, byteOffset, bytes.length).set(bytes);
    this.#loads++;
  }

  /** The flat parameter vector before step `runStep` of the run: a view into the shared memory, valid until the step after it. */
  parameters(runStep: number): Float32Array {
    return this.#view(this.#shared.state[runStep % 2]!.parameters, this.#network.layout.numParameters);
  }

  /** The moving average of {@link parameters}, valid as long as they are; undefined when the job has none. */
  average(runStep: number): Float32Array | undefined {
    const at = this.#shared.state[runStep % 2]!.average;
    return at === undefined ? undefined : this.#view(at, this.#network.layout.numParameters);
  }

  /** The parameters as all workers have them, where they are sent rounded changes: valid as long as {@link parameters}. */
  reference(runStep: number): Float32Array | undefined {
    const at = this.#shared.state[runStep % 2]!.reference;
    return at === undefined ? undefined : this.#view(at, this.#network.layout.numParameters);
  }

  /** What the run has trained so far: the moving average where there is one, else the parameters themselves. */
  result(runStep: number): Float32Array {
    return this.average(runStep) ?? this.parameters(runStep);
  }

  /** The optimizer's state vectors before step `runStep`; valid as long as {@link parameters}. */
  optimizerState(runStep: number): Float32Array[] {
    return this.#shared.state[runStep % 2]!.slots.map((at) => this.#view(at, this.#network.layout.numWeights));
  }

  /** Ends all threads; see {@link Threads.close}. */
  async close(): Promise<void> {
    this.#barrier.stop();
    await this.#threads.close();
  }

  #view(at: number, length: number): Float32Array {
    return new Float32Array(this.#memory.buffer, at, length);
  }

  #sumsAt(at: number): StepSums {
    const { sumLength, numParameters } = this.#network.layout;
    const [lossSum, numCorrect, count] = this.#view(at, sumLength - numParameters);
    return { lossSum: lossSum!, numCorrect: numCorrect!, count: count! };
  }

  #reserve(): number {
    const at = this.#free.pop();
    invariant(at !== undefined, 'there is room for a partial sum per shard');
    return at;
  }

  /** Divides shards among the threads, and reserves places for their partial sums. */
  #reserveParts(range: Range): PartialSum[][] {
    return divideRange(range, this.numThreads).map((part) =>
      coveringNodes(part, this.#plan.numShards).map((node) => ({ node, at: this.#reserve() })),
    );
  }

  /** Adds partial sums up to the fewest nodes that cover the same shards. */
  async #combine(step: StepPosition, partials: readonly PartialSum[], range: Range): Promise<PartialSum[]> {
    const combinations: Combination[] = [];
    const result = coveringNodes(range, this.#plan.numShards).map((node): PartialSum => {
      const sources = sumsUnder(partials, node, this.#plan.numShards);
      if (sources.length === 1) return sources[0]!;
      const combination = { node, at: this.#reserve(), sources };
      combinations.push(combination);
      return { node, at: combination.at };
    });
    if (combinations.length > 0) {
      const tasks = this.#slices.map((slice, index): TaskOf<'combine'> => {
        return { kind: 'combine', share: { index, slice }, step, combinations };
      });
      try {
        await this.#threads.within('combine', this.#threads.retrying(tasks));
      } catch (error) {
        this.release([...partials, ...combinations]);
        throw error;
      }
    }
    this.release(combinations.flatMap(({ sources }) => sources));
    return result;
  }

  /**
   * Steps, again and again until all are done.
   * @param parts the partial sums that each thread computes; undefined when they are there already
   */
  async #steps(
    steps: readonly StepPlan[],
    clipNorm: number | undefined,
    partials: readonly PartialSum[],
    parts: readonly (readonly PartialSum[])[] | undefined,
  ): Promise<StepSums[]> {
    const shares = this.#slices.map((slice, index): Share => {
      return { index, numShares: this.numThreads, partials: parts?.[index] ?? [], slice };
    });
    const sums: StepSums[] = [];
    for (let attempt = 1; sums.length < steps.length; attempt++) {
      const rest = steps.slice(sums.length, sums.length + MAX_STEPS);
      const task = { kind: 'steps', partials, steps: rest, loads: this.#loads, clipNorm } as const;
      const failure = await this.#threads.within('steps', this.#attempt(task, shares));
      const { committed } = this.#barrier;
      this.#numMarked = committed;
      for (const at of this.#shared.tails.slice(0, committed)) sums.push(this.#sumsAt(at));
      if (failure === undefined) {
        attempt = 0;
        continue;
      }
      if (committed > 0) attempt = 1;
      if (attempt >= MAX_ATTEMPTS) throw gaveUp(failure);
      this.#onRecovery?.(`A thread failed (${failure.message}); its step is done again`);
    }
    return sums;
  }

  /** Lets all threads do their shares of some steps. Returns the first failure; the barrier knows how far they came. */
  async #attempt(task: Omit<TaskOf<'steps'>, 'share'>, shares: readonly Share[]): Promise<Error | undefined> {
    this.#barrier.reset();
    let failure: Error | undefined;
    await Promise.all(
      shares.map(async (share) => {
        try {
          await this.#threads.run<'steps'>({ ...task, share });
        } catch (error) {
          failure ??= error as Error;
          this.#barrier.stop();
        }
      }),
    );
    return failure;
  }
}

/** Divides a sum vector among threads, in whole blocks. */
function divideVector(length: number, numThreads: number): Range[] {
  const blocks = divideRange({ from: 0, to: Math.ceil(length / BLOCK_LENGTH) }, numThreads);
  const end = (block: number): number => Math.min(block * BLOCK_LENGTH, length);
  return blocks.map(({ from, to }) => ({ from: end(from), to: end(to) }));
}
