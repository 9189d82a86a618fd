/** A client without manners: writes any bytes to the coordinator's port, reads when told to, and hangs up as it likes. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { type CoordinatorMessage, decodeFromCoordinator, type Frame, SUBPROTOCOL } from '@lockstep/protocol';

export const opcodes = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

/** How long the coordinator may take to do what it has reason to do. */
const PATIENCE_MS = 60_000;
const MASK = 0x80;
const FIN = 0x80;

interface FrameOptions {
  readonly opcode?: number;
  readonly fin?: boolean;
  /** Length that the head announces; by default that of the payload. */
  readonly announced?: number;
}

/** A WebSocket frame as clients write it: masked, but by zeros, which leave the payload as it is. */
export function wsFrame(payload: Uint8Array, options: FrameOptions = {}): Buffer {
  const { opcode = opcodes.binary, fin = true, announced = payload.length } = options;
  const extended = announced < 126 ? 0 : announced < 2 ** 16 ? 2 : 8;
  const start = 2 + extended + 4;
  const frame = Buffer.alloc(start + payload.length);
  frame[0] = (fin ? FIN : 0) | opcode;
  frame[1] = MASK | (extended === 0 ? announced : extended === 2 ? 126 : 127);
  if (extended === 2) frame.writeUInt16BE(announced, 2);
  if (extended === 8) frame.writeBigUInt64BE(BigInt(announced), 2);
  frame.set(payload, start);
  return frame;
}

/** The lines that ask for a WebSocket. */
export const upgradeRequest = (port: number): string =>
  [
    'GET /worker HTTP/1.1',
    `Host: 127.0.0.1:${port}`,
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    `Sec-WebSocket-Key: ${randomBytes(16).toString('base64')}`,
    `Sec-WebSocket-Protocol: ${SUBPROTOCOL}`,
    '\r\n',
  ].join('\r\n');

export type Reaction = (frame: Frame<CoordinatorMessage>) => void;

export class RawClient {
  /** With which the coordinator ended the WebSocket; undefined when it did not, or without a word. */
  closeCode: number | undefined;
  /** Pongs that came. */
  numPongs = 0;
  /** Called for each message. */
  onMessage: Reaction | undefined;
  readonly #socket: Socket;
  #received: Buffer[] = [];
  #numReceived = 0;
  /** Whether the answer to the handshake is behind us. */
  #upgraded = false;
  #wake: (() => void) | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    // Resets are what this is about. 'close' follows.
    socket.on('error', () => {});
    socket.on('data', (bytes) => {
      this.#received.push(bytes);
      this.#numReceived += bytes.length;
      this.#parse();
      this.#wake?.();
    });
    socket.on('close', () => this.#wake?.());
  }

  /** A bare connection. @throws when there is none to be had: the coordinator is gone */
  static async dial(port: number): Promise<RawClient> {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    const client = new RawClient(socket);
    await once(socket, 'connect');
    return client;
  }

  /** A WebSocket, and what is said on it without waiting for the answer to the handshake. */
  static async join(port: number, ...frames: readonly Uint8Array[]): Promise<RawClient> {
    const client = await RawClient.dial(port);
    await client.write(Buffer.concat([Buffer.from(upgradeRequest(port)), ...frames]));
    return client;
  }

  get isOpen(): boolean {
    return this.#socket.writable;
  }

  /** Writes bytes and waits until the network has taken them, or the connection is over. */
  async write(bytes: Uint8Array): Promise<void> {
    if (!this.isOpen) return;
    await new Promise<void>((resolve) => this.#socket.write(bytes, () => resolve()));
  }

  /** Writes without waiting. */
  post(bytes: Uint8Array): void {
    if (this.isOpen) this.#socket.write(bytes);
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  /** Waits for something to be so. Returns false when the connection was over, or patience, before. */
  async until(condition: () => boolean): Promise<boolean> {
    const deadline = performance.now() + PATIENCE_MS;
    while (!condition()) {
      const left = deadline - performance.now();
      if (this.#socket.closed || left <= 0) return false;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
        if (this.#socket.closed) this.#wake();
      });
    }
    return true;
  }

  /** Waits until the coordinator has ended the connection. Returns its close code. */
  async ended(): Promise<number | undefined> {
    this.#socket.resume();
    await this.until(() => this.#socket.closed);
    if (!this.#socket.closed) throw new Error(`a connection was still open after ${PATIENCE_MS / 1000} s`);
    return this.closeCode;
  }

  /** Says goodbye as the standard wants it, and waits for the end. */
  async leave(): Promise<number | undefined> {
    await this.write(wsFrame(Uint8Array.of(0x03, 0xe8), { opcode: opcodes.close }));
    return this.ended();
  }

  /** Ends without a word: a reset. */
  hangUp(): void {
    this.#socket.resetAndDestroy();
  }

  #parse(): void {
    if (!this.#upgraded) {
      const end = this.#peek(this.#numReceived).indexOf('\r\n\r\n');
      if (end < 0) return;
      this.#take(end + 4);
      this.#upgraded = true;
    }
    for (;;) {
      if (this.#numReceived < 2) return;
      const head = this.#peek(Math.min(10, this.#numReceived));
      const short = head[1]! & 0x7f;
      const start = short < 126 ? 2 : short === 126 ? 4 : 10;
      if (head.length < start) return;
      const length = short < 126 ? short : short === 126 ? head.readUInt16BE(2) : Number(head.readBigUInt64BE(2));
      if (this.#numReceived < start + length) return;
      const opcode = head[0]! & 0x0f;
      this.#hear(opcode, this.#take(start + length).subarray(start));
    }
  }

  #hear(opcode: number, payload: Buffer): void {
    if (opcode === opcodes.pong) this.numPongs++;
    else if (opcode === opcodes.close) {
      this.closeCode = payload.length >= 2 ? payload.readUInt16BE(0) : undefined;
      this.#socket.end(wsFrame(payload, { opcode: opcodes.close }));
    } else if (opcode === opcodes.binary) this.onMessage?.(decodeFromCoordinator(payload));
  }

  /** The first bytes that came, without taking them. */
  #peek(length: number): Buffer {
    if (this.#received[0]!.length < length) this.#received = [Buffer.concat(this.#received)];
    return this.#received[0]!.subarray(0, length);
  }

  #take(length: number): Buffer {
    const bytes = this.#peek(length);
    this.#numReceived -= length;
    const rest = this.#received[0]!.subarray(length);
    if (rest.length === 0) this.#received.shift();
    else this.#received[0] = rest;
    return bytes;
  }
}
