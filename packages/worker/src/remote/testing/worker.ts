/** A worker under test: `join()` running in the background, its events, and deadlines short enough for a test. */
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join as joinPath } from 'node:path';
import type { LockstepError } from '@lockstep/core';
import type { JoinEvent } from '@lockstep/protocol';
import { type PoolOptions, WorkerPool } from '../../pool.ts';
import { join } from '../join.ts';
import type { JoinOptions } from '../options.ts';
import { type JoinSettings, SETTINGS } from '../settings.ts';

/** Pauses are short; what a busy machine must manage has time. */
const QUICK: JoinSettings = { ...SETTINGS, closeMs: 300, firstPauseMs: 1, longestPauseMs: 20 };

export const temporaryFolder = (): string => mkdtempSync(joinPath(tmpdir(), 'lockstep-worker-'));

type EventOf<Name extends JoinEvent['event']> = Extract<JoinEvent, { event: Name }>;

export interface TestWorkerOptions {
  readonly options?: Partial<JoinOptions>;
  readonly settings?: Partial<JoinSettings>;
  readonly Pool?: new (options: PoolOptions) => WorkerPool;
}

export class TestWorker {
  readonly events: JoinEvent[] = [];
  /** Pools that were made, in order. */
  readonly pools: WorkerPool[] = [];
  /** How it ended: undefined when the run was over. */
  readonly ended: Promise<LockstepError | undefined>;
  readonly #abort = new AbortController();
  readonly #waiting: (() => void)[] = [];

  constructor(url: string, { options = {}, settings = {}, Pool = WorkerPool }: TestWorkerOptions = {}) {
    const createPool = (poolOptions: PoolOptions): WorkerPool => {
      const pool = new Pool(poolOptions);
      this.pools.push(pool);
      return pool;
    };
    // The engine that the tests' own pool has, and that every machine has.
    const given = { url, cacheDir: temporaryFolder(), workers: 1, engine: 'onnx' as const, patience: 60, ...options };
    const events = join(given, { signal: this.#abort.signal }, { ...QUICK, createPool, ...settings });
    this.ended = this.#run(events).catch((error) => error);
  }

  async #run(events: AsyncIterable<JoinEvent>): Promise<undefined> {
    for await (const event of events) {
      this.events.push(event);
      for (const look of this.#waiting.splice(0)) look();
    }
  }

  of<Name extends JoinEvent['event']>(name: Name): EventOf<Name>[] {
    return this.events.filter((event): event is EventOf<Name> => event.event === name);
  }

  /** Waits until there were so many events of a kind. Returns the last of them. */
  async event<Name extends JoinEvent['event']>(name: Name, count = 1): Promise<EventOf<Name>> {
    while (this.of(name).length < count) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    return this.of(name)[count - 1]!;
  }

  abort(): void {
    this.#abort.abort();
  }

  async close(): Promise<void> {
    this.abort();
    await this.ended;
  }
}
