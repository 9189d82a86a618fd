/**
 * What a pool and its threads share: the job's settings, and one memory that holds the weights, the optimizer's state
 * and the partial sums, so that nothing large travels in messages.
 */
import {
  type Augmentation,
  BLOCK_LENGTH,
  matricesOf,
  matrixScratch,
  numOptimizerSlots,
  type OptimizerConfig,
  type Range,
  Region,
  ShardPlan,
  type StatePointers,
} from '@lockstep/core';
import { type EngineKind, type Network, numElements, type Views } from '@lockstep/engine';
import { CONTROL_BYTES } from './barrier.ts';
import type { Fault } from './faults.ts';

/** The most steps that threads do before they report. */
export const MAX_STEPS = 64;

/** Moments of a step, as each thread notes them: places in a block of doubles. */
export const MARKS = { started: 0, computed: 1, gathered: 2, ended: 3 } as const;
export const NUM_MARKS = 4;

/** Room for partial sums is reserved up to this many bytes; the system lends it when it is used. */
const MAX_PARTIAL_BYTES = 3 * 2 ** 29;

/** Pictures and labels over shared memory. */
export interface SharedSplit {
  readonly images: Uint8Array;
  readonly labels: Uint8Array;
  readonly count: number;
}

/** Everything that determines the result of a run, given the data. */
export interface Job {
  /** Keras topology. */
  readonly topology: unknown;
  readonly engine: EngineKind;
  /** What the engine runs on, as `chooseEngine` found it. */
  readonly device: string;
  readonly labelSmoothing: number;
  /** Of the training pictures. */
  readonly augmentation: Augmentation | undefined;
  /** `fast`: a thread computes all shards under a node as one micro-batch, so the last bits depend on who computes what. */
  readonly reduction: 'exact' | 'fast';
  readonly optimizer: OptimizerConfig;
  /** Decay of the moving average of the parameters that is the result, below 1; 0 for none. */
  readonly ema: number;
  /** Evaluation takes the mean over these views of each picture. */
  readonly views: Views;
  readonly seed: number;
  /** Training samples used, from the first on. */
  readonly numSamples: number;
  readonly numShards: number;
  readonly batchSize: number;
  /** Whether to keep the parameters as workers have them that are sent rounded changes; see StatePointers. */
  readonly keepsReference: boolean;
}

/** Byte offsets into the shared memory. */
export interface SharedLayout {
  /** Parameters, optimizer state and the parameters' moving average, twice: an update at step s reads generation s % 2 and writes the other. */
  readonly state: readonly [StatePointers, StatePointers];
  /** Partial sums: sum vectors, each for one node of the reduction tree at a time. */
  readonly partials: readonly number[];
  /** Training pictures, so that the SIMD loops reach them. */
  readonly images: number;
  /** Per share of the work, room for one micro-batch: its samples' indices and their pictures. */
  readonly staging: readonly { readonly indices: number; readonly images: number }[];
  /** Sum vector of the whole step; used when the gradient must be known whole before the update: for clipping, and for matrices. */
  readonly sum: number;
  /** Per slice of an update, room for the registers of a reduction. */
  readonly scratch: readonly number[];
  /** Per matrix that the optimizer updates as a whole, room to compute its direction. */
  readonly matrixScratch: readonly number[];
  /** The rounded change of the weights in the latest update, and the statistics after it; undefined without a reference. */
  readonly change: number | undefined;
  /** Room for one packed vector. */
  readonly packed: number;
  /** Sums of squares, one double per block of the gradient, for clipping. */
  readonly squares: number;
  /** Per step of a batch: loss sum, number correct and count. */
  readonly tails: readonly number[];
  /** Per share, its thread's moments of each step of a batch; see MARKS. */
  readonly marks: readonly number[];
  /** Control block of the threads' barrier. */
  readonly control: number;
}

/** What it takes to compute with a pool's memory. */
export interface PoolSetup {
  readonly job: Job;
  readonly memory: WebAssembly.Memory;
  readonly layout: SharedLayout;
}

/** Handed to every thread when it starts. */
export interface ThreadSetup extends PoolSetup {
  /** [numSamples], over shared memory. */
  readonly trainLabels: Uint8Array;
  readonly test: SharedSplit;
  readonly validation: SharedSplit | undefined;
  readonly faults: readonly Fault[];
}

/** Divides the shards into contiguous ranges, as even as can be, one per engine; some are empty when there are more engines. */
export function divideRange({ from, to }: Range, parts: number): Range[] {
  const cut = (i: number): number => from + Math.floor(((to - from) * i) / parts);
  return Array.from({ length: parts }, (_, i) => ({ from: cut(i), to: cut(i + 1) }));
}

/**
 * A whole step, and once more what the local threads compute again while others answer too, as nodes of single shards; and
 * the sums that combine them.
 */
function numPartials(numShards: number, sumLength: number): number {
  const wanted = 2 * numShards + 2 * Math.ceil(Math.log2(numShards) + 1);
  return Math.min(wanted, Math.ceil(MAX_PARTIAL_BYTES / (sumLength * Float32Array.BYTES_PER_ELEMENT)));
}

/** Samples that an engine is given as one micro-batch, at most. */
export function largestBatch({ reduction, numSamples, numShards, batchSize }: Job): number {
  if (reduction === 'exact') return new ShardPlan(numSamples, numShards, batchSize).maxMicroBatchSize;
  return Math.min(batchSize, numSamples);
}

/** Reserves the shared memory of a pool of `numThreads` engines. */
export function allocateShared(
  { layout, inputShape }: Network,
  job: Job,
  numThreads: number,
): { memory: WebAssembly.Memory; layout: SharedLayout } {
  const { optimizer, ema, numShards, keepsReference } = job;
  const maxBatchSize = largestBatch(job);
  const sampleSize = numElements(inputShape);
  const region = new Region();
  const vectors = (count: number, length: number): number[] =>
    Array.from({ length: count }, () => region.floats(length));
  const state = (): StatePointers => ({
    parameters: region.floats(layout.numParameters),
    slots: vectors(numOptimizerSlots(optimizer.name), layout.numWeights),
    average: ema > 0 ? region.floats(layout.numParameters) : undefined,
    reference: keepsReference ? region.floats(layout.numParameters) : undefined,
  });
  const numRegisters = Math.log2(numShards) + 1;
  const shared: SharedLayout = {
    state: [state(), state()],
    partials: vectors(numPartials(numShards, layout.sumLength), layout.sumLength),
    images: region.bytes(job.numSamples * sampleSize),
    staging: Array.from({ length: numThreads }, () => ({
      indices: region.bytes(maxBatchSize * Uint32Array.BYTES_PER_ELEMENT),
      images: region.bytes(maxBatchSize * sampleSize),
    })),
    sum: region.floats(layout.sumLength),
    scratch: vectors(numThreads, numRegisters * BLOCK_LENGTH),
    matrixScratch: matricesOf(optimizer, layout).map((matrix) => region.floats(matrixScratch(matrix))),
    change: keepsReference ? region.floats(layout.numParameters) : undefined,
    packed: region.floats(layout.sumLength),
    squares: region.bytes(Math.ceil(layout.numWeights / BLOCK_LENGTH) * 8),
    tails: vectors(MAX_STEPS, layout.sumLength - layout.numParameters),
    marks: Array.from({ length: numThreads }, () =>
      region.bytes(MAX_STEPS * NUM_MARKS * Float64Array.BYTES_PER_ELEMENT),
    ),
    control: region.bytes(CONTROL_BYTES),
  };
  return { memory: region.allocate('shared'), layout: shared };
}
