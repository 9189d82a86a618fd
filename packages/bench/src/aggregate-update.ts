/** The coordinator's sum and update by themselves: the real pool, with partial sums as workers would have sent them. */
import { coveringNodes, invariant, optimizerDefaults } from '@lockstep/core';
import { type Network, PLAIN_VIEW, parseTopology } from '@lockstep/engine';
import { defaultNumThreads, type PartialSum, WorkerPool } from '@lockstep/worker';
import { throwIfInterrupted } from './within.ts';

/** State vectors of Adam: mean and variance of the gradient. */
const STATE_VECTORS = 2;
/** Pictures, of which there must be some: none is looked at. */
const NUM_SAMPLES = 4096;
const PICTURE_BYTES = 784;

/** Shards for so many workers, and each worker's nodes of the reduction tree. */
export function nodesOf(workers: number): {
  readonly numShards: number;
  readonly nodes: readonly (readonly number[])[];
} {
  const numShards = Math.max(8, 2 ** Math.ceil(Math.log2(workers)));
  const cut = (i: number): number => Math.floor((numShards * i) / workers);
  const nodes = Array.from({ length: workers }, (_, i) => coveringNodes({ from: cut(i), to: cut(i + 1) }, numShards));
  return { numShards, nodes };
}

/**
 * Bytes that an update must at least move: each partial sum is read, parameters and optimizer state are read and written.
 */
function updateBytes(numParameters: number, numPartialSums: number): number {
  return (numPartialSums + 2 * (1 + STATE_VECTORS)) * numParameters * Float32Array.BYTES_PER_ELEMENT;
}

/** A pool that is ready to sum and update. */
export interface OpenUpdate {
  readonly numThreads: number;
  /** Read and written by one update. */
  readonly bytes: number;
  /** Updates for so long, at least once. Returns milliseconds per update. */
  block(seconds: number, signal: AbortSignal | undefined): Promise<number>;
  close(): Promise<void>;
}

/** @param workers each of which sent the partial sums of its shards */
export function openUpdate(topology: unknown, workers: number): OpenUpdate {
  const network = parseTopology(topology);
  const { numShards, nodes } = nodesOf(workers);
  const numThreads = defaultNumThreads();
  const pool = openPool(topology, network, numShards, numThreads);
  const partials = nodes.flat().map((node) => partialSum(pool, network, node));
  let runStep = 0;
  return {
    numThreads,
    bytes: updateBytes(network.layout.numParameters, partials.length),
    async block(seconds, signal) {
      const started = performance.now();
      let count = 0;
      do {
        throwIfInterrupted(signal);
        const plan = { epoch: 0, step: runStep, runStep, wire: 'fp32', count: numShards, learningRate: 1e-6 } as const;
        await pool.update(plan, partials, undefined);
        runStep++;
        count++;
      } while (performance.now() - started < seconds * 1000);
      return (performance.now() - started) / count;
    },
    close: () => pool.close(),
  };
}

function openPool(topology: unknown, network: Network, numShards: number, numThreads: number): WorkerPool {
  const labels = new Uint8Array(new SharedArrayBuffer(NUM_SAMPLES));
  const test = { images: new Uint8Array(new SharedArrayBuffer(PICTURE_BYTES)), labels, count: 1 };
  const job = {
    topology,
    engine: 'onnx',
    device: 'cpu',
    labelSmoothing: 0,
    augmentation: undefined,
    optimizer: optimizerDefaults.adam,
    ema: 0,
    views: PLAIN_VIEW,
    keepsReference: false,
    reduction: 'exact',
    seed: 0,
    numSamples: NUM_SAMPLES,
    numShards,
    batchSize: numShards,
  } as const;
  return new WorkerPool({ job, network, train: undefined, test, numThreads, onRecovery: undefined });
}

/** Puts a partial sum of ordinary numbers where one that arrived would be. */
function partialSum(pool: WorkerPool, { layout }: Network, node: number): PartialSum {
  const sums = new Float32Array(layout.sumLength).fill(1e-3);
  sums[layout.countIndex] = 1;
  const partial = pool.expect(node);
  invariant(partial, 'a new pool has room for a partial sum of every shard');
  pool.accept(partial, new Uint8Array(sums.buffer), 'fp32');
  return partial;
}
