/** Server-sent events: pushes what happens to every page that looks. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { TrainEvent } from '@lockstep/protocol';
import type { RunRecord } from './record.ts';

const STATUS_INTERVAL_MS = 1_000;
/** Steps are shown at most this often. */
const STEP_INTERVAL_MS = 100;
const MAX_VIEWERS = 256;
/** A viewer that leaves so much unread is let go; its browser comes back. */
const MAX_UNREAD_BYTES = 4 * 2 ** 20;

export class EventStream {
  readonly #record: RunRecord;
  readonly #viewers = new Set<ServerResponse>();
  #timer: NodeJS.Timeout | undefined;
  #stepAt = 0;

  constructor(record: RunRecord) {
    this.#record = record;
  }

  get numViewers(): number {
    return this.#viewers.size;
  }

  /** A page that wants to see what happens from now on. */
  open({ method }: IncomingMessage, response: ServerResponse): void {
    if (this.#viewers.size >= MAX_VIEWERS) {
      response.statusCode = 503;
      response.setHeader('Retry-After', '10');
      response.end();
      return;
    }
    response.writeHead(200, { 'Content-Type': 'text/event-stream' });
    if (method === 'HEAD') {
      response.end();
      return;
    }
    response.on('close', () => {
      this.#viewers.delete(response);
      if (this.#viewers.size === 0) clearInterval(this.#timer);
    });
    this.#viewers.add(response);
    if (this.#viewers.size === 1) this.#timer = setInterval(() => this.#sendStatus(), STATUS_INTERVAL_MS);
    this.#write(response, this.#statusMessage());
  }

  push(event: TrainEvent): void {
    if (this.#viewers.size === 0 || event.event === 'progress') return;
    if (event.event === 'step') {
      const now = performance.now();
      if (now - this.#stepAt < STEP_INTERVAL_MS) return;
      this.#stepAt = now;
    }
    this.#broadcast(message(event));
  }

  /** Sends the last status and ends all streams. */
  close(): void {
    if (this.#viewers.size > 0) this.#sendStatus();
    clearInterval(this.#timer);
    for (const viewer of this.#viewers) viewer.end();
    this.#viewers.clear();
  }

  #statusMessage(): string {
    return message({ event: 'status', ...this.#record.status() });
  }

  #sendStatus(): void {
    this.#broadcast(this.#statusMessage());
  }

  #broadcast(text: string): void {
    for (const viewer of this.#viewers) this.#write(viewer, text);
  }

  #write(viewer: ServerResponse, text: string): void {
    if (viewer.writableLength > MAX_UNREAD_BYTES) viewer.destroy();
    else viewer.write(text);
  }
}

const message = (data: object): string => `data: ${JSON.stringify(data)}\n\n`;
