/** A coordinator as its page sees it, and nothing behind it: the built files, a status, pictures, and a stream of events. */
import { createReadStream, readdirSync } from 'node:fs';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join } from 'node:path';
import { crc32, deflateSync } from 'node:zlib';
import { syntheticDataset } from '@lockstep/dataset';
import type { RunStatus, TrainEvent } from '@lockstep/protocol';

/** Those of the coordinator. */
const HEADERS = {
  'X-Content-Type-Options': 'nosniff',
  'X-Frame-Options': 'DENY',
  'Referrer-Policy': 'no-referrer',
  'Content-Security-Policy': "default-src 'self'",
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Cache-Control': 'no-store',
};

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
};

const SIDE = 28;

/** A grey PNG. */
function encodePng(width: number, height: number, pixels: Uint8Array): Buffer {
  const chunk = (type: string, data: Uint8Array): Buffer => {
    const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
    const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
    length.writeUInt32BE(data.length);
    sum.writeUInt32BE(crc32(body));
    return Buffer.concat([length, body, sum]);
  };
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header[8] = 8;
  const rows = Buffer.alloc(height * (width + 1));
  for (let y = 0; y < height; y++) rows.set(pixels.subarray(y * width, (y + 1) * width), y * (width + 1) + 1);
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  return Buffer.concat([
    signature,
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(rows)),
    chunk('IEND', Buffer.of()),
  ]);
}

/** Garments of the wanted classes side by side. */
function drawPictures(labels: readonly number[]): Buffer {
  const { images, labels: drawn } = syntheticDataset({ seed: 3, numTrain: 1, numTest: 400 }).test;
  const used = new Set<number>();
  const pixels = new Uint8Array(SIDE * SIDE * labels.length);
  labels.forEach((label, column) => {
    const index = drawn.findIndex((candidate, i) => candidate === label && !used.has(i));
    used.add(index);
    for (let y = 0; y < SIDE; y++) {
      const row = images.subarray((index * SIDE + y) * SIDE, (index * SIDE + y + 1) * SIDE);
      pixels.set(row, (y * labels.length + column) * SIDE);
    }
  });
  return encodePng(SIDE * labels.length, SIDE, pixels);
}

export class FakeRun {
  readonly #folder: string;
  readonly #files: ReadonlySet<string>;
  readonly #viewers = new Set<ServerResponse>();
  #server: Server | undefined;
  #pictures: { readonly labels: string; readonly png: Buffer } | undefined;
  #port = 0;
  status: RunStatus;

  /** @param folder what the build of the page left behind */
  constructor(folder: string, status: RunStatus) {
    this.#folder = folder;
    this.status = status;
    this.#files = new Set(
      readdirSync(folder, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map(({ parentPath, name }) => join(parentPath, name)),
    );
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}/`;
  }

  /** Listens; after a stop, on the same port again. */
  async start(): Promise<this> {
    const server = createServer(({ url }, response) => this.#answer(url ?? '/', response));
    this.#server = server;
    await new Promise<void>((resolve) => server.listen(this.#port, '127.0.0.1', resolve));
    this.#port = (server.address() as AddressInfo).port;
    return this;
  }

  async stop(): Promise<void> {
    const server = this.#server;
    if (!server) return;
    this.#server = undefined;
    const closed = new Promise((resolve) => server.close(resolve));
    server.closeAllConnections();
    await closed;
  }

  /** Tells all pages. */
  send(...events: readonly TrainEvent[]): void {
    for (const event of events) this.#write(JSON.stringify(event));
  }

  /** Another status from now on; all pages are told. */
  become(status: RunStatus): void {
    this.status = status;
    this.#write(JSON.stringify({ event: 'status', ...status }));
  }

  #write(data: string): void {
    for (const viewer of this.#viewers) viewer.write(`data: ${data}\n\n`);
  }

  #answer(url: string, response: ServerResponse): void {
    for (const [name, value] of Object.entries(HEADERS)) response.setHeader(name, value);
    const { pathname } = new URL(url, 'http://fake');
    const file = join(this.#folder, pathname === '/' ? 'index.html' : pathname);
    if (this.#files.has(file)) {
      response.setHeader('Content-Type', TYPES[extname(file)] ?? 'application/octet-stream');
      createReadStream(file).pipe(response);
    } else if (pathname === '/api/status') {
      response.setHeader('Content-Type', 'application/json');
      response.end(JSON.stringify(this.status));
    } else if (pathname === '/api/pictures.png' && this.status.predictions) {
      response.setHeader('Content-Type', 'image/png');
      response.end(this.#draw(this.status.predictions.pictures.map(({ label }) => label)));
    } else if (pathname === '/events') {
      response.writeHead(200, { 'Content-Type': 'text/event-stream' });
      response.write(`data: ${JSON.stringify({ event: 'status', ...this.status })}\n\n`);
      this.#viewers.add(response);
      response.on('close', () => this.#viewers.delete(response));
    } else {
      response.writeHead(404).end();
    }
  }

  #draw(labels: readonly number[]): Buffer {
    const key = labels.join();
    if (this.#pictures?.labels !== key) this.#pictures = { labels: key, png: drawPictures(labels) };
    return this.#pictures.png;
  }
}
