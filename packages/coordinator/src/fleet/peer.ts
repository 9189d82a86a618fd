/** One worker's connection: decodes what it says, sees that it says it in order, and serves it its data. */
import {
  type CloseReason,
  type CoordinatorMessage,
  closeCodes,
  decodeFromWorker,
  encodeFrame,
  FrameError,
  type JobText,
  type MessageOf,
  PROTOCOL_VERSION,
  type WorkerMessage,
} from '@lockstep/protocol';
import type { StepPosition } from '@lockstep/worker';
import type { MemberInfo } from './membership.ts';
import type { Partitions } from './partitions.ts';

/** A connection as the network offers it. */
export interface Link {
  /** @param onTaken called once the system has taken all of it, or never will */
  send(frame: Uint8Array, onTaken?: () => void): void;
  /** Bytes that were sent and not taken yet. */
  readonly bufferedBytes: number;
  /** Bytes that came so far, those of an unfinished message included. */
  readonly receivedBytes: number;
  close(code: number, reason: string): void;
}

/** What a peer must agree to. */
export interface Terms {
  readonly job: JobText;
  readonly layoutHash: string;
  readonly numShards: number;
  readonly partitions: Partitions;
  /** What is wrong with a worker's self-test; undefined when nothing is. */
  readonly checkSketch: (sketch: readonly number[]) => Promise<string | undefined>;
  readonly heartbeatMs: number;
  readonly heartbeatMisses: number;
  /** More unread bytes than this, and the peer counts as a slow reader. */
  readonly maxBufferedBytes: number;
}

/** What a peer that keeps the order leads to. */
export interface PeerEvents {
  hello(info: MemberInfo): void;
  ready(info: MemberInfo): void;
  result(message: MessageOf<WorkerMessage, 'result'>, payload: Uint8Array): void;
  failed(message: MessageOf<WorkerMessage, 'failed'>): void;
  /** @param at the worker's own clock */
  pong(sentAt: number, at: number): void;
  holds(shards: readonly number[]): void;
  /** Its connection is to be ended. */
  violated(code: CloseReason, reason: string): void;
}

/** Room for the longest header and the frames around it. A peer that is not ready yet has nothing longer to say. */
const MAX_BYTES_BEFORE_READY = 2 * 64 * 1024;

export class Peer {
  readonly id: string;
  /** The step whose parameters it was sent last. */
  parametersOf: Pick<StepPosition, 'runStep' | 'wire'> | undefined;
  /** What it was sent before of the parameters of the step after that: elements up to, without it, `to`. */
  ahead: (Pick<StepPosition, 'runStep' | 'wire'> & { readonly to: number }) | undefined;
  bytesSent = 0;
  bytesReceived = 0;
  readonly #link: Link;
  readonly #terms: Terms;
  readonly #events: PeerEvents;
  #state: 'connected' | 'joining' | 'testing' | 'ready' | 'closed' = 'connected';
  #info: MemberInfo | undefined;

  constructor(id: string, link: Link, terms: Terms, events: PeerEvents) {
    this.id = id;
    this.#link = link;
    this.#terms = terms;
    this.#events = events;
  }

  send(message: CoordinatorMessage, payload?: readonly Uint8Array[]): void {
    this.sendFrame(encodeFrame(message, payload));
  }

  /** Sends a frame that may be shared among peers. @param onTaken called once it is of no use to this one any more */
  sendFrame(frame: Uint8Array, onTaken?: () => void): void {
    if (this.#state === 'closed') {
      onTaken?.();
      return;
    }
    this.bytesSent += frame.length;
    this.#link.send(frame, onTaken);
    if (this.#link.bufferedBytes > this.#terms.maxBufferedBytes) {
      const megabytes = (this.#link.bufferedBytes / 1e6).toFixed(1);
      this.#events.violated('slowReader', `it left ${megabytes} MB unread`);
    }
  }

  close(reason: CloseReason, sentence: string): void {
    if (this.#state === 'closed') return;
    const code = closeCodes[reason];
    this.#link.send(encodeFrame({ type: 'bye', code, reason: sentence }));
    this.#state = 'closed';
    this.#link.close(code, reason);
  }

  /** Grows as long as anything comes. */
  get receivedBytes(): number {
    return this.#link.receivedBytes;
  }

  /** The network ended the connection. */
  closed(): void {
    this.#state = 'closed';
  }

  get #saidReady(): boolean {
    return this.#state === 'testing' || this.#state === 'ready';
  }

  /** Whether it may have sent so much of a message: only partial sums are long. */
  mayOwe(numBytes: number): boolean {
    return this.#saidReady || numBytes <= MAX_BYTES_BEFORE_READY;
  }

  /** Something came from the peer. Never throws. */
  receive(bytes: Uint8Array): void {
    if (this.#state === 'closed') return;
    this.bytesReceived += bytes.length;
    try {
      const { message, payload } = decodeFromWorker(bytes);
      if (payload.length > 0 && message.type !== 'result') throw new FrameError(`${message.type} has no payload`);
      this.#take(message, payload);
    } catch (error) {
      if (!(error instanceof FrameError)) throw error;
      this.#events.violated('malformed', printable(error.message));
    }
  }

  #take(message: WorkerMessage, payload: Uint8Array): void {
    if (message.type === 'hello') {
      this.#hello(message);
      return;
    }
    if (this.#state === 'connected') throw new FrameError(`${message.type} before hello`);
    switch (message.type) {
      case 'ready':
        this.#ready(message);
        return;
      case 'fetch':
        this.#serve(message);
        return;
      case 'pong':
        this.#events.pong(message.sentAt, message.at);
        return;
      case 'holds':
        this.#events.holds(this.#shards(message.shards));
        return;
      case 'result':
      case 'failed':
        if (!this.#saidReady) throw new FrameError(`${message.type} before ready`);
        if (message.type === 'result') this.#events.result(message, payload);
        else this.#events.failed({ ...message, reason: printable(message.reason) });
        return;
      default:
        message satisfies never;
    }
  }

  #hello({ protocol, name, threads, runtime }: MessageOf<WorkerMessage, 'hello'>): void {
    if (this.#state !== 'connected') throw new FrameError('hello again');
    if (protocol !== PROTOCOL_VERSION) {
      this.#events.violated(
        'version',
        `The worker speaks version ${protocol} of the protocol, this coordinator ${PROTOCOL_VERSION}: install the same version of Lockstep on both.`,
      );
      return;
    }
    this.#state = 'joining';
    this.#info = { name: printable(name), threads, engine: '', device: '', runtime: printable(runtime) };
    this.#events.hello(this.#info);
    const { job, heartbeatMs, heartbeatMisses } = this.#terms;
    this.send({ type: 'welcome', member: this.id, job: job.text, jobHash: job.hash, heartbeatMs, heartbeatMisses });
  }

  #ready({ jobHash, layoutHash, engine, device, shards, sketch }: MessageOf<WorkerMessage, 'ready'>): void {
    if (this.#state !== 'joining') throw new FrameError('ready again');
    if (jobHash !== this.#terms.job.hash) {
      this.#events.violated('job', 'The worker prepared another job than this one: start it again.');
      return;
    }
    if (layoutHash !== this.#terms.layoutHash) {
      this.#events.violated(
        'job',
        'The worker lays the parameters out in another way than this coordinator: install the same version of Lockstep on both.',
      );
      return;
    }
    this.#state = 'testing';
    const info = { ...this.#info!, engine: printable(engine), device: printable(device) };
    this.#events.holds(this.#shards(shards));
    this.#terms.checkSketch(sketch).then(
      (wrong) => {
        if (this.#state !== 'testing') return;
        if (wrong === undefined) {
          this.#state = 'ready';
          this.#events.ready(info);
        } else {
          this.#events.violated('wrong', `Refused: ${wrong}. Try another --engine or --device on that machine.`);
        }
      },
      (error: Error) => {
        if (this.#state === 'testing') this.#events.violated('stopping', printable(error.message));
      },
    );
  }

  #serve({ digest, offset }: MessageOf<WorkerMessage, 'fetch'>): void {
    const part = this.#terms.partitions.read(digest, offset);
    if (!part) throw new FrameError(`fetch of ${digest} from ${offset} on, which does not exist`);
    this.send({ type: 'part', digest, offset, total: part.total }, part.pieces);
  }

  #shards(shards: readonly number[]): readonly number[] {
    if (shards.some((shard) => shard >= this.#terms.numShards)) throw new FrameError('a shard that does not exist');
    return shards;
  }
}

/** What a peer says about itself ends up on terminals: without control characters. */
const printable = (text: string): string => text.replaceAll(/[^\x20-\x7e]/g, '?');
