/** The threads of a pool: runs tasks on them, again when a thread dies, and never waits without a deadline. */
import { LockstepError } from '@lockstep/core';
import { Piscina } from 'piscina';
import { AwakeTimer } from './awake-timer.ts';
import type { ThreadSetup } from './job.ts';
import type { Task, TaskResults } from './tasks.ts';

/** How long work may take before the pool gives up on it. */
export interface Deadlines {
  /** Of the first work of a kind, which includes opening sessions. */
  readonly firstMs: number;
  /** Later: at least this, and at least {@link DEADLINE_FACTOR} times the slowest so far. */
  readonly leastMs: number;
}

export const DEADLINES: Deadlines = { firstMs: 15 * 60_000, leastMs: 60_000 };
const DEADLINE_FACTOR = 10;
/** Work that has failed this often in a row is not the threads' fault. */
export const MAX_ATTEMPTS = 3;

/** Threads run the compiled file, also where a test runs this one from source. */
const THREAD = new URL('../dist/thread.js', import.meta.url).href;

export type TaskOf<Kind extends Task['kind']> = Extract<Task, { kind: Kind }>;

export interface ThreadsOptions {
  readonly count: number;
  readonly setup: ThreadSetup;
  readonly deadlines: Deadlines;
  /** Called when a thread died and its work goes to another. */
  readonly onRecovery: ((reason: string) => void) | undefined;
  /** Whether a task that failed now failed because it was asked to. */
  readonly isCancelled: () => boolean;
  /** Called when work has missed its deadline, so that threads that wait for it give up. */
  readonly onTimeout: () => void;
}

export class Threads {
  readonly #piscina: Piscina<Task, TaskResults[Task['kind']]>;
  readonly #options: ThreadsOptions;
  readonly #slowestMs = new Map<Task['kind'], number>();
  /** A thread did not answer in time: it may be inside native code, where it cannot be ended without the process. */
  #hung = false;

  constructor(options: ThreadsOptions) {
    this.#options = options;
    this.#piscina = new Piscina({
      filename: THREAD,
      // A process started with conditions or loaders for TypeScript must not hand them on to compiled threads.
      execArgv: [],
      minThreads: options.count,
      maxThreads: options.count,
      idleTimeout: Number.POSITIVE_INFINITY,
      workerData: options.setup,
    });
  }

  /** Runs a task once. */
  async run<Kind extends Task['kind']>(task: TaskOf<Kind>): Promise<TaskResults[Kind]> {
    return (await this.#piscina.run(task)) as TaskResults[Kind];
  }

  /** Runs tasks that can each be repeated by itself, on another thread when its thread dies. */
  async retrying<Kind extends Task['kind']>(tasks: readonly TaskOf<Kind>[]): Promise<TaskResults[Kind][]> {
    const run = async (task: TaskOf<Kind>): Promise<TaskResults[Kind]> => {
      for (let attempt = 1; ; attempt++) {
        try {
          return await this.run(task);
        } catch (error) {
          if (this.#options.isCancelled()) throw error;
          if (attempt >= MAX_ATTEMPTS) throw gaveUp(error as Error);
          this.#options.onRecovery?.(`A thread failed (${(error as Error).message}); its work goes to another`);
        }
      }
    };
    // All must have ended before anybody uses their memory for something else.
    const outcomes = await Promise.allSettled(tasks.map(run));
    return outcomes.map((outcome) => {
      if (outcome.status === 'rejected') throw outcome.reason;
      return outcome.value;
    });
  }

  /** Gives work a deadline that follows from how long such work took so far. */
  async within<Result>(kind: Task['kind'], work: Promise<Result>): Promise<Result> {
    const { firstMs, leastMs } = this.#options.deadlines;
    const slowest = this.#slowestMs.get(kind);
    const deadlineMs = slowest === undefined ? firstMs : Math.max(leastMs, slowest * DEADLINE_FACTOR);
    let timer: AwakeTimer | undefined;
    const deadline = new Promise<never>((_, reject) => {
      timer = new AwakeTimer(deadlineMs, () => {
        this.#hung = true;
        this.#options.onTimeout();
        reject(timedOut(kind, deadlineMs));
      });
    });
    try {
      return await Promise.race([work, deadline]);
    } finally {
      timer?.stop();
      this.#slowestMs.set(kind, Math.max(slowest ?? 0, timer?.elapsedMs ?? 0));
    }
  }

  /**
   * Ends all threads, which are idle then: ONNX Runtime brings the process down when its thread ends in the middle of a
   * call. After a `worker-timeout` the threads are left alone for the same reason; the caller should end the process.
   */
  async close(): Promise<void> {
    if (!this.#hung) await this.#piscina.destroy();
  }
}

export const gaveUp = (failure: Error): LockstepError =>
  new LockstepError(
    'worker-failed',
    `The local worker gave up after ${MAX_ATTEMPTS} attempts: ${failure.message}`,
    'Try fewer --workers (each needs memory of its own), a smaller --batch-size, or another --engine.',
    { cause: failure },
  );

const timedOut = (kind: Task['kind'], deadlineMs: number): LockstepError =>
  new LockstepError(
    'worker-timeout',
    `A thread of the local worker did not finish its "${kind}" within ${(deadlineMs / 1000).toFixed(1)} s.`,
    'Look whether the machine is out of memory or overloaded; try fewer --workers or another --engine.',
  );
