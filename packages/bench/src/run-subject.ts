/** A real run as something to measure: it trains some epochs whenever it is asked to, and stands still in between. */
import type { ChildProcess } from 'node:child_process';
import { type RunContext, type TrainOptions, train } from '@lockstep/coordinator';
import { LockstepError } from '@lockstep/core';
import type { ListeningEvent, ModelEvent, RunStatus, TrainEvent } from '@lockstep/protocol';
import { endChildren } from './children.ts';
import { interrupted, within } from './within.ts';

/** A measured time is bounded by at least this. */
const LEAST_DEADLINE_MS = 60_000;
const DEADLINE_FACTOR = 20;

/** What a run is for as long as it is measured: as many epochs as there may ever be. */
const ENDLESS = 1_000_000;
/**
 * So small that the weights stay where they began: every block does the same arithmetic, and never meets the denormal
 * numbers of a model that has learnt its few samples by heart.
 */
const LEARNING_RATE = 1e-6;

export interface RunSubjectOptions {
  /** For people. */
  readonly name: string;
  readonly train: TrainOptions;
  /** Members that take part in every step, the local one included. */
  readonly numMembers: number;
  /** Starts the worker processes of this run; they are ended with it. */
  readonly startWorkers: ((url: string) => ChildProcess[]) | undefined;
  /** Before the first epoch. */
  readonly firstDeadlineMs: number;
  readonly signal: AbortSignal | undefined;
  readonly onInvitation: RunContext['onInvitation'] | undefined;
  /** Hears of all that the run says. */
  readonly onEvent: ((event: TrainEvent) => void) | undefined;
}

/** Some whole epochs of training. */
export interface RunBlock {
  /** Samples per second, of training alone. */
  readonly rate: number;
  /** Of training, in seconds. */
  readonly seconds: number;
  readonly steps: number;
  /** At the end of the block. */
  readonly status: RunStatus;
}

export class RunSubject {
  readonly name: string;
  readonly #options: RunSubjectOptions;
  readonly #events: AsyncGenerator<TrainEvent, void, void>;
  #status: (() => RunStatus) | undefined;
  #children: ChildProcess[] = [];
  /** Rejects when a worker process has ended by itself. */
  #childEnded: Promise<never> = new Promise(() => {});
  #listening: ListeningEvent | undefined;
  #model: ModelEvent | undefined;
  #engine: { readonly engine: string; readonly device: string } | undefined;
  #slowestEpochMs: number | undefined;
  /** A wait for the run was given up, so that it cannot be closed in an orderly way. */
  #isStuck = false;

  private constructor(options: RunSubjectOptions) {
    this.name = options.name;
    this.#options = options;
    this.#events = train(
      {
        ...options.train,
        epochs: ENDLESS,
        schedule: 'constant',
        warmupSteps: 0,
        learningRate: LEARNING_RATE,
        keepCheckpoints: 1,
      },
      {
        ...(options.signal ? { signal: options.signal } : {}),
        ...(options.onInvitation ? { onInvitation: options.onInvitation } : {}),
        onStart: (status) => {
          this.#status = status;
        },
      },
    );
  }

  /** Starts the run and its workers, and trains one epoch. @throws LockstepError */
  static async open(options: RunSubjectOptions): Promise<RunSubject> {
    const subject = new RunSubject(options);
    try {
      await subject.#epoch();
      return subject;
    } catch (error) {
      await subject.close();
      throw error;
    }
  }

  get model(): ModelEvent {
    return this.#model!;
  }

  /** What computes: of the local threads, else of the first remote worker. */
  get engine(): { readonly engine: string; readonly device: string } {
    return this.#engine!;
  }

  /** Trains whole epochs. @throws LockstepError, also when a worker is no longer there */
  async block(numEpochs: number): Promise<RunBlock> {
    let samples = 0;
    let seconds = 0;
    for (let i = 0; i < numEpochs; i++) {
      const epoch = await this.#epoch();
      samples += epoch.samples;
      seconds += epoch.samples / epoch.samplesPerSecond;
    }
    const status = this.#status!();
    const present = status.members.filter(({ state }) => state === 'ready').length;
    const { name, numMembers } = this.#options;
    if (present !== numMembers) throw lost(name, `${present} of ${numMembers} workers are left`);
    return { rate: samples / seconds, seconds, steps: numEpochs * this.model.stepsPerEpoch, status };
  }

  async #epoch(): Promise<Extract<TrainEvent, { event: 'epoch' }>> {
    const { name, firstDeadlineMs } = this.#options;
    const started = performance.now();
    const deadlineMs =
      this.#slowestEpochMs === undefined
        ? firstDeadlineMs
        : Math.max(LEAST_DEADLINE_MS, DEADLINE_FACTOR * this.#slowestEpochMs);
    for (;;) {
      const left = Math.max(0, started + deadlineMs - performance.now());
      // An abort ends the run by itself, after its step.
      const { value, done } = await within(left, undefined, name, this.#next()).catch((error: unknown) => {
        const code = error instanceof LockstepError ? error.code : undefined;
        if (code === 'worker-timeout') this.#isStuck = true;
        // The run speaks of its checkpoint, which goes with it.
        throw code === 'interrupted' ? interrupted() : error;
      });
      if (done) throw lost(name, 'the run is over');
      this.#take(value);
      this.#options.onEvent?.(value);
      if (value.event !== 'epoch') continue;
      this.#slowestEpochMs = Math.max(this.#slowestEpochMs ?? 0, performance.now() - started);
      return value;
    }
  }

  async #next(): Promise<IteratorResult<TrainEvent, void>> {
    return Promise.race([this.#events.next(), this.#childEnded]);
  }

  #take(event: TrainEvent): void {
    if (event.event === 'listening') {
      this.#listening = event;
      this.#start();
    }
    if (event.event === 'model') this.#model = event;
    if (event.event === 'worker' && event.state === 'ready') this.#engine ??= event;
  }

  #start(): void {
    const { startWorkers, name } = this.#options;
    if (!startWorkers) return;
    this.#children = startWorkers(this.#listening!.url);
    this.#childEnded = new Promise((_, reject) => {
      for (const child of this.#children) {
        child.once('exit', (code, signal) => reject(lost(name, `a worker process ended with ${signal ?? code}`)));
        child.once('error', (error) => reject(lost(name, `a worker process cannot be started: ${error.message}`)));
      }
    });
    // It may happen while nobody waits for an epoch.
    this.#childEnded.catch(() => {});
  }

  /** Ends the run, its threads and its worker processes. */
  async close(): Promise<void> {
    try {
      // A generator that is under way, waiting for what does not come, would return only after that.
      if (this.#isStuck) return;
      await within(LEAST_DEADLINE_MS, undefined, `closing ${this.name}`, this.#events.return());
    } finally {
      await endChildren(this.#children);
    }
  }
}

const lost = (name: string, what: string): LockstepError =>
  new LockstepError(
    'worker-failed',
    `${name} cannot be measured: ${what}.`,
    'Try again, with fewer workers if memory is short; nothing was written.',
  );
