/**
 * A WebSocket to a coordinator that speaks in frames: what comes in is checked, what goes out goes in order, and a peer
 * that says nothing, or takes nothing, for too long is parted from. Pings and the goodbye are answered here.
 */
import type { Socket } from 'node:net';
import { reasonOf } from '@lockstep/dataset';
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
import type { WebSocket } from 'ws';
import { Mailbox } from './mailbox.ts';
import { printable } from './refusal.ts';

/** How a connection ended. */
export type Ending =
  /** By the coordinator. */
  | { readonly kind: 'closed'; readonly code: number; readonly reason: string }
  /** By this side, or by the network. */
  | { readonly kind: 'dropped'; readonly reason: string };

/** Messages for the rest of the worker. */
export type Incoming = Exclude<CoordinatorMessage, { type: 'ping' | 'bye' }>;

/** A long message goes out in fragments of this size, so that a slow line can be told from a dead one. */
const FRAGMENT_BYTES = 2 ** 20;
/** WebSocket's own code for a connection that ended without a goodbye (RFC 6455, 7.4.1). */
const ABNORMAL = 1006;

export class Connection {
  /** What came in; ends with the connection. */
  readonly frames = new Mailbox<Frame<Incoming>>();
  /** Resolves once it is closed. */
  readonly closed: Promise<Ending>;
  /** How far it came. */
  reached: 'open' | 'welcome' | 'ready' = 'open';
  readonly #socket: WebSocket;
  readonly #raw: Socket;
  readonly #closeMs: number;
  #ending: Ending | undefined;
  #bye: MessageOf<CoordinatorMessage, 'bye'> | undefined;
  #sending: Promise<void> = Promise.resolve();
  /** Fragments that were handed to the system, and those still to be. */
  #numSent = 0;
  #numUnsent = 0;
  #heartbeat: NodeJS.Timeout | undefined;
  #deadline: NodeJS.Timeout | undefined;

  /**
   * @param socket may still be connecting
   * @param raw what it runs over
   * @param closeMs how long the coordinator may take to close its side
   */
  constructor(socket: WebSocket, raw: Socket, closeMs: number) {
    this.#socket = socket;
    this.#raw = raw;
    this.#closeMs = closeMs;
    socket.on('message', (data, isBinary) => this.#receive(data as Buffer, isBinary));
    // A 'close' follows.
    socket.on('error', (error) => {
      this.#ending ??= { kind: 'dropped', reason: reasonOf(error) };
    });
    this.closed = new Promise((resolve) => {
      socket.once('close', (code, reason) => {
        clearInterval(this.#heartbeat);
        clearTimeout(this.#deadline);
        this.frames.end('keep');
        resolve(this.#endingOf(code, reason.toString()));
      });
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
    let bytesRead = 0;
    let numSent = 0;
    let silent = 0;
    let stuck = 0;
    // Beats are counted, not milliseconds: a machine that slept, or a process that was busy, has missed none. And bytes
    // are, not messages: those of a large model take long on a slow line.
    this.#heartbeat = setInterval(() => {
      silent = this.#raw.bytesRead === bytesRead ? silent + 1 : 0;
      stuck = this.#numUnsent > 0 && this.#numSent === numSent ? stuck + 1 : 0;
      bytesRead = this.#raw.bytesRead;
      numSent = this.#numSent;
      const seconds = (heartbeatMs * misses) / 1000;
      if (silent >= misses) this.cut(`nothing came from the coordinator for ${seconds} s`);
      else if (stuck >= misses) this.cut(`the coordinator took nothing for ${seconds} s`);
    }, heartbeatMs);
  }

  /**
   * Sends a message after those before it. Its payload is copied at once.
   * @returns resolves once the system has taken all of it, or the connection has ended
   */
  send(message: WorkerMessage, payload?: readonly Uint8Array[]): Promise<void> {
    const bytes = encodeFrame(message, payload);
    const numFragments = Math.ceil(bytes.length / FRAGMENT_BYTES);
    this.#numUnsent += numFragments;
    this.#sending = this.#sending.then(async () => {
      for (let i = 0; i < numFragments; i++) {
        const fragment = bytes.subarray(i * FRAGMENT_BYTES, (i + 1) * FRAGMENT_BYTES);
        await this.#sendFragment(fragment, i === numFragments - 1);
        this.#numUnsent--;
        this.#numSent++;
      }
    });
    return this.#sending;
  }

  #sendFragment(bytes: Uint8Array, fin: boolean): Promise<void> {
    return new Promise((resolve) => {
      // An error means that the connection has ended, which `closed` tells.
      this.#socket.send(bytes, { binary: true, fin }, () => resolve());
    });
  }

  /** Says goodbye after what is still to be sent, and throws away what comes in from now on. */
  drop(code: number, reason: string): void {
    if (this.#socket.readyState === this.#socket.CLOSED) return;
    this.#ending ??= { kind: 'dropped', reason };
    this.frames.end('discard');
    // The protocol leaves 123 bytes for a reason.
    void this.#sending.then(() => this.#socket.close(code, reason.slice(0, 40)));
    this.#endSoon();
  }

  /** Ends the connection without waiting for the other side. */
  cut(reason: string): void {
    this.#ending ??= { kind: 'dropped', reason };
    this.frames.end('discard');
    this.#socket.terminate();
  }

  #endSoon(): void {
    this.#deadline ??= setTimeout(() => this.#socket.terminate(), this.#closeMs);
  }

  #receive(data: Buffer, isBinary: boolean): void {
    if (this.#ending) return;
    try {
      if (!isBinary) throw new FrameError('a text message');
      const { message, payload } = decodeFromCoordinator(data);
      if (payload.length > 0 && message.type !== 'part' && message.type !== 'parameters') {
        throw new FrameError(`${message.type} with a payload`);
      }
      if (message.type === 'ping') void this.send({ type: 'pong', sentAt: message.sentAt, at: performance.now() });
      else if (message.type === 'bye') {
        this.#bye = message;
        this.#endSoon();
      } else this.frames.push({ message, payload });
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
