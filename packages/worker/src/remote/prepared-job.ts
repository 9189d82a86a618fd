/** A job with engines that work and a pool that holds what the store had; kept over connections until another job comes. */
import { partitionBytes, type RemoteJob } from './job.ts';
import type { OpenedPool, OpenPool, PartitionStore } from './roles.ts';

export interface PreparedJob extends OpenedPool {
  readonly job: RemoteJob;
  /** Shards whose partitions the pool holds. */
  readonly held: Set<number>;
}

export interface KeeperOptions {
  readonly openPool: OpenPool;
  readonly store: PartitionStore;
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

async function prepare(job: RemoteJob, { openPool, store, signal }: KeeperOptions): Promise<PreparedJob> {
  const opened = await openPool(job, signal);
  const { pool } = opened;
  try {
    const held = new Set<number>();
    for (const [shard, digest] of job.partitions.entries()) {
      signal.throwIfAborted();
      const partition = await store.read(digest);
      if (partition?.length !== partitionBytes(job, shard)) continue;
      pool.fill(shard, partition);
      held.add(shard);
    }
    return { job, ...opened, held };
  } catch (error) {
    await pool.close();
    throw error;
  }
}
