/** One connection from hello to its end: who says what when, and what is done about it. */
import {
  closeCodes,
  type Frame,
  FrameError,
  type JoinEvent,
  type MessageOf,
  PROTOCOL_VERSION,
} from '@lockstep/protocol';
import { Assignments, type Work } from './assignments.ts';
import type { Connection, Incoming } from './connection.ts';
import { Fetcher } from './fetcher.ts';
import { countSamples, type RemoteJob, readJob } from './job.ts';
import type { JobKeeper, PreparedJob } from './prepared-job.ts';
import type { PartitionStore } from './roles.ts';
import type { SessionSettings } from './session-settings.ts';
import type { Totals } from './totals.ts';

/** What a worker says of itself. */
export interface SessionConfig {
  readonly name: string;
  readonly numThreads: number;
  readonly runtime: 'node' | 'browser';
}

/** What lasts longer than a connection. */
export interface SessionContext {
  readonly config: SessionConfig;
  readonly settings: SessionSettings;
  readonly store: PartitionStore;
  readonly jobs: JobKeeper;
  readonly totals: Totals;
  readonly emit: (event: JoinEvent) => void;
}

/** A worker that was welcomed. */
interface Member {
  readonly id: string;
  readonly job: RemoteJob;
  readonly fetcher: Fetcher;
  readonly assignments: Assignments;
}

/**
 * Works for a coordinator until the connection has ended, and nothing is computed any more.
 * @throws LockstepError when this worker can do nothing for it
 */
export async function serve(connection: Connection, context: SessionContext, signal: AbortSignal): Promise<void> {
  const leave = (): void => connection.drop(closeCodes.leaving, 'the worker stops');
  signal.addEventListener('abort', leave, { once: true });
  if (signal.aborted) leave();
  try {
    await new Session(connection, context).run();
  } finally {
    signal.removeEventListener('abort', leave);
  }
}

class Session {
  readonly #connection: Connection;
  readonly #context: SessionContext;
  /** While it is one. */
  #member: Member | undefined;
  /** Why this worker can do nothing any more. */
  #failure: { readonly error: unknown } | undefined;

  constructor(connection: Connection, context: SessionContext) {
    this.#connection = connection;
    this.#context = context;
  }

  async run(): Promise<void> {
    const { config, settings } = this.#context;
    const connection = this.#connection;
    const { name, numThreads, runtime } = config;
    void connection.send({ type: 'hello', protocol: PROTOCOL_VERSION, name, threads: numThreads, runtime });
    const greeting = setTimeout(() => {
      if (!this.#member) connection.cut(`it did not welcome this worker within ${settings.welcomeMs / 1000} s`);
    }, settings.welcomeMs);
    try {
      for await (const frame of connection.frames) this.#handle(frame);
    } finally {
      clearTimeout(greeting);
      const member = this.#member;
      this.#member = undefined;
      connection.drop(closeCodes.leaving, 'the worker stops');
      await member?.assignments.stop();
      await member?.fetcher.stop();
      await connection.closed;
    }
    if (this.#failure) throw this.#failure.error;
  }

  /** Ends the connection, and then this worker. */
  #fail(error: unknown): void {
    this.#failure ??= { error };
    this.#connection.drop(closeCodes.leaving, 'the worker failed');
  }

  #handle(frame: Frame<Incoming>): void {
    try {
      this.#take(frame);
    } catch (error) {
      if (!(error instanceof FrameError)) throw error;
      this.#connection.violated(error);
    }
  }

  #take({ message, payload, bytes }: Frame<Incoming>): void {
    if (message.type === 'welcome') {
      if (this.#member) throw new FrameError('a second welcome');
      this.#member = this.#enter(message);
      return;
    }
    if (!this.#member) throw new FrameError(`${message.type} before the welcome`);
    const { job, fetcher, assignments } = this.#member;
    switch (message.type) {
      case 'hold':
        if (message.shards.some((shard) => shard >= job.numShards)) throw new FrameError('a shard that does not exist');
        fetcher.want(message.shards);
        break;
      case 'part':
        fetcher.part(message, payload);
        break;
      case 'parameters':
        assignments.parameters({ message, payload, bytes });
        break;
      case 'change':
        assignments.change({ message, payload, bytes });
        break;
      case 'work':
        assignments.work(message);
        break;
      case 'outcome':
        assignments.outcome(message);
        break;
      case 'cancel':
        assignments.cancel(message.assignment);
        break;
      default:
        message satisfies never;
    }
  }

  /** The coordinator took this worker in. What it asks for while the pool is made waits in queues. */
  #enter({ member, job: text, jobHash, heartbeatMs, heartbeatMisses }: MessageOf<Incoming, 'welcome'>): Member {
    const { store, settings, emit, jobs } = this.#context;
    const connection = this.#connection;
    const job = readJob({ text, hash: jobHash });
    connection.reached = 'welcome';
    connection.watch(heartbeatMs, heartbeatMisses);
    const fetcher = new Fetcher({ job, connection, store, partMs: settings.partMs, emit });
    const onDone = (work: Work, computeMs: number): void => this.#count(job, work, computeMs);
    const { outcomeMs } = settings;
    const assignments = new Assignments({ job, connection, fetcher, outcomeMs, onDone });
    const entered = { id: member, job, fetcher, assignments };
    jobs.prepare(job).then(
      (prepared) => {
        // The connection may have ended meanwhile; the next one finds the pool made.
        if (this.#member === entered) this.#begin(entered, prepared);
      },
      (error) => this.#fail(error),
    );
    return entered;
  }

  #begin({ id, job, fetcher, assignments }: Member, prepared: PreparedJob): void {
    const connection = this.#connection;
    const { kind, device, reason } = prepared.engine;
    const shards = [...prepared.held];
    void connection.send({
      type: 'ready',
      jobHash: job.hash,
      layoutHash: job.layoutHash,
      engine: kind,
      device,
      shards,
      sketch: [...prepared.sketch],
    });
    connection.reached = 'ready';
    const { network, numShards, batchSize } = job;
    this.#context.emit({
      event: 'joined',
      member: id,
      engine: kind,
      device,
      threads: prepared.pool.numThreads,
      reason,
      jobHash: job.hash,
      model: network.name,
      numParameters: network.layout.numParameters,
      batchSize,
      shards: numShards,
      held: shards.length,
    });
    const fail = (error: unknown): void => this.#fail(error);
    fetcher.start(prepared).catch(fail);
    assignments.start(prepared.pool).catch(fail);
  }

  #count(job: RemoteJob, { epoch, step, runStep, from, to }: Work, computeMs: number): void {
    const samples = countSamples(job, step, from, to);
    this.#context.totals.add(runStep, samples);
    this.#context.emit({ event: 'step', epoch: epoch + 1, runStep: runStep + 1, from, to, samples, computeMs });
  }
}
