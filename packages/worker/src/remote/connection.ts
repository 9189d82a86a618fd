/**
 * A connection to a coordinator that speaks in frames: what comes in is checked, what goes out goes in order, and a peer
 * that says nothing, or takes nothing, for too long is parted from. Pings and the goodbye are answered here. The WebSocket
 * under it is a {@link Wire}, of which Node.js and browsers have their own.
 */
import {
  type CoordinatorMessage,
  closeCodes,
  decodeFromCoordinator,
  encodeFrame,
  type Frame,
  FrameError,
  type MessageOf,
  type WorkerMessage,
} from '@lockstep/protocol';
import { Mailbox } from './mailbox.ts';
import { printable } from './printable.ts';

/** An open WebSocket. What happens to it is told to a {@link WireListener}. */
export interface Wire {
  /** Grows whenever something has come. */
  readonly bytesRead: number;
  /** Grows whenever something of a message was taken by the system. */
  readonly numSent: number;
  /**
   * How many times longer it may be silent than the coordinator says. More than 1 where only whole messages are seen: a
   * long one on a slow line looks like silence.
   */
  readonly patience: number;
  readonly isClosed: boolean;
  /** Sends a message; called for one after the other. @returns resolves once it was taken, or the wire is closed */
  send(bytes: Uint8Array<ArrayBuffer>): Promise<void>;
  /** Begins the closing handshake. */
  close(code: number, reason: string): void;
  /** Ends it at once. */
  terminate(): void;
}

/** What a wire tells. */
export interface WireListener {
  /** @param bytes undefined for a text message */
  message(bytes: Uint8Array | undefined): void;
  /** Something went wrong; its end follows. */
  failed(reason: string): void;
  /** It is closed, and nothing follows. */
  closed(code: number, reason: string): void;
}

/** How a connection ended. */
export type Ending =
  /** By the coordinator. */
  | { readonly kind: 'closed'; readonly code: number; readonly reason: string }
  /** By this side, or by the network. */
  | { readonly kind: 'dropped'; readonly reason: string };

/** Messages for the rest of the worker. */
export type Incoming = Exclude<CoordinatorMessage, { type: 'ping' | 'bye' }>;

/** WebSocket's own code for a connection that ended without a goodbye (RFC 6455, 7.4.1). */
const ABNORMAL = 1006;

/** Messages that may have a payload. */
const WITH_PAYLOAD: readonly CoordinatorMessage['type'][] = ['part', 'parameters', 'change'];

type Timer = ReturnType<typeof setTimeout>;

export class Connection {
  /** What came in; ends with the connection. */
  readonly frames = new Mailbox<Frame<Incoming>>();
  /** Resolves once it is closed. */
  readonly closed: Promise<Ending>;
  /** How far it came. */
  reached: 'open' | 'welcome' | 'ready' = 'open';
  readonly #wire: Wire;
  readonly #closeMs: number;
  #ending: Ending | undefined;
  #bye: MessageOf<CoordinatorMessage, 'bye'> | undefined;
  #sending: Promise<void> = Promise.resolve();
  /** Messages that were not taken yet. */
  #numUnsent = 0;
  #heartbeat: Timer | undefined;
  #deadline: Timer | undefined;

  /**
   * @param openWire gives the wire, which tells the listener what happens from then on
   * @param closeMs how long the coordinator may take to close its side
   */
  constructor(openWire: (listener: WireListener) => Wire, closeMs: number) {
    this.#closeMs = closeMs;
    const { promise, resolve } = withResolvers<Ending>();
    this.closed = promise;
    this.#wire = openWire({
      message: (bytes) => this.#receive(bytes),
      failed: (reason) => {
        this.#ending ??= { kind: 'dropped', reason };
      },
      closed: (code, reason) => {
        clearInterval(this.#heartbeat);
        clearTimeout(this.#deadline);
        this.frames.end('keep');
        resolve(this.#endingOf(code, reason));
      },
    });
  }

  #endingOf(code: number, reason: string): Ending {
    // What the coordinator said it would do counts, even when the network was faster.
    if (this.#bye) return { kind: 'closed', code: this.#bye.code, reason: printable(this.#bye.reason) };
    if (this.#ending) return this.#ending;
    const unexplained = code === ABNORMAL ? 'the connection broke' : `it closed the connection with code ${code}`;
    return { kind: 'closed', code, reason: reason === '' ? unexplained : printable(reason) };
  }

  /** Begins to watch: at every beat something must have come in, and something must have gone out if there was anything. */
  watch(heartbeatMs: number, misses: number): void {
    const wire = this.#wire;
    let bytesRead = 0;
    let numSent = 0;
    let silent = 0;
    let stuck = 0;
    const patience = misses * wire.patience;
    // Beats are counted, not milliseconds: a machine that slept, or a process that was busy, has missed none. And bytes
    // are, not messages: those of a large model take long on a slow line.
    this.#heartbeat = setInterval(() => {
      silent = wire.bytesRead === bytesRead ? silent + 1 : 0;
      stuck = this.#numUnsent > 0 && wire.numSent === numSent ? stuck + 1 : 0;
      ({ bytesRead, numSent } = wire);
      const seconds = (heartbeatMs * patience) / 1000;
      if (silent >= patience) this.cut(`nothing came from the coordinator for ${seconds} s`);
      else if (stuck >= patience) this.cut(`the coordinator took nothing for ${seconds} s`);
    }, heartbeatMs);
  }

  /**
   * Sends a message after those before it. Its payload is copied at once.
   * @returns resolves once the system has taken all of it, or the connection has ended
   */
  send(message: WorkerMessage, payload?: readonly Uint8Array[]): Promise<void> {
    const bytes = encodeFrame(message, payload);
    this.#numUnsent++;
    this.#sending = this.#sending.then(async () => {
      await this.#wire.send(bytes);
      this.#numUnsent--;
    });
    return this.#sending;
  }

  /** Says goodbye after what is still to be sent, and throws away what comes in from now on. */
  drop(code: number, reason: string): void {
    if (this.#wire.isClosed) return;
    this.#ending ??= { kind: 'dropped', reason };
    this.frames.end('discard');
    // The protocol leaves 123 bytes for a reason.
    void this.#sending.then(() => this.#wire.close(code, reason.slice(0, 40)));
    this.#endSoon();
  }

  /** Ends the connection without waiting for the other side. */
  cut(reason: string): void {
    this.#ending ??= { kind: 'dropped', reason };
    this.frames.end('discard');
    this.#wire.terminate();
  }

  #endSoon(): void {
    this.#deadline ??= setTimeout(() => this.#wire.terminate(), this.#closeMs);
  }

  #receive(bytes: Uint8Array | undefined): void {
    if (this.#ending) return;
    try {
      if (!bytes) throw new FrameError('a text message');
      const frame = decodeFromCoordinator(bytes);
      const { message, payload } = frame;
      if (payload.length > 0 && !WITH_PAYLOAD.includes(message.type)) {
        throw new FrameError(`${message.type} with a payload`);
      }
      if (message.type === 'ping') void this.send({ type: 'pong', sentAt: message.sentAt, at: performance.now() });
      else if (message.type === 'bye') {
        this.#bye = message;
        this.#endSoon();
      } else this.frames.push({ ...frame, message });
    } catch (error) {
      if (!(error instanceof FrameError)) throw error;
      this.violated(error);
    }
  }

  /** The coordinator said something that no honest one says. */
  violated({ message }: FrameError): void {
    this.drop(closeCodes.malformed, `it sent ${printable(message)}`);
  }
}

/** Promise.withResolvers, which Node.js 20 lacks. */
function withResolvers<T>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve!: (value: T) => void;
  const promise = new Promise<T>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}
