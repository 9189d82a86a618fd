/**
 * A worker: a pool of engines on this machine behind one interface. It computes the partial sums of a range of shards,
 * lends its threads for the reduction and the optimizer, and evaluates.
 */
import { availableParallelism } from 'node:os';
import {
  BLOCK_LENGTH,
  coveringNodes,
  LockstepError,
  type ParameterLayout,
  type Range,
  type UpdateScalars,
} from '@lockstep/core';
import type { Evaluation } from '@lockstep/engine';
import { Piscina } from 'piscina';
import { allocateShared, divideRange, type Job, type SharedLayout, type SharedSplit } from './job.ts';
import type { PartialSum, PreparedEngine, Slice, Task } from './tasks.ts';

export interface PoolOptions {
  readonly job: Job;
  readonly layout: ParameterLayout;
  readonly train: SharedSplit;
  readonly test: SharedSplit;
  readonly numThreads: number;
  /** Called when a thread died or hung and its task goes to another one. */
  readonly onRecovery: ((reason: string) => void) | undefined;
}

/** A step of the run. */
export interface StepPosition {
  readonly epoch: number;
  /** In the epoch, from 0. */
  readonly step: number;
  /** In the run, from 0. */
  readonly runStep: number;
}

/** Sums over all samples of a step. */
export interface StepSums {
  readonly lossSum: number;
  readonly numCorrect: number;
  readonly count: number;
}

/** One thread per core, as the operating system counts them for this process. */
export const defaultNumThreads = (): number => availableParallelism();

/** A task is given up, and its thread replaced, after this long, or ten times the slowest task of its kind so far. */
const FIRST_DEADLINE_MS = 15 * 60_000;
const MIN_DEADLINE_MS = 60_000;
const DEADLINE_FACTOR = 10;
/** A task that has failed this often is not the thread's fault. */
const MAX_ATTEMPTS = 3;
/** Test samples per evaluation task. */
const EVALUATION_CHUNK = 250;

const source = import.meta.url.endsWith('.ts');

export class WorkerPool {
  readonly numThreads: number;
  readonly #memory: WebAssembly.Memory;
  readonly #piscina: Piscina;
  readonly #layout: ParameterLayout;
  readonly #shared: SharedLayout;
  readonly #job: Job;
  readonly #numTest: number;
  readonly #tail: Float32Array;
  readonly #squares: Float64Array;
  readonly #onRecovery: PoolOptions['onRecovery'];
  readonly #slowestMs = new Map<Task['kind'], number>();

  constructor({ job, layout, train, test, numThreads, onRecovery }: PoolOptions) {
    const { memory, layout: shared } = allocateShared(layout, job.optimizer, job.numShards, numThreads);
    this.numThreads = numThreads;
    this.#job = job;
    this.#layout = layout;
    this.#shared = shared;
    this.#numTest = test.count;
    this.#onRecovery = onRecovery;
    this.#memory = memory;
    this.#tail = new Float32Array(memory.buffer, shared.tail, layout.sumLength - layout.numParameters);
    this.#squares = new Float64Array(memory.buffer, shared.squares, Math.ceil(layout.numWeights / BLOCK_LENGTH));
    this.#piscina = new Piscina({
      filename: new URL(source ? './thread.ts' : './thread.js', import.meta.url).href,
      ...(source ? { execArgv: ['--conditions=source', '--import=tsx'] } : {}),
      minThreads: numThreads,
      maxThreads: numThreads,
      idleTimeout: Number.POSITIVE_INFINITY,
      workerData: { job, train, test, memory, layout: shared },
    });
  }

  /** Opens an engine on every thread. */
  async prepare(): Promise<PreparedEngine> {
    const engines = await this.#all(Array.from({ length: this.numThreads }, (): Task => ({ kind: 'prepare' })));
    return engines[0] as PreparedEngine;
  }

  /** Computes the partial sums of a range of shards, each thread those of its part of the range. */
  async gradient(position: StepPosition, range: Range): Promise<PartialSum[]> {
    let used = 0;
    const shares = divideRange(range, this.numThreads).map((part) =>
      coveringNodes(part, this.#job.numShards).map(
        (node): PartialSum => ({ node, at: this.#shared.partials[used++]! }),
      ),
    );
    const busy = shares.filter((partials) => partials.length > 0);
    await this.#all(busy.map((partials): Task => ({ kind: 'gradient', ...position, partials })));
    return shares.flat();
  }

  /**
   * Adds the partial sums up along the tree and updates the parameters, each thread a slice of the vector.
   * @param clipNorm upper bound for the norm of the gradient, or undefined
   */
  async update(
    partials: readonly PartialSum[],
    scalars: Pick<UpdateScalars, 'step' | 'learningRate'>,
    count: number,
    clipNorm: number | undefined,
  ): Promise<StepSums> {
    const slices = this.#slices();
    const scalarsAt = (clipping: number): UpdateScalars => ({
      ...scalars,
      gradientScale: clipping / count,
      statisticScale: 1 / count,
    });
    if (clipNorm === undefined) {
      const update = scalarsAt(1);
      await this.#all(slices.map((slice): Task => ({ kind: 'reduce', slice, partials, update })));
    } else {
      await this.#all(slices.map((slice): Task => ({ kind: 'reduce', slice, partials, update: undefined })));
      const norm = Math.sqrt(this.#squares.reduce((sum, square) => sum + square, 0)) / count;
      const update = scalarsAt(norm > clipNorm ? clipNorm / norm : 1);
      await this.#all(slices.map((slice): Task => ({ kind: 'update', slice, update })));
    }
    const [lossSum, numCorrect, samples] = this.#tail as unknown as [number, number, number];
    return { lossSum, numCorrect, count: samples };
  }

  /** Loss and correct predictions on the test samples, added up in their order. */
  async evaluate(version: number): Promise<Evaluation & { readonly count: number }> {
    const tasks: Task[] = [];
    for (let from = 0; from < this.#numTest; from += EVALUATION_CHUNK) {
      tasks.push({ kind: 'evaluate', version, from, to: Math.min(from + EVALUATION_CHUNK, this.#numTest) });
    }
    const results = (await this.#all(tasks)) as Evaluation[];
    return {
      lossSum: results.reduce((sum, { lossSum }) => sum + lossSum, 0),
      numCorrect: results.reduce((sum, { numCorrect }) => sum + numCorrect, 0),
      count: this.#numTest,
    };
  }

  /** The flat parameter vector before step `version` of the run: a view into the shared memory, valid until the step after it. */
  parameters(version: number): Float32Array {
    return new Float32Array(
      this.#memory.buffer,
      this.#shared.state[version % 2]!.parameters,
      this.#layout.numParameters,
    );
  }

  /** The optimizer's state vectors before step `version`; valid as long as {@link parameters}. */
  optimizerState(version: number): Float32Array[] {
    const { slots } = this.#shared.state[version % 2]!;
    return slots.map((at) => new Float32Array(this.#memory.buffer, at, this.#layout.numWeights));
  }

  /** Ends all threads. */
  async close(): Promise<void> {
    await this.#piscina.destroy();
  }

  /** Divides the sum vector among the threads, at block boundaries. */
  #slices(): Slice[] {
    const { sumLength } = this.#layout;
    const blocks = divideRange({ from: 0, to: Math.ceil(sumLength / BLOCK_LENGTH) }, this.numThreads);
    return blocks
      .filter(({ from, to }) => from < to)
      .map(({ from, to }, index) => ({ index, from: from * BLOCK_LENGTH, to: Math.min(to * BLOCK_LENGTH, sumLength) }));
  }

  /** Runs tasks of one kind side by side. Each is repeated on another thread when its thread dies or misses the deadline. */
  async #all(tasks: readonly Task[]): Promise<unknown[]> {
    const kind = tasks[0]!.kind;
    const slowest = this.#slowestMs.get(kind);
    const deadlineMs = slowest === undefined ? FIRST_DEADLINE_MS : Math.max(MIN_DEADLINE_MS, slowest * DEADLINE_FACTOR);
    const started = performance.now();
    const results = await Promise.all(tasks.map((task) => this.#run(task, deadlineMs)));
    this.#slowestMs.set(kind, Math.max(slowest ?? 0, performance.now() - started));
    return results;
  }

  async #run(task: Task, deadlineMs: number): Promise<unknown> {
    for (let attempt = 1; ; attempt++) {
      const abort = new AbortController();
      const timer = setTimeout(() => abort.abort(), deadlineMs);
      try {
        return await this.#piscina.run(task, { signal: abort.signal });
      } catch (error) {
        if (error instanceof LockstepError) throw error;
        const late = abort.signal.aborted;
        const what = late
          ? `a thread did not finish "${task.kind}" within ${Math.round(deadlineMs / 1000)} s`
          : `a thread failed at "${task.kind}": ${(error as Error).message}`;
        if (attempt === MAX_ATTEMPTS) {
          throw new LockstepError(
            late ? 'worker-timeout' : 'worker-failed',
            `The local worker gave up after ${MAX_ATTEMPTS} attempts: ${what}.`,
            'Try fewer --workers (each needs memory of its own), a smaller --batch-size, or another --engine.',
            { cause: error },
          );
        }
        this.#onRecovery?.(`${what}; its work goes to another thread`);
      } finally {
        clearTimeout(timer);
      }
    }
  }
}
