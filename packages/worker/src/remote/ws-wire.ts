/** The WebSocket of a worker in Node.js. */
import type { Socket } from 'node:net';
import { freePieces, releaseWhole } from '@lockstep/core';
import { reasonOf } from '@lockstep/dataset';
import type { WebSocket } from 'ws';
import type { Wire, WireListener } from './connection.ts';

/** A long message goes out in fragments of this size, so that a slow line can be told from a dead one. */
const FRAGMENT_BYTES = 2 ** 20;

export class WsWire implements Wire {
  readonly patience = 1;
  numSent = 0;
  readonly #socket: WebSocket;
  readonly #raw: Socket;

  /**
   * @param socket may still be connecting
   * @param raw what it runs over
   */
  constructor(socket: WebSocket, raw: Socket, listener: WireListener) {
    this.#socket = socket;
    this.#raw = raw;
    socket.once('open', () => freePieces(socket, raw));
    socket.on('message', (data, isBinary) => listener.message(isBinary ? (data as Buffer) : undefined));
    // A 'close' follows.
    socket.on('error', (error) => listener.failed(reasonOf(error)));
    socket.once('close', (code, reason) => listener.closed(code, reason.toString()));
  }

  get bytesRead(): number {
    return this.#raw.bytesRead;
  }

  get isClosed(): boolean {
    return this.#socket.readyState === this.#socket.CLOSED;
  }

  async send(bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    for (let at = 0; at < bytes.length; at += FRAGMENT_BYTES) {
      await this.#sendFragment(bytes.subarray(at, at + FRAGMENT_BYTES), at + FRAGMENT_BYTES >= bytes.length);
      this.numSent++;
    }
    releaseWhole(bytes);
  }

  #sendFragment(bytes: Uint8Array, fin: boolean): Promise<void> {
    return new Promise((resolve) => {
      // An error means that the connection has ended, which is told by itself.
      this.#socket.send(bytes, { binary: true, fin }, () => resolve());
    });
  }

  close(code: number, reason: string): void {
    this.#socket.close(code, reason);
  }

  terminate(): void {
    this.#socket.terminate();
  }
}
