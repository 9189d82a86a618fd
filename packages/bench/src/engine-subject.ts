/** An engine by itself in a thread: gradients of micro-batches and nothing else. */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { LockstepError } from '@lockstep/core';
import type { Split } from '@lockstep/dataset';
import { type EngineKind, prepareDevice } from '@lockstep/engine';
import { within } from './within.ts';

/** Threads run the compiled file, also where a test runs this one from source. */
const THREAD = new URL('../dist/engine-thread.js', import.meta.url);
/** Opening an engine, or one call of the slowest of them. */
const DEADLINE_MS = 10 * 60_000;

/** What a thread is to measure. */
export interface EngineOrder {
  readonly topology: unknown;
  readonly engine: EngineKind | 'auto';
  /** As `--device` has it. */
  readonly device: string;
  /** Samples. */
  readonly microBatch: number;
  /** Micro-batches that one call may take at most: the shards of a step. */
  readonly maxGroup: number;
  /** An engine whose calls take longer counts as one that does not work. */
  readonly maxCallSeconds: number;
  /** To compute with, over shared memory; by default noise. */
  readonly pictures?: Split;
}

/** What a thread says. */
export type EngineAnswer =
  /** With what its first call took, which prepares much. */
  | { readonly kind: 'open'; readonly engine: string; readonly device: string; readonly first: EngineBlock }
  | { readonly kind: 'failed'; readonly message: string }
  | { readonly kind: 'block'; readonly samples: number; readonly seconds: number };

export interface EngineBlock {
  /** Samples per second. */
  readonly rate: number;
  readonly seconds: number;
}

export class EngineSubject {
  readonly engine: string;
  readonly device: string;
  /** Its first call, which prepares much. */
  readonly first: EngineBlock;
  readonly #thread: Worker;
  readonly #signal: AbortSignal | undefined;

  private constructor(
    thread: Worker,
    { engine, device, first }: Extract<EngineAnswer, { kind: 'open' }>,
    signal: AbortSignal | undefined,
  ) {
    this.#thread = thread;
    this.engine = engine;
    this.device = device;
    this.first = first;
    this.#signal = signal;
  }

  /** Opens the engine and computes once. @throws LockstepError `engine-unavailable` when it does not work here */
  static async open(order: EngineOrder, signal: AbortSignal | undefined): Promise<EngineSubject> {
    prepareDevice(order.device);
    const thread = new Worker(THREAD, { workerData: order, execArgv: [], stdout: true, stderr: true });
    const answer = await answerOf(thread, `opening ${order.engine}`, signal);
    if (answer.kind === 'open') return new EngineSubject(thread, answer, signal);
    await ended(thread);
    throw new LockstepError(
      'engine-unavailable',
      answer.kind === 'failed' ? answer.message : `the engine "${order.engine}" did not open`,
      'Leave it out of --engines.',
    );
  }

  /** Computes gradients for so long, at least one call. */
  async block(seconds: number): Promise<EngineBlock> {
    this.#thread.postMessage(seconds);
    const answer = await answerOf(this.#thread, `a block of ${this.engine}`, this.#signal);
    if (answer.kind !== 'block') {
      throw new LockstepError('engine-failed', JSON.stringify(answer), 'Leave it out of --engines.');
    }
    return { rate: answer.samples / answer.seconds, seconds: answer.seconds };
  }

  /** Lets the thread end by itself: native code must not be cut off in the middle of a call. */
  async close(): Promise<void> {
    this.#thread.postMessage(undefined);
    await ended(this.#thread);
  }
}

async function answerOf(thread: Worker, what: string, signal: AbortSignal | undefined): Promise<EngineAnswer> {
  const failure = new AbortController();
  const exit = once(thread, 'exit', { signal: failure.signal }).then(([code]): EngineAnswer => {
    return { kind: 'failed', message: `its thread ended with code ${code}` };
  });
  exit.catch(() => {});
  const answer = once(thread, 'message').then(([message]) => message as EngineAnswer);
  answer.catch(() => {});
  try {
    return await within(DEADLINE_MS, signal, what, Promise.race([answer, exit]));
  } finally {
    failure.abort();
  }
}

/** How long a thread may take for the call that it is in. */
const END_MS = 30_000;

async function ended(thread: Worker): Promise<void> {
  if (thread.threadId === -1) return;
  const exit = once(thread, 'exit');
  await within(END_MS, undefined, 'ending an engine', exit).catch(() => {});
}
