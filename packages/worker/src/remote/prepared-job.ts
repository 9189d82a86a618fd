/** A job with engines that work and a pool that holds what the disk had; kept over connections until another job comes. */
import { optimizerDefaults } from '@lockstep/core';
import { chooseEngine, type EngineChoice } from '@lockstep/engine';
import type { WorkerPool } from '../pool.ts';
import type { PartitionCache } from './cache.ts';
import { partitionBytes, type RemoteJob } from './job.ts';
import type { JoinConfig } from './options.ts';
import type { JoinSettings } from './settings.ts';

export interface PreparedJob {
  readonly job: RemoteJob;
  readonly engine: EngineChoice;
  readonly pool: WorkerPool;
  /** Shards whose partitions the pool holds. */
  readonly held: Set<number>;
}

export interface KeeperOptions {
  readonly config: JoinConfig;
  readonly settings: JoinSettings;
  readonly cache: PartitionCache;
  readonly onRecovery: (reason: string) => void;
  readonly signal: AbortSignal;
}

export class JobKeeper {
  readonly #options: KeeperOptions;
  #current: { readonly hash: string; readonly prepared: Promise<PreparedJob> } | undefined;

  constructor(options: KeeperOptions) {
    this.#options = options;
  }

  /** The same pool for the same job; else the one before is closed first, since both may not fit into memory. */
  prepare(job: RemoteJob): Promise<PreparedJob> {
    if (this.#current?.hash === job.hash) return this.#current.prepared;
    const prepared = this.close().then(() => prepare(job, this.#options));
    this.#current = { hash: job.hash, prepared };
    return prepared;
  }

  /** Waits for a preparation that is under way: engines cannot be closed while they open. */
  async close(): Promise<void> {
    const current = this.#current;
    this.#current = undefined;
    const prepared = await current?.prepared.catch(() => undefined);
    await prepared?.pool.close();
  }
}

async function prepare(job: RemoteJob, options: KeeperOptions): Promise<PreparedJob> {
  const { config, settings, cache, onRecovery, signal } = options;
  const { network, labelSmoothing, augmentation, topology, seed, numSamples, numShards, batchSize } = job;
  const engine = await chooseEngine(config.engine, config.device, { network, labelSmoothing });
  signal.throwIfAborted();
  const nothing = new Uint8Array(new SharedArrayBuffer(0));
  const pool = settings.createPool({
    // The coordinator updates the parameters; no optimizer is used here.
    job: {
      topology,
      labelSmoothing,
      augmentation,
      seed,
      numSamples,
      numShards,
      batchSize,
      engine: engine.kind,
      optimizer: optimizerDefaults.sgd,
      ema: 0,
      testFlip: false,
    },
    network,
    train: undefined,
    test: { images: nothing, labels: nothing, count: 0 },
    numThreads: config.numThreads,
    onRecovery,
  });
  try {
    await pool.prepare();
    const held = new Set<number>();
    for (const [shard, digest] of job.partitions.entries()) {
      signal.throwIfAborted();
      const partition = await cache.read(digest);
      if (partition?.length !== partitionBytes(job, shard)) continue;
      pool.fill(shard, partition);
      held.add(shard);
    }
    return { job, engine, pool, held };
  } catch (error) {
    await pool.close();
    throw error;
  }
}
