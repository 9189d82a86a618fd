/** Servers with small limits, and peers of all manners that talk to them over real sockets. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { SUBPROTOCOL, TOKEN_SUBPROTOCOL } from '@lockstep/protocol';
import { generate } from 'selfsigned';
import { onTestFinished } from 'vitest';
import WebSocket, { type ClientOptions } from 'ws';
import { CoordinatorServer, type ServerLimits, type ServerOptions, type WorkerPeer } from '../index.ts';

export const TOKEN = 'correct-horse';
export const bearer = { authorization: `Bearer ${TOKEN}` };

/** Long enough to never matter in a test that is not about it. */
const PATIENT: Partial<ServerLimits> = { handshakeMs: 30_000, lingerMs: 1_000 };

export const defaults: ServerOptions = {
  host: '127.0.0.1',
  port: 0,
  token: TOKEN,
  tls: undefined,
  allowedOrigins: [],
  maxMessageBytes: 1000,
  limits: PATIENT,
};

export interface Opened {
  readonly server: CoordinatorServer;
  /** The WebSockets that were handed over, on the server's side. */
  readonly workers: { readonly socket: WebSocket; readonly peer: WorkerPeer }[];
}

/** A server that is closed when the test ends. */
export async function openServer(options: Partial<ServerOptions> = {}): Promise<Opened> {
  const workers: Opened['workers'] = [];
  const limits = { ...PATIENT, ...options.limits };
  const server = await CoordinatorServer.open({ ...defaults, ...options, limits }, (socket, peer) => {
    workers.push({ socket, peer });
  });
  onTestFinished(() => server.close());
  return { server, workers };
}

export async function makeCertificate(): Promise<{ cert: Buffer; key: Buffer }> {
  const pems = await generate([{ name: 'commonName', value: 'lockstep' }], { keyType: 'ec' });
  return { cert: Buffer.from(pems.cert), key: Buffer.from(pems.private) };
}

/** How an attempt to join ended: in a WebSocket, an HTTP status with its body, or the code of an error. */
export interface Outcome {
  readonly socket: WebSocket | undefined;
  readonly status: number | undefined;
  readonly headers: NodeJS.Dict<string | string[]>;
  readonly body: { readonly code: string; readonly message: string; readonly nextStep: string } | undefined;
  readonly error: string | undefined;
}

export interface JoinOptions {
  readonly token?: string;
  readonly protocols?: readonly string[];
  readonly client?: ClientOptions;
}

export async function join(url: string, options: JoinOptions = {}): Promise<Outcome> {
  const { token, protocols = [SUBPROTOCOL], client } = options;
  const headers = { ...client?.headers, ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) };
  const socket = new WebSocket(url, [...protocols], { rejectUnauthorized: false, ...client, headers });
  const nothing = { socket: undefined, status: undefined, headers: {}, body: undefined, error: undefined };
  return new Promise((resolve) => {
    socket.on('open', () => resolve({ ...nothing, socket }));
    socket.on('error', (error: NodeJS.ErrnoException) => resolve({ ...nothing, error: error.code ?? error.message }));
    socket.on('unexpected-response', (_, response) => {
      let body = '';
      response.on('data', (bytes) => {
        body += bytes;
      });
      response.on('end', () => {
        resolve({ ...nothing, status: response.statusCode, headers: response.headers, body: JSON.parse(body) });
      });
    });
  });
}

/** A TCP connection that is open; its errors are of no interest. */
export async function dial(port: number): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  socket.on('error', () => {});
  await once(socket, 'connect');
  return socket;
}

/** All that the server sends until it closes the connection. */
export async function untilClosed(socket: Socket): Promise<string> {
  let text = '';
  socket.on('data', (bytes) => {
    text += bytes;
  });
  if (!socket.closed) await new Promise((resolve) => socket.once('end', resolve).once('close', resolve));
  socket.destroy();
  return text;
}

/** Writes bytes as they are and returns all that comes back until the server closes; never closes first. */
export async function talk(port: number, bytes: string | Buffer): Promise<string> {
  const socket = await dial(port);
  socket.write(bytes);
  return untilClosed(socket);
}

/** The same over TLS. */
export async function talkTls(port: number, bytes: string): Promise<string> {
  const socket = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false });
  socket.on('error', () => {});
  socket.write(bytes);
  return untilClosed(socket);
}

/** The TCP socket under a client's WebSocket. */
export function rawSocketOf(socket: WebSocket): Socket {
  return (socket as unknown as { _socket: Socket })._socket;
}

/** What a browser offers as a subprotocol to show a token. */
export function bySubprotocol(token: string): string {
  return TOKEN_SUBPROTOCOL + Buffer.from(token).toString('base64url');
}

export function httpUrl({ port }: CoordinatorServer, path: string): string {
  return `http://127.0.0.1:${port}${path}`;
}
