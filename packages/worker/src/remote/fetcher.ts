/** Gets the partitions that a worker lacks, from the store or from the coordinator, one request at a time. */
import { LockstepError } from '@lockstep/core';
import { FrameError, type JoinEvent } from '@lockstep/protocol';
import type { Connection, Incoming } from './connection.ts';
import { partitionBytes, type RemoteJob } from './job.ts';
import { Mailbox } from './mailbox.ts';
import type { PreparedJob } from './prepared-job.ts';
import type { PartitionStore, PartWriter } from './roles.ts';

/** A partition whose checksum is wrong is fetched once more. */
const MAX_TRIES = 2;

export interface FetcherOptions {
  readonly job: RemoteJob;
  readonly connection: Connection;
  readonly store: PartitionStore;
  /** From a request to its answer. */
  readonly partMs: number;
  readonly emit: (event: JoinEvent) => void;
}

interface Request {
  readonly digest: string;
  readonly offset: number;
  readonly total: number;
  /** Undefined: there will be no answer. */
  readonly answer: (payload: Uint8Array | undefined) => void;
}

export class Fetcher {
  readonly #options: FetcherOptions;
  readonly #queue = new Mailbox<number>();
  /** Shards in the queue, and the one that is fetched. */
  readonly #wanted = new Set<number>();
  readonly #held = new Set<number>();
  /** Called whenever a partition has come. */
  readonly #waiters = new Set<() => void>();
  #request: Request | undefined;
  #state: 'open' | 'stopped' = 'open';
  #running: Promise<void> = Promise.resolve();
  /** Bytes of what is wanted, and of that what is there. */
  #totalBytes = 0;
  #doneBytes = 0;

  constructor(options: FetcherOptions) {
    this.#options = options;
  }

  /** @returns rejects when a partition cannot be had; ends with {@link stop} */
  start(prepared: PreparedJob): Promise<void> {
    for (const shard of prepared.held) this.#held.add(shard);
    this.#running = this.#run(prepared);
    return this.#running;
  }

  /** Fetches what of it is not there, some time. */
  want(shards: readonly number[]): void {
    for (const shard of shards) {
      if (this.#wanted.has(shard) || this.#held.has(shard)) continue;
      this.#wanted.add(shard);
      this.#totalBytes += partitionBytes(this.#options.job, shard);
      this.#queue.push(shard);
    }
  }

  /** Fetches what of it is not there, before anything else. Resolves when all are there, or `signal` is aborted. */
  need(shards: readonly number[], signal: AbortSignal): Promise<void> {
    this.want(shards);
    this.#queue.pushFirst(...this.#queue.remove((shard) => shards.includes(shard)));
    return new Promise((resolve) => {
      const check = (): void => {
        if (!signal.aborted && !shards.every((shard) => this.#held.has(shard))) return;
        this.#waiters.delete(check);
        signal.removeEventListener('abort', check);
        resolve();
      };
      this.#waiters.add(check);
      signal.addEventListener('abort', check);
      check();
    });
  }

  /** Takes a part that the coordinator sent. @throws FrameError when it is not what was asked for */
  part(message: Extract<Incoming, { type: 'part' }>, payload: Uint8Array): void {
    const request = this.#request;
    if (!request || request.digest !== message.digest || request.offset !== message.offset) {
      throw new FrameError('a part that nobody asked for');
    }
    if (message.total !== request.total) {
      throw new FrameError(`a partition of ${message.total} bytes in place of ${request.total}`);
    }
    if (payload.length === 0 || request.offset + payload.length > request.total) {
      throw new FrameError(`a part of ${payload.length} bytes at ${request.offset} of ${request.total}`);
    }
    request.answer(payload);
  }

  async stop(): Promise<void> {
    this.#state = 'stopped';
    this.#queue.end('discard');
    this.#request?.answer(undefined);
    // Its failure goes to whoever called start.
    await this.#running.catch(() => {});
  }

  async #run(prepared: PreparedJob): Promise<void> {
    for await (const shard of this.#queue) {
      if (!this.#held.has(shard)) {
        const partition = await this.#obtain(shard);
        if (!partition) return;
        prepared.pool.fill(shard, partition);
        prepared.held.add(shard);
        this.#held.add(shard);
        void this.#options.connection.send({ type: 'holds', shards: [shard] });
      }
      this.#wanted.delete(shard);
      this.#doneBytes += partitionBytes(this.#options.job, shard);
      this.#progress(shard, 0);
      if (this.#wanted.size === 0) {
        this.#totalBytes = 0;
        this.#doneBytes = 0;
      }
      for (const check of this.#waiters) check();
    }
  }

  #progress(shard: number, partialBytes: number): void {
    const doneBytes = this.#doneBytes + partialBytes;
    this.#options.emit({ event: 'fetching', shard, doneBytes, totalBytes: this.#totalBytes });
  }

  /** Undefined when the connection ended before. */
  async #obtain(shard: number): Promise<Uint8Array | undefined> {
    const { job, store } = this.#options;
    const digest = job.partitions[shard]!;
    const total = partitionBytes(job, shard);
    // Another worker of this machine may have fetched it meanwhile.
    const cached = await store.read(digest);
    if (cached?.length === total) return cached;
    for (let tries = 1; tries <= MAX_TRIES; tries++) {
      const part = await store.begin(digest, tries === 1 ? 'resume' : 'fresh');
      try {
        if (!(await this.#fill(part, shard, digest, total))) return undefined;
        const partition = await part.finish();
        if (partition) return partition;
      } finally {
        await part.release();
      }
    }
    throw new LockstepError(
      'worker-failed',
      `The data of shard ${shard} came ${MAX_TRIES} times with another SHA-256 than ${digest}.`,
      'Look for a proxy that changes what it passes on, or start the coordinator again.',
    );
  }

  /** Receives what is missing. Returns false when the connection ended before. */
  async #fill(part: PartWriter, shard: number, digest: string, total: number): Promise<boolean> {
    while (part.size < total) {
      this.#progress(shard, part.size);
      const payload = await this.#ask(digest, part.size, total);
      if (!payload) return false;
      await part.append(payload);
    }
    return true;
  }

  async #ask(digest: string, offset: number, total: number): Promise<Uint8Array | undefined> {
    const { connection, partMs } = this.#options;
    if (this.#state === 'stopped') return undefined;
    return new Promise((resolve) => {
      const deadline = setTimeout(() => {
        connection.cut(`the coordinator sent no part of a partition for ${partMs / 1000} s`);
      }, partMs);
      const answer = (payload: Uint8Array | undefined): void => {
        clearTimeout(deadline);
        this.#request = undefined;
        resolve(payload);
      };
      this.#request = { digest, offset, total, answer };
      void connection.send({ type: 'fetch', digest, offset });
    });
  }
}
