/** A mirror on the loopback interface that misbehaves in the ways that real ones do. */

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, createServer as createTcpServer, type Socket, type Server as TcpServer } from 'node:net';
import { basename } from 'node:path';
import { COMPRESSED } from './files.ts';

export interface Behaviour {
  /** Bytes by file name instead of the small files. */
  readonly files?: ReadonlyMap<string, Buffer>;
  /** Answers 200 with the whole file to any request. */
  readonly ignoreRange?: boolean;
  /** Status instead of an answer to downloads (the probe for one byte is answered). */
  readonly status?: number;
  /** Cuts the connection after so many bytes of the first answers, once for each number. */
  readonly cutAfter?: number[];
  /** Falls silent after so many bytes. */
  readonly stallAfter?: number;
  /** Sends without a length, and this much more than the file. */
  readonly surplus?: number;
  /** Sends so many bytes at a time, a few milliseconds apart. */
  readonly chunkBytes?: number;
  /** Labels files as `Content-Encoding: gzip`, as some servers do. */
  readonly encoding?: boolean;
  /** Answers a request for a range with one that begins a byte later. */
  readonly wrongRange?: boolean;
  /** Redirects to a base URL. */
  readonly redirect?: string;
}

export interface Mirror extends AsyncDisposable {
  /** Cuts the connections of answers that fell silent. */
  cut(): void;
  /** Base URL, ending in a slash. */
  readonly url: string;
  /** `<name> <range or ->` for each download. */
  readonly log: string[];
}

export async function startMirror(behaviour: Behaviour = {}): Promise<Mirror> {
  const log: string[] = [];
  const silent = new Set<ServerResponse>();
  const server = createServer((request, response) => {
    answer(request, response, behaviour, log, silent).catch(() => response.destroy());
  });
  await listen(server);
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/data/`,
    log,
    cut() {
      for (const response of silent) response.destroy();
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await close(server);
    },
  };
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  behaviour: Behaviour,
  log: string[],
  silent: Set<ServerResponse>,
) {
  const name = basename(request.url ?? '');
  if (behaviour.redirect !== undefined) {
    response.writeHead(302, { location: behaviour.redirect + name }).end();
    return;
  }
  const file = (behaviour.files ?? COMPRESSED).get(name);
  if (!file) {
    response.writeHead(404).end();
    return;
  }
  const { range } = request.headers;
  if (range === 'bytes=0-0') {
    const status = behaviour.ignoreRange ? 200 : 206;
    response.writeHead(status, { 'content-length': status === 200 ? file.length : 1 });
    response.end(status === 200 ? file : file.subarray(0, 1));
    return;
  }
  log.push(`${name} ${range ?? '-'}`);
  if (behaviour.status !== undefined) {
    response.writeHead(behaviour.status).end();
    return;
  }
  const from = range === undefined || behaviour.ignoreRange ? 0 : Number(/^bytes=(\d+)-$/.exec(range)?.[1]);
  const headers: Record<string, string | number> = {};
  if (behaviour.encoding) headers['content-encoding'] = 'gzip';
  const told = behaviour.wrongRange ? from + 1 : from;
  if (from > 0) headers['content-range'] = `bytes ${told}-${file.length - 1}/${file.length}`;
  if (behaviour.surplus === undefined) headers['content-length'] = file.length - from;
  response.writeHead(from > 0 ? 206 : 200, headers);
  const body = Buffer.concat([file.subarray(from), Buffer.alloc(behaviour.surplus ?? 0)]);
  const cut = behaviour.cutAfter?.shift();
  const limit = Math.min(body.length, cut ?? behaviour.stallAfter ?? body.length);
  const step = behaviour.chunkBytes ?? body.length;
  if (behaviour.stallAfter !== undefined) silent.add(response);
  for (let at = 0; at < limit; at += step) {
    response.write(body.subarray(at, Math.min(at + step, limit)));
    // Lets the bytes leave before the connection may be cut.
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  if (cut !== undefined) response.destroy();
  else if (behaviour.stallAfter === undefined) response.end();
}

/** A port that accepts connections and never says a word. */
export async function startSilentPort(): Promise<{ url: string } & AsyncDisposable> {
  const sockets = new Set<Socket>();
  const server = createTcpServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
  });
  await listen(server);
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await close(server);
    },
  };
}

/** The URL of a loopback port on which nothing listens. */
export async function closedPort(): Promise<string> {
  const server = createTcpServer();
  await listen(server);
  const { port } = server.address() as AddressInfo;
  await close(server);
  return `http://127.0.0.1:${port}/`;
}

function listen(server: TcpServer | Server): Promise<void> {
  return new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
}

function close(server: TcpServer | Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}
