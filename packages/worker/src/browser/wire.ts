/** The WebSocket of a worker in a browser, which shows less of itself than one in Node.js. */
import type { Wire, WireListener } from '../remote/connection.ts';

/** Less than this is not waited for. */
const ENOUGH_BYTES = 2 ** 20;
const POLL_MS = 5;
/** WebSocket's own code for a connection that ended without a goodbye (RFC 6455, 7.4.1). */
const ABNORMAL = 1006;

export class TabWire implements Wire {
  /** Only whole messages are seen: the heartbeat's five seconds become thirty. */
  readonly patience = 6;
  bytesRead = 0;
  readonly #socket: WebSocket;
  readonly #listener: WireListener;
  #bytesSent = 0;
  #isClosed = false;

  /** @param socket is open, or about to be */
  constructor(socket: WebSocket, listener: WireListener) {
    this.#socket = socket;
    this.#listener = listener;
    socket.binaryType = 'arraybuffer';
    socket.onmessage = ({ data }: MessageEvent<ArrayBuffer | string>) => {
      if (this.#isClosed) return;
      this.bytesRead += typeof data === 'string' ? data.length : data.byteLength;
      listener.message(typeof data === 'string' ? undefined : new Uint8Array(data));
    };
    socket.onclose = ({ code, reason }) => this.#end(code, reason);
  }

  /** Grows while the system takes what was sent. */
  get numSent(): number {
    return this.#bytesSent - this.#socket.bufferedAmount;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  async send(bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    if (this.#socket.readyState !== WebSocket.OPEN) return;
    this.#bytesSent += bytes.length;
    this.#socket.send(bytes);
    while (this.#socket.readyState === WebSocket.OPEN && this.#socket.bufferedAmount > ENOUGH_BYTES) {
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  close(code: number, reason: string): void {
    this.#socket.close(code, reason);
  }

  /** A browser always says goodbye first, and waits for the answer; nobody here waits with it. */
  terminate(): void {
    this.#socket.close();
    this.#end(ABNORMAL, '');
  }

  #end(code: number, reason: string): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#listener.closed(code, reason);
  }
}
