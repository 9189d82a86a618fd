/** Gives the memory of an array back at once. */

/** Sending through a closed port detaches what is transferred and frees it: the way without ArrayBuffer.transfer. */
const { port1: closedPort } = new MessageChannel();
closedPort.close();

/** Less is not worth the call. */
const LEAST_BYTES = 16 * 1024;

/**
 * Frees an array's memory without waiting for the garbage collector. At a few hundred megabytes of short-lived arrays a
 * second the collector would run all the time, on threads that compete with the engines for the cores.
 */
export function release(array: { readonly buffer: ArrayBufferLike }): void {
  const buffer = array.buffer as ArrayBuffer & { transfer?: (length: number) => ArrayBuffer };
  if (buffer.transfer) buffer.transfer(0);
  else closedPort.postMessage(undefined, [buffer]);
}

/** {@link release} for a long array that has its memory to itself; others, which may share it, are left alone. */
export function releaseWhole(array: Uint8Array): void {
  const { buffer, byteLength } = array;
  if (byteLength >= LEAST_BYTES && byteLength === buffer.byteLength && buffer instanceof ArrayBuffer) release(array);
}

/**
 * Frees the pieces in which a socket delivered a long message. A message is one array, so what came in several pieces was copied:
 * those that lie wholly inside it are of no use any more. Its first and last piece may hold parts of others.
 */
export class MessagePieces {
  /** What has come since the latest message. */
  #pieces: Uint8Array[] = [];

  /** A piece has come, and the messages that end in it were told of. */
  came(piece: Uint8Array): void {
    this.#pieces.push(piece);
  }

  /** A message has ended, in the piece that is about to come. */
  ended(): void {
    for (const piece of this.#pieces.slice(1)) releaseWhole(piece);
    this.#pieces = [];
  }
}

/** Frees pieces of messages from now on. @param messages a WebSocket that is open @param pieces the socket under it, which it listens to */
export function freePieces(
  messages: { on(event: 'message', listener: () => void): unknown },
  pieces: { on(event: 'data', listener: (piece: Uint8Array) => void): unknown },
): void {
  const kept = new MessagePieces();
  messages.on('message', () => kept.ended());
  // Behind the WebSocket's own listener, which ends messages.
  pieces.on('data', (piece) => kept.came(piece));
}
