/**
 * A worker: a pool of engines on this machine behind one interface. Its threads compute gradients, add them up along the
 * tree and update the parameters, step after step, and evaluate.
 */
import { availableParallelism } from 'node:os';
import { BLOCK_LENGTH, coveringNodes, LockstepError, type ParameterLayout, type Range } from '@lockstep/core';
import type { Evaluation } from '@lockstep/engine';
import { Piscina } from 'piscina';
import { Barrier } from './barrier.ts';
import type { Fault } from './faults.ts';
import {
  allocateShared,
  divideRange,
  type Job,
  MAX_STEPS,
  type SharedLayout,
  type SharedSplit,
  type ThreadSetup,
} from './job.ts';
import type { PartialSum, PreparedEngine, Share, StepPlan, Task, TaskResults } from './tasks.ts';

export interface PoolOptions {
  readonly job: Job;
  readonly layout: ParameterLayout;
  readonly train: SharedSplit;
  readonly test: SharedSplit;
  readonly numThreads: number;
  /** Called when a thread died or hung and its work is done again by another. */
  readonly onRecovery: ((reason: string) => void) | undefined;
  /** Failures to inject, and shorter deadlines; for tests. */
  readonly faults?: readonly Fault[];
  readonly deadlines?: Deadlines;
}

/** How long work may take before the pool gives up on it. */
export interface Deadlines {
  /** Of the first work of a kind, which includes opening sessions. */
  readonly firstMs: number;
  /** Later: at least this, and at least {@link DEADLINE_FACTOR} times the slowest so far. */
  readonly leastMs: number;
}

/** Sums over all samples of a step. */
export interface StepSums {
  readonly lossSum: number;
  readonly numCorrect: number;
  readonly count: number;
}

/** One thread per core, as the operating system counts them for this process. */
export const defaultNumThreads = (): number => availableParallelism();

const DEADLINES: Deadlines = { firstMs: 15 * 60_000, leastMs: 60_000 };
const DEADLINE_FACTOR = 10;
/** Work that has failed this often in a row is not the threads' fault. */
const MAX_ATTEMPTS = 3;
/** Test samples per evaluation task. */
const EVALUATION_CHUNK = 250;

/** Threads run the compiled file, also where a test runs this one from source. */
const THREAD = new URL('../dist/thread.js', import.meta.url).href;

type TaskOf<Kind extends Task['kind']> = Extract<Task, { kind: Kind }>;

export class WorkerPool {
  readonly numThreads: number;
  readonly #memory: WebAssembly.Memory;
  readonly #piscina: Piscina<Task, TaskResults[Task['kind']]>;
  readonly #layout: ParameterLayout;
  readonly #shared: SharedLayout;
  readonly #barrier: Barrier;
  readonly #shares: readonly Share[];
  readonly #numTest: number;
  readonly #onRecovery: PoolOptions['onRecovery'];
  readonly #deadlines: Deadlines;
  readonly #slowestMs = new Map<Task['kind'], number>();
  /** A thread did not answer in time: it may be inside native code, where it cannot be ended without the process. */
  #hung = false;

  constructor({ job, layout, train, test, numThreads, onRecovery, faults = [], deadlines = DEADLINES }: PoolOptions) {
    const { memory, layout: shared } = allocateShared(layout, job, train, numThreads);
    this.numThreads = numThreads;
    this.#layout = layout;
    this.#memory = memory;
    this.#shared = shared;
    this.#barrier = new Barrier(memory, shared.control);
    this.#shares = divideWork(layout, shared, job.numShards, numThreads);
    this.#numTest = test.count;
    this.#onRecovery = onRecovery;
    this.#deadlines = deadlines;
    this.#piscina = new Piscina({
      filename: THREAD,
      // A process started with conditions or loaders for TypeScript must not hand them on to compiled threads.
      execArgv: [],
      minThreads: numThreads,
      maxThreads: numThreads,
      idleTimeout: Number.POSITIVE_INFINITY,
      workerData: { job, trainLabels: train.labels, test, memory, layout: shared, faults } satisfies ThreadSetup,
    });
  }

  /** Opens an engine on every thread. */
  async prepare(): Promise<PreparedEngine> {
    const tasks = this.#shares.map((): TaskOf<'prepare'> => ({ kind: 'prepare' }));
    const [engine] = await this.#within('prepare', this.#retrying(tasks));
    return engine!;
  }

  /**
   * Does up to {@link MAX_STEPS} consecutive steps, over all shards. When a thread dies on the way, the step that it left
   * unfinished is done again; none is lost and none counts twice.
   * @param clipNorm upper bound for the norm of the gradient, or undefined
   * @returns the sums of each step, in order
   */
  async step(steps: readonly StepPlan[], clipNorm: number | undefined): Promise<StepSums[]> {
    const sums: StepSums[] = [];
    for (let attempt = 1; sums.length < steps.length; attempt++) {
      const rest = steps.slice(sums.length, sums.length + MAX_STEPS);
      const failure = await this.#within('steps', this.#attemptSteps(rest, clipNorm));
      const { committed } = this.#barrier;
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

  /** Loss and correct predictions on the test samples, added up in their order. */
  async evaluate(version: number): Promise<Evaluation & { readonly count: number }> {
    const tasks: TaskOf<'evaluate'>[] = [];
    for (let from = 0; from < this.#numTest; from += EVALUATION_CHUNK) {
      tasks.push({ kind: 'evaluate', version, from, to: Math.min(from + EVALUATION_CHUNK, this.#numTest) });
    }
    const results = await this.#within('evaluate', this.#retrying(tasks));
    return {
      lossSum: results.reduce((sum, { lossSum }) => sum + lossSum, 0),
      numCorrect: results.reduce((sum, { numCorrect }) => sum + numCorrect, 0),
      count: this.#numTest,
    };
  }

  /** The flat parameter vector before step `version` of the run: a view into the shared memory, valid until the step after it. */
  parameters(version: number): Float32Array {
    return this.#view(this.#shared.state[version % 2]!.parameters, this.#layout.numParameters);
  }

  /** The optimizer's state vectors before step `version`; valid as long as {@link parameters}. */
  optimizerState(version: number): Float32Array[] {
    return this.#shared.state[version % 2]!.slots.map((at) => this.#view(at, this.#layout.numWeights));
  }

  /**
   * Ends all threads, which are idle then: ONNX Runtime brings the process down when its thread ends in the middle of a
   * call. After a `worker-timeout` the threads are left alone for the same reason; the caller should end the process.
   */
  async close(): Promise<void> {
    this.#barrier.stop();
    if (!this.#hung) await this.#piscina.destroy();
  }

  #view(at: number, length: number): Float32Array {
    return new Float32Array(this.#memory.buffer, at, length);
  }

  #sumsAt(at: number): StepSums {
    const [lossSum, numCorrect, count] = this.#view(at, this.#layout.sumLength - this.#layout.numParameters);
    return { lossSum: lossSum!, numCorrect: numCorrect!, count: count! };
  }

  /** Lets all threads do their shares of some steps. Returns the first failure; the barrier knows how far they came. */
  async #attemptSteps(steps: readonly StepPlan[], clipNorm: number | undefined): Promise<Error | undefined> {
    this.#barrier.reset();
    const partials: PartialSum[] = this.#shares.flatMap((share) => share.partials);
    let failure: Error | undefined;
    await Promise.all(
      this.#shares.map(async (share) => {
        try {
          await this.#piscina.run({ kind: 'steps', share, partials, steps, clipNorm });
        } catch (error) {
          failure ??= error as Error;
          this.#barrier.stop();
        }
      }),
    );
    return failure;
  }

  /** Runs tasks that can each be repeated by itself, on another thread when its thread dies. */
  async #retrying<Kind extends Task['kind']>(tasks: readonly TaskOf<Kind>[]): Promise<TaskResults[Kind][]> {
    const run = async (task: Task): Promise<TaskResults[Kind]> => {
      for (let attempt = 1; ; attempt++) {
        try {
          return (await this.#piscina.run(task)) as TaskResults[Kind];
        } catch (error) {
          if (attempt >= MAX_ATTEMPTS) throw gaveUp(error as Error);
          this.#onRecovery?.(`A thread failed (${(error as Error).message}); its work goes to another`);
        }
      }
    };
    return Promise.all(tasks.map(run));
  }

  /** Gives work a deadline that follows from how long such work took so far. */
  async #within<Result>(kind: Task['kind'], work: Promise<Result>): Promise<Result> {
    const { firstMs, leastMs } = this.#deadlines;
    const slowest = this.#slowestMs.get(kind);
    const deadlineMs = slowest === undefined ? firstMs : Math.max(leastMs, slowest * DEADLINE_FACTOR);
    const started = performance.now();
    let timer: NodeJS.Timeout | undefined;
    const deadline = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        this.#hung = true;
        this.#barrier.stop();
        reject(timedOut(kind, deadlineMs));
      }, deadlineMs);
    });
    try {
      return await Promise.race([work, deadline]);
    } finally {
      clearTimeout(timer);
      this.#slowestMs.set(kind, Math.max(slowest ?? 0, performance.now() - started));
    }
  }
}

/** Divides the shards and the sum vector among threads: contiguous ranges, as even as can be. */
function divideWork(layout: ParameterLayout, shared: SharedLayout, numShards: number, numThreads: number): Share[] {
  const ranges = divideRange({ from: 0, to: numShards }, numThreads);
  const blocks = divideRange({ from: 0, to: Math.ceil(layout.sumLength / BLOCK_LENGTH) }, numThreads);
  const end = (block: number): number => Math.min(block * BLOCK_LENGTH, layout.sumLength);
  let used = 0;
  return ranges.map((range, index): Share => {
    const slice: Range = { from: end(blocks[index]!.from), to: end(blocks[index]!.to) };
    const partials = coveringNodes(range, numShards).map((node) => ({ node, at: shared.partials[used++]! }));
    return { index, numShares: numThreads, partials, slice };
  });
}

const gaveUp = (failure: Error): LockstepError =>
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
