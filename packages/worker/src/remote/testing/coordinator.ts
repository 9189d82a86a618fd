/** A coordinator that does what a test tells it: a real server that speaks the real protocol, one word at a time. */
import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import {
  type CoordinatorMessage,
  decodeFromWorker,
  encodeFrame,
  type Frame,
  type JobText,
  type MessageOf,
  SUBPROTOCOL,
  type WorkerMessage,
} from '@lockstep/protocol';
import { type WebSocket, WebSocketServer } from 'ws';
import { Mailbox } from '../mailbox.ts';

/** An answer to a dial that is no WebSocket. */
export interface Refusal {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

const EMPTY = new Uint8Array();

export class ScriptedCoordinator {
  readonly url: string;
  /** Headers of all dials. */
  readonly dials: IncomingMessage[] = [];
  /** Answers to the next dials; workers are let in once there are none left. */
  readonly refusals: Refusal[] = [];
  readonly #server;
  readonly #sockets: Set<Socket>;
  readonly #peers = new Mailbox<ScriptedPeer>();
  readonly #nextPeer = this.#peers[Symbol.asyncIterator]();

  static async open(tls?: { readonly key: string; readonly cert: string }, port = 0): Promise<ScriptedCoordinator> {
    const server = tls ? createTlsServer(tls) : createServer();
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    return new ScriptedCoordinator(server, tls ? 'wss' : 'ws');
  }

  private constructor(server: ReturnType<typeof createServer>, scheme: string) {
    this.#server = server;
    this.#sockets = new Set();
    this.url = `${scheme}://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const sockets = new WebSocketServer({ noServer: true, handleProtocols: () => SUBPROTOCOL });
    server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on('error', () => {});
    });
    server.on('upgrade', (request, socket: Socket, head) => {
      this.dials.push(request);
      const refusal = this.refusals.shift();
      if (!refusal) {
        sockets.handleUpgrade(request, socket, head, (peer) => this.#peers.push(new ScriptedPeer(peer)));
        return;
      }
      const { status, headers = {}, body = '' } = refusal;
      const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
      socket.end(`HTTP/1.1 ${status} No\r\nContent-Length: ${body.length}\r\n${lines.join('')}\r\n${body}`);
    });
  }

  /** The next worker that connects. */
  async accept(): Promise<ScriptedPeer> {
    return (await this.#nextPeer.next()).value as ScriptedPeer;
  }

  /** The next worker that connects, after its hello and a welcome. */
  async welcome(job: JobText, heartbeatMs = 60_000, heartbeatMisses = 3): Promise<ScriptedPeer> {
    const peer = await this.accept();
    await peer.next('hello');
    peer.send({ type: 'welcome', member: 'worker-1', job: job.text, jobHash: job.hash, heartbeatMs, heartbeatMisses });
    return peer;
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}

/** The coordinator's end of a connection to a worker. */
export class ScriptedPeer {
  readonly socket: WebSocket;
  /** Resolves with the code of the worker's goodbye. */
  readonly closed: Promise<number>;
  /** Bytes of partitions that were sent. */
  bytesServed = 0;
  readonly #unread: Frame<WorkerMessage>[] = [];
  readonly #waiting: (() => void)[] = [];

  constructor(socket: WebSocket) {
    this.socket = socket;
    socket.on('error', () => {});
    socket.on('message', (data) => {
      this.#unread.push(decodeFromWorker(data as Buffer));
      this.#wake();
    });
    this.closed = new Promise((resolve) => {
      socket.on('close', (code) => {
        resolve(code);
        this.#wake();
      });
    });
  }

  #wake(): void {
    for (const look of this.#waiting.splice(0)) look();
  }

  /** The next message of a type that was not read yet; those of other types stay unread. */
  async next<Type extends WorkerMessage['type']>(
    type: Type,
  ): Promise<{ message: MessageOf<WorkerMessage, Type>; payload: Uint8Array }> {
    for (;;) {
      const at = this.#unread.findIndex(({ message }) => message.type === type);
      if (at >= 0) return this.#unread.splice(at, 1)[0] as never;
      if (this.socket.readyState === this.socket.CLOSED) throw new Error(`the worker is gone, and sent no ${type}`);
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  /** Types of the messages that were not read yet. */
  get unread(): string[] {
    return this.#unread.map(({ message }) => message.type);
  }

  send(message: CoordinatorMessage, ...payload: Uint8Array[]): void {
    this.socket.send(encodeFrame(message, payload));
  }

  /** Answers all requests for parts of partitions from now on. */
  serveAll(partitions: ReadonlyMap<string, Uint8Array>, partBytes?: number): void {
    this.serve(partitions, Number.POSITIVE_INFINITY, partBytes).catch(() => {});
  }

  /** Answers so many requests for parts of partitions. */
  async serve(partitions: ReadonlyMap<string, Uint8Array>, numParts: number, partBytes = 16_384): Promise<void> {
    for (let i = 0; i < numParts; i++) {
      const { digest, offset } = (await this.next('fetch')).message;
      const partition = partitions.get(digest) ?? EMPTY;
      const payload = partition.subarray(offset, offset + partBytes);
      this.bytesServed += payload.length;
      this.send({ type: 'part', digest, offset, total: partition.length }, payload);
    }
  }

  goodbye(code: number, reason: string): void {
    this.send({ type: 'bye', code, reason });
    this.socket.close(code, reason);
  }

  /** As when the network fails. */
  drop(): void {
    this.socket.terminate();
  }
}
