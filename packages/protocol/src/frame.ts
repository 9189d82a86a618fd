/**
 * A frame is one binary WebSocket message: the length of the header (unsigned 32-bit, little-endian), the header
 * (a msgpack map), zeros up to a multiple of eight bytes, and the payload (raw little-endian bytes) to the end.
 */
import { Packr } from 'msgpackr';
import { z } from 'zod';
import { type CoordinatorMessage, coordinatorMessage, type WorkerMessage, workerMessage } from './messages.ts';
import { checkMsgpack } from './msgpack.ts';

const LENGTH_BYTES = 4;
const ALIGNMENT_BYTES = 8;
/** Longest header that a worker may send, and room for one with lists of 4096 shards. */
export const MAX_WORKER_HEADER_BYTES = 32 * 1024;
/** Longest header that a coordinator may send: a job with a large topology. */
const MAX_COORDINATOR_HEADER_BYTES = 6 * 2 ** 20;

/** Longest reason of a {@link FrameError}: a message can be wrong in thousands of places. */
const MAX_REASON_LENGTH = 400;

// Other languages may write any integer with 64 bits.
const packr = new Packr({ useRecords: false, variableMapSize: true, int64AsType: 'number' });

/** A frame that no honest peer sends. */
export class FrameError extends Error {
  override readonly name = 'FrameError';

  constructor(reason: string) {
    super(reason.length <= MAX_REASON_LENGTH ? reason : `${reason.slice(0, MAX_REASON_LENGTH - 2)} …`);
  }
}

export interface Frame<Message> {
  readonly message: Message;
  /** View into {@link bytes}. */
  readonly payload: Uint8Array;
  /** All that was received. */
  readonly bytes: Uint8Array;
}

const NOTHING: readonly Uint8Array[] = [];

/** Writes a frame. @param payload pieces, sent one after the other; copied */
export function encodeFrame(message: WorkerMessage | CoordinatorMessage, payload = NOTHING): Uint8Array<ArrayBuffer> {
  const header = packr.pack(message);
  const start = padded(LENGTH_BYTES + header.length);
  const bytes = allocate(payload.reduce((sum, piece) => sum + piece.length, start));
  new DataView(bytes.buffer).setUint32(0, header.length, true);
  bytes.set(header, LENGTH_BYTES);
  bytes.fill(0, LENGTH_BYTES + header.length, start);
  let at = start;
  for (const piece of payload) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}

/** Memory that is all written to. Node.js has some that was not filled with zeros before. */
function allocate(length: number): Uint8Array<ArrayBuffer> {
  const { Buffer } = globalThis as { Buffer?: { allocUnsafeSlow(length: number): Uint8Array<ArrayBuffer> } };
  return Buffer ? new Uint8Array(Buffer.allocUnsafeSlow(length).buffer) : new Uint8Array(length);
}

/** Reads what a worker sent. @throws FrameError */
export const decodeFromWorker = (bytes: Uint8Array): Frame<WorkerMessage> =>
  decode(bytes, workerMessage, MAX_WORKER_HEADER_BYTES);

/** Reads what a coordinator sent. @throws FrameError */
export const decodeFromCoordinator = (bytes: Uint8Array): Frame<CoordinatorMessage> =>
  decode(bytes, coordinatorMessage, MAX_COORDINATOR_HEADER_BYTES);

const padded = (length: number): number => Math.ceil(length / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;

/** Every length is checked before anything of that length is made. */
function decode<Message>(bytes: Uint8Array, schema: z.ZodType<Message>, maxHeaderBytes: number): Frame<Message> {
  if (bytes.length < LENGTH_BYTES) throw new FrameError(`a frame of ${bytes.length} bytes`);
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  if (length > maxHeaderBytes) throw new FrameError(`a header of ${length} bytes; the limit is ${maxHeaderBytes}`);
  const start = padded(LENGTH_BYTES + length);
  if (start > bytes.length && LENGTH_BYTES + length !== bytes.length) {
    throw new FrameError(`a header of ${length} bytes in a frame of ${bytes.length}`);
  }
  const header = bytes.subarray(LENGTH_BYTES, LENGTH_BYTES + length);
  let message: unknown;
  try {
    checkMsgpack(header);
    message = packr.unpack(header);
  } catch (error) {
    throw new FrameError(`a header that is not msgpack: ${(error as Error).message}`);
  }
  const parsed = schema.safeParse(message);
  if (!parsed.success) throw new FrameError(`a message that is not valid: ${z.prettifyError(parsed.error)}`);
  return { message: parsed.data, payload: bytes.subarray(Math.min(start, bytes.length)), bytes };
}
