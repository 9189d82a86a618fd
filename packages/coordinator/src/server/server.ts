/**
 * One port for HTTP and WebSockets. Lets through those who may come in, tells the others why not, and keeps either from
 * taking more than their share. It knows nothing of training: it hands workers' sockets over and serves what is
 * registered.
 */

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { freePieces, invariant } from '@lockstep/core';
import { SUBPROTOCOL } from '@lockstep/protocol';
import { type WebSocket, WebSocketServer } from 'ws';
import { dialableHost, isLoopback } from './address.ts';
import { addressOf, Connections } from './connections.ts';
import { Gate, pathOf, type RouteOptions } from './gate.ts';
import { defaultLimits, type ServerLimits } from './limits.ts';
import { listen } from './listen.ts';
import { type Refusal, type RefusalReason, refuseRequest, refuseSocket, SECURITY_HEADERS } from './refusal.ts';
import * as refusals from './refusals.ts';
import { fingerprintOf, type TlsFiles } from './tls.ts';

export interface ServerOptions {
  readonly host: string;
  /** Undefined: 7070, or any free one when that is taken. 0: any free one. */
  readonly port: number | undefined;
  /** Undefined: none is needed, which is only allowed on a loopback host. */
  readonly token: string | undefined;
  readonly tls: TlsFiles | undefined;
  /** Origins of web pages, besides the server's own, that may talk to it. */
  readonly allowedOrigins: readonly string[];
  /** Of a WebSocket message; a longer one ends its connection (1009) before it is stored. */
  readonly maxMessageBytes: number;
  readonly limits?: Partial<ServerLimits>;
}

/** Who is at the other end of a WebSocket. */
export interface WorkerPeer {
  readonly address: string;
  /** It is a web page. */
  readonly browser: boolean;
  /** Bytes that came from it so far, those of an unfinished message included. */
  bytesRead(): number;
  /** Calls back each time that some have come. */
  onBytes(listener: () => void): void;
}

type RouteHandler = (request: IncomingMessage, response: ServerResponse) => void | Promise<void>;

interface Route extends RouteOptions {
  readonly handler: RouteHandler;
}

const MAX_HEADER_BYTES = 16 * 1024;
/** A larger value would overflow into "no limit" inside ws. */
const MAX_MESSAGE_BYTES = 2 ** 31 - 1;
/** WebSocket close code "going away" (RFC 6455, 7.4.1). */
const GOING_AWAY = 1001;

export class CoordinatorServer {
  /** SHA-256 fingerprint of the TLS certificate, as TLS clients write it in `fingerprint256`. */
  readonly fingerprint: string | undefined;
  /** How many were turned away, by {@link RefusalReason}. */
  readonly refused: ReadonlyMap<string, number>;
  readonly #refused = new Map<RefusalReason, number>();
  readonly #options: ServerOptions;
  readonly #limits: ServerLimits;
  readonly #onWorker: (socket: WebSocket, peer: WorkerPeer) => void;
  readonly #routes = new Map<string, Route>();
  readonly #connections: Connections;
  readonly #gate: Gate;
  readonly #sockets: WebSocketServer;
  readonly #http: Server;
  #port = 0;
  #closed: Promise<void> | undefined;

  /**
   * Listens.
   * @param onWorker gets each WebSocket that passed the checks. What is sent on it is the caller's to check; its errors
   * are handled, and end in its `close` event
   * @throws LockstepError `address-in-use`, `address-unavailable`, `tls-invalid`, or `usage` for an allowed origin
   */
  static async open(
    options: ServerOptions,
    onWorker: (socket: WebSocket, peer: WorkerPeer) => void,
  ): Promise<CoordinatorServer> {
    const { token, host, port, maxMessageBytes } = options;
    invariant(token !== undefined || isLoopback(host), 'beyond loopback there is a token');
    invariant(maxMessageBytes > 0 && maxMessageBytes <= MAX_MESSAGE_BYTES, 'the limit of messages fits into 31 bits');
    const server = new CoordinatorServer(options, onWorker);
    await listen(server.#http, host, port);
    server.#port = (server.#http.address() as AddressInfo).port;
    // Such as too many open files. The listening socket itself stays.
    server.#http.on('error', () => server.#count('accept'));
    return server;
  }

  private constructor(options: ServerOptions, onWorker: (socket: WebSocket, peer: WorkerPeer) => void) {
    const { tls, maxMessageBytes } = options;
    this.fingerprint = tls && fingerprintOf(tls);
    this.refused = this.#refused;
    this.#options = options;
    this.#limits = { ...defaultLimits, ...options.limits };
    this.#onWorker = onWorker;
    this.#connections = new Connections(this.#limits, (reason) => this.#count(reason));
    this.#gate = new Gate({ ...options, limits: this.#limits });
    this.#sockets = this.#createSocketServer(maxMessageBytes);
    this.#http = this.#createHttpServer(tls);
    this.route('/healthz', (_, response) => void response.setHeader('Content-Type', 'text/plain').end('ok\n'), {
      open: true,
    });
  }

  get port(): number {
    return this.#port;
  }

  /** What workers dial. */
  get url(): string {
    return `${this.#options.tls ? 'wss' : 'ws'}://${dialableHost(this.#options.host)}:${this.port}`;
  }

  /** Serves GET and HEAD of exactly this path. */
  route(path: string, handler: RouteHandler, { open }: RouteOptions = { open: false }): void {
    invariant(!this.#routes.has(path), `${path} is registered once`);
    this.#routes.set(path, { handler, open });
  }

  /** Stops listening and parts from everyone: at once where nothing is under way, else within `lingerMs`. */
  close(): Promise<void> {
    this.#closed ??= this.#partFromAll();
    return this.#closed;
  }

  async #partFromAll(): Promise<void> {
    // This ends idle connections too, but not those that have not sent anything yet.
    const closed = new Promise<void>((resolve) => this.#http.close(() => resolve()));
    this.#connections.destroyPending();
    for (const socket of this.#sockets.clients) socket.close(GOING_AWAY, 'The coordinator ends.');
    const deadline = setTimeout(() => this.#connections.destroyAll(), this.#limits.lingerMs);
    await closed;
    clearTimeout(deadline);
  }

  #createSocketServer(maxPayload: number): WebSocketServer {
    const sockets = new WebSocketServer({
      noServer: true,
      maxPayload,
      perMessageDeflate: false,
      handleProtocols: () => SUBPROTOCOL,
    });
    sockets.on('wsClientError', (error, socket) => this.#refuseSocket(socket, refusals.badUpgrade(error.message)));
    return sockets;
  }

  #createHttpServer(tls: TlsFiles | undefined): Server {
    const { handshakeMs, keepAliveMs, idleMs } = this.#limits;
    const settings = {
      maxHeaderSize: MAX_HEADER_BYTES,
      // For each request after the first; that one, with TLS before it, is timed by Connections.
      headersTimeout: handshakeMs,
      requestTimeout: handshakeMs,
      connectionsCheckingInterval: Math.ceil(handshakeMs / 4),
      keepAliveTimeout: keepAliveMs,
      // Site says what is wrong with it, in JSON.
      requireHostHeader: false,
    };
    const server = tls ? createTlsServer({ ...settings, cert: tls.cert, key: tls.key }) : createServer(settings);
    server.timeout = idleMs;

    // A connection that is not admitted never gets to the server's own listener, which starts TLS or HTTP on it.
    const serve = server.listeners('connection');
    server.removeAllListeners('connection');
    server.on('connection', (socket: Socket) => {
      if (this.#connections.admit(socket)) for (const listener of serve) listener.call(server, socket);
    });

    server.on('request', (request, response) => void this.#onRequest(request, response));
    server.on('upgrade', (request, socket, head) => void this.#onUpgrade(request, socket, head));
    server.on('clientError', (error: NodeJS.ErrnoException, socket) => this.#onClientError(error, socket));
    server.on('tlsClientError', ({ code }: NodeJS.ErrnoException) => {
      if (code !== 'ECONNRESET') this.#count('handshake');
    });
    return server;
  }

  async #onRequest(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.#connections.settle(request.socket);
    // A route that writes after the end would otherwise end the process.
    response.on('error', (error) => this.#fail(request, response, error));
    for (const [name, value] of Object.entries(SECURITY_HEADERS)) response.setHeader(name, value);
    try {
      const route = this.#routes.get(pathOf(request));
      const refusal = this.#closed ? refusals.CLOSING : await this.#gate.examineRequest(request, route);
      if (refusal) this.#refuseRequest(response, refusal);
      else await route?.handler(request, response);
    } catch (error) {
      this.#fail(request, response, error);
    }
  }

  async #onUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    this.#connections.settle(request.socket);
    // The HTTP server has let go of the socket, its errors included.
    socket.on('error', () => socket.destroy());
    try {
      const refusal = this.#closed ? refusals.CLOSING : await this.#gate.examineUpgrade(request);
      if (refusal) this.#refuseSocket(socket, refusal);
      else this.#sockets.handleUpgrade(request, socket, head, (webSocket) => this.#handOver(webSocket, request));
    } catch (error) {
      this.#report(request, error);
      socket.destroy();
    }
  }

  #handOver(webSocket: WebSocket, request: IncomingMessage): void {
    // 'close' follows, with the code that tells what was wrong.
    webSocket.on('error', () => {});
    const { socket, headers } = request;
    freePieces(webSocket, socket);
    const peer = {
      address: addressOf(socket) ?? 'unknown',
      browser: headers.origin !== undefined,
      bytesRead: () => socket.bytesRead,
      onBytes: (listener: () => void) => void socket.on('data', listener),
    };
    try {
      this.#onWorker(webSocket, peer);
    } catch (error) {
      this.#report(request, error);
      webSocket.terminate();
    }
  }

  #onClientError({ code }: NodeJS.ErrnoException, socket: Duplex): void {
    // Being refused has a deadline of its own.
    this.#connections.settle(socket as Socket);
    if (code === 'HPE_HEADER_OVERFLOW') this.#refuseSocket(socket, refusals.LONG_HEADER);
    else if (code === 'ERR_HTTP_REQUEST_TIMEOUT') this.#refuseSocket(socket, refusals.TIMEOUT);
    else if (code?.startsWith('HPE_')) this.#refuseSocket(socket, refusals.NOT_HTTP);
    // The peer is gone, or TLS failed: there is no way to tell it anything.
    else socket.destroy();
  }

  #fail(request: IncomingMessage, response: ServerResponse, error: unknown): void {
    this.#report(request, error);
    if (response.headersSent) {
      request.socket.destroy();
      return;
    }
    for (const name of response.getHeaderNames()) response.removeHeader(name);
    this.#refuseRequest(response, refusals.INTERNAL);
  }

  /** A fault of ours: standard error hears of it, the peer gets no details. */
  #report(request: IncomingMessage, error: unknown): void {
    process.emitWarning(`${pathOf(request)} failed: ${error instanceof Error ? error.stack : String(error)}`);
  }

  #refuseRequest(response: ServerResponse, refusal: Refusal): void {
    this.#count(refusal.code);
    refuseRequest(response, refusal);
  }

  #refuseSocket(socket: Duplex, refusal: Refusal): void {
    // It is being refused already: what it goes on to send is no HTTP either.
    if (!socket.writable) return;
    this.#count(refusal.code);
    refuseSocket(socket, refusal, this.#limits.lingerMs);
  }

  #count(reason: RefusalReason): void {
    this.#refused.set(reason, (this.#refused.get(reason) ?? 0) + 1);
  }
}
