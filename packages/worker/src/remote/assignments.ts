/** What a worker is asked to compute, done one after the other in the order in which it was asked. */
import {
  LockstepError,
  type Range,
  releaseWhole,
  SLICE_UNIT,
  slicedBytes,
  slicesOf,
  type WireFormat,
} from '@lockstep/core';
import { type CoordinatorMessage, type Frame, FrameError, type MessageOf } from '@lockstep/protocol';
import type { PartialSum } from '../tasks.ts';
import type { Connection } from './connection.ts';
import type { Fetcher } from './fetcher.ts';
import type { RemoteJob } from './job.ts';
import { Mailbox } from './mailbox.ts';
import type { GradientPool } from './roles.ts';
import { SparseResults } from './sparse-results.ts';
import { follow } from './within.ts';

export type Work = MessageOf<CoordinatorMessage, 'work'>;
type Parameters = Frame<MessageOf<CoordinatorMessage, 'parameters'>>;
type Change = Frame<MessageOf<CoordinatorMessage, 'change'>>;

/** Assignments that may wait; no honest coordinator comes near it. */
const MAX_WAITING = 64;
const MAX_REASON_LENGTH = 500;
const CANCELLED = 'cancelled';

type Item =
  /** In the order of the work, since the pool keeps two versions and the newer replaces the one before the last. */
  | { readonly kind: 'parameters'; readonly frame: Parameters; readonly slice: Range; readonly vector: number }
  | { readonly kind: 'change'; readonly frame: Change; readonly slice: Range; readonly vector: number }
  | { readonly kind: 'work'; readonly work: Work };

export interface AssignmentsOptions {
  readonly job: RemoteJob;
  readonly connection: Connection;
  readonly fetcher: Fetcher;
  /** From a result in the format `topk` to what the coordinator says of it. */
  readonly outcomeMs: number;
  /** Called when a result was handed to the connection. */
  readonly onDone: (work: Work, computeMs: number) => void;
}

export class Assignments {
  readonly #options: AssignmentsOptions;
  readonly #queue = new Mailbox<Item>();
  /** Only where the job has results in the format `topk`. What it holds back is lost with the connection. */
  readonly #sparse: SparseResults | undefined;
  /** The step of the parameters that came last, as a whole. */
  #runStep: number | undefined;
  /** Parameters of which the first slices have come. */
  #coming: { readonly type: 'parameters' | 'change'; readonly runStep: number; readonly to: number } | undefined;
  /** Vectors that have begun to come: slices that belong together have the same number. */
  #numVectors = 0;
  #numWaiting = 0;
  #numChanges = 0;
  #current: { readonly assignment: number; readonly controller: AbortController } | undefined;
  /** Aborted when nothing is to be done any more. */
  readonly #stopping = new AbortController();
  #running: Promise<void> = Promise.resolve();
  /** Resolves when the last result has left. */
  #sending: Promise<void> = Promise.resolve();

  constructor(options: AssignmentsOptions) {
    this.#options = options;
    const { job, connection, outcomeMs } = options;
    const { topk: numEntries, network } = job;
    if (numEntries === undefined) return;
    this.#sparse = new SparseResults({ layout: network.layout, numEntries, connection, outcomeMs });
  }

  /** @returns rejects when the process cannot go on; ends with {@link stop} */
  start(pool: GradientPool): Promise<void> {
    this.#running = this.#run(pool);
    return this.#running;
  }

  /** @throws FrameError when they are not as long as the job's, or the slice before is not there */
  parameters(frame: Parameters): void {
    const slice = this.#sliceOf('parameters', frame, 'fp32');
    this.#queue.push({ kind: 'parameters', frame, slice, vector: this.#numVectors });
    this.#forgetUnused();
  }

  /** @throws FrameError when it is not as long as it must be, or the parameters or the slice before it are not there */
  change(frame: Change): void {
    const { runStep, wire } = frame.message;
    if (this.#numChanges >= MAX_WAITING) throw new FrameError(`more than ${MAX_WAITING} changes that wait`);
    if (this.#runStep !== runStep - 1) throw new FrameError(`a change to step ${runStep} without the step before it`);
    const slice = this.#sliceOf('a change', frame, wire);
    if (this.#runStep === runStep) this.#numChanges++;
    this.#queue.push({ kind: 'change', frame, slice, vector: this.#numVectors });
  }

  /** Which slice has come; with the last one, the parameters are there. */
  #sliceOf(what: string, { message, payload }: Parameters | Change, wire: WireFormat): Range {
    const { numWeights, numParameters } = this.#options.job.network.layout;
    const { type, runStep } = message;
    const slice = message.slice ?? { from: 0, to: numParameters };
    const { from, to } = slice;
    const coming = this.#coming;
    const follows = from === 0 || (coming?.type === type && coming.runStep === runStep && coming.to === from);
    if (!follows) throw new FrameError(`a slice from ${from} on without the slices before it`);
    const isLast = to === numParameters;
    if (from >= to || to > numParameters || (!isLast && to % SLICE_UNIT !== 0)) {
      throw new FrameError(`a slice from ${from} to ${to} of ${numParameters}`);
    }
    const expected = slicedBytes(wire, numWeights, slice);
    if (payload.length !== expected) {
      throw new FrameError(`${what} of ${payload.length} bytes in place of ${expected}`);
    }
    if (from === 0) {
      // What was not finished is void.
      if (coming) this.#queue.remove((item) => item.kind !== 'work' && item.vector === this.#numVectors);
      this.#numVectors++;
    }
    this.#coming = isLast ? undefined : { type, runStep, to };
    if (isLast) this.#runStep = runStep;
    return slice;
  }

  #isLast({ to }: Range): boolean {
    return to === this.#options.job.network.layout.numParameters;
  }

  /** @throws FrameError when there is no such work, or too much */
  work(work: Work): void {
    const { plan } = this.#options.job;
    if (work.from >= work.to || work.to > plan.numShards || work.step >= plan.stepsPerEpoch) {
      throw new FrameError(`work on shards ${work.from} to ${work.to} at step ${work.step}, which do not exist`);
    }
    if (work.wire === 'topk' && !this.#sparse) throw new FrameError('work in a format that the job does not have');
    if (this.#numWaiting >= MAX_WAITING) throw new FrameError(`more than ${MAX_WAITING} assignments that wait`);
    if (work.runStep !== this.#runStep) {
      this.#failed(work.assignment, `the parameters of step ${work.runStep} are not there`);
      return;
    }
    this.#numWaiting++;
    this.#queue.push({ kind: 'work', work });
  }

  /** Whether a result counts. @throws FrameError when that is not what is waited for */
  outcome({ assignment, taken }: MessageOf<CoordinatorMessage, 'outcome'>): void {
    if (!this.#sparse) throw new FrameError('an outcome of a result that has none');
    this.#sparse.outcome(assignment, taken);
  }

  cancel(assignment: number): void {
    const waiting = this.#queue.remove((item) => item.kind === 'work' && item.work.assignment === assignment);
    if (waiting.length > 0) {
      this.#numWaiting -= waiting.length;
      this.#forgetUnused();
      this.#failed(assignment, CANCELLED);
    } else if (this.#current?.assignment === assignment) {
      this.#current.controller.abort();
    }
  }

  /** Parameters that no work waits for make room for others: a worker that lags behind keeps no long row of them. */
  #forgetUnused(): void {
    if (this.#coming) return;
    const isParameters = (item: Item): boolean => item.kind === 'parameters';
    this.#queue.remove((item) => item.kind === 'parameters' && item.vector !== this.#numVectors, isParameters);
  }

  async stop(): Promise<void> {
    this.#queue.end('discard');
    this.#stopping.abort();
    // Its failure goes to whoever called start.
    await this.#running.catch(() => {});
  }

  #failed(assignment: number, reason: string): void {
    void this.#options.connection.send({ type: 'failed', assignment, reason: reason.slice(0, MAX_REASON_LENGTH) });
  }

  async #run(pool: GradientPool): Promise<void> {
    for await (const item of this.#queue) {
      if (item.kind === 'work') {
        this.#numWaiting--;
        await this.#do(pool, item.work);
        continue;
      }
      const { slice } = item;
      const { payload, bytes } = item.frame;
      if (item.kind === 'parameters') pool.load(item.frame.message.runStep, payload, slice.from);
      else {
        const { runStep, wire } = item.frame.message;
        if (this.#isLast(slice)) this.#numChanges--;
        pool.change(runStep, payload, wire, slice);
      }
      // Nothing else of it is in use.
      releaseWhole(bytes);
    }
  }

  async #do(pool: GradientPool, work: Work): Promise<void> {
    const { assignment, from, to } = work;
    const controller = new AbortController();
    const unfollow = follow(this.#stopping.signal, controller);
    const { signal } = controller;
    this.#current = { assignment, controller };
    try {
      const shards = Array.from({ length: to - from }, (_, i) => from + i);
      await this.#options.fetcher.need(shards, signal);
      if (signal.aborted) this.#failed(assignment, CANCELLED);
      else await this.#compute(pool, work, signal);
    } catch (error) {
      const { message } = error as Error;
      this.#failed(assignment, signal.aborted ? CANCELLED : message);
      // A thread is stuck, perhaps in native code: nothing can be computed here any more.
      if (error instanceof LockstepError && error.code === 'worker-timeout') throw error;
    } finally {
      unfollow();
      this.#current = undefined;
    }
  }

  async #compute(pool: GradientPool, work: Work, signal: AbortSignal): Promise<void> {
    const { assignment, generation, epoch, step, runStep, from, to, wire } = work;
    const started = performance.now();
    signal.addEventListener('abort', () => pool.cancel(), { once: true });
    const partials = await pool.gradient({ epoch, step, runStep, wire }, { from, to }, true);
    const computeMs = performance.now() - started;
    if (!partials) {
      this.#failed(assignment, CANCELLED);
      return;
    }
    try {
      // One result is on its way while the next is computed, and no more: a slow line does not fill the memory.
      await this.#sending;
      const { connection, job } = this.#options;
      const nodes = partials.map(({ node }) => node);
      const result = { type: 'result', assignment, generation, runStep, nodes, startedAt: started, computeMs } as const;
      if (wire === 'topk') {
        this.#sending = connection.send(result, [await this.#sparsePayload(pool, work, partials, signal)]);
      } else {
        const slices = slicesOf(job.network.layout.sumLength, work.slices ?? 1);
        for (const slice of slices) {
          const payload = partials.map((partial) => pool.packed(partial, wire, slice));
          this.#sending = connection.send(slices.length === 1 ? result : { ...result, slice }, payload);
        }
      }
    } finally {
      pool.release(partials);
    }
    this.#options.onDone(work, computeMs);
  }

  async #sparsePayload(
    pool: GradientPool,
    { assignment, step }: Work,
    partials: readonly PartialSum[],
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    const { plan, network } = this.#options.job;
    const whole = { from: 0, to: network.layout.sumLength };
    const sums = partials.map((partial) => pool.packed(partial, 'fp32', whole));
    return this.#sparse!.pack(assignment, sums, plan.stepSize(step), signal);
  }
}
