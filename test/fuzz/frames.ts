/** Frames that no honest worker sends, made from such as honest workers do send. */
import type { RandomStream } from '@lockstep/core';
import { encodeFrame, PROTOCOL_VERSION, type WorkerMessage } from '@lockstep/protocol';

const DIGEST_LENGTH = 64;
/** No assignment of a run has such a number, nor one that differs from it by a few bits. */
const NO_ASSIGNMENT = 2 ** 47;

export const hello = (name = 'fuzz'): WorkerMessage => ({
  type: 'hello',
  protocol: PROTOCOL_VERSION,
  name,
  threads: 1,
  runtime: 'fuzz',
});

/** Drawn once: drawing every byte anew would take longer than all the rest. */
const POOL = new Uint8Array(
  Uint32Array.from({ length: 2 ** 18 }, (_, i) => Math.imul(i ^ (i >>> 9), 0x9e3779b1) ^ Math.imul(i, 0x85ebca77))
    .buffer,
);

/** Bytes by chance, up to 1 MiB; not to be written to. */
export function randomBytes(random: RandomStream, length: number): Uint8Array {
  const start = random.below(POOL.length - length + 1);
  return POOL.subarray(start, start + length);
}

/** One of a list. */
export const pick = <T>(random: RandomStream, list: readonly T[]): T => list[random.below(list.length)]!;

const randomDigest = (random: RandomStream): string =>
  Array.from({ length: DIGEST_LENGTH }, () => random.below(16).toString(16)).join('');

const randomShards = (random: RandomStream): number[] =>
  Array.from({ length: random.below(40) }, () => random.below(4096));

/** A sound message of each type, by which nothing is answered that anybody asked. */
const templates: readonly ((random: RandomStream) => WorkerMessage)[] = [
  (random) => hello('x'.repeat(random.below(64))),
  (random) => ({
    type: 'ready',
    jobHash: randomDigest(random),
    layoutHash: randomDigest(random),
    engine: 'onnx',
    device: 'cpu',
    shards: randomShards(random),
    sketch: Array.from({ length: random.below(2000) }, () => random.normal()),
  }),
  (random) => ({ type: 'holds', shards: randomShards(random) }),
  (random) => ({ type: 'fetch', digest: randomDigest(random), offset: random.uint32() }),
  (random) => ({
    type: 'result',
    assignment: NO_ASSIGNMENT + random.uint32(),
    generation: random.below(100),
    runStep: random.below(10_000),
    nodes: Array.from({ length: random.below(20) }, () => 1 + random.below(8191)),
    startedAt: random.uniform() * 1e6,
    computeMs: random.uniform() * 1000,
  }),
  (random) => ({ type: 'failed', assignment: NO_ASSIGNMENT + random.uint32(), reason: 'y'.repeat(random.below(500)) }),
  (random) => ({ type: 'pong', sentAt: random.uniform() * 1e6, at: random.uniform() * 1e12 }),
];

/** A sound frame of any type. Its payload, if it has one, has the length of no sum vector. */
export function soundFrame(random: RandomStream): Uint8Array {
  const message = pick(random, templates)(random);
  const payload = message.type === 'result' ? [randomBytes(random, 1 + 4 * random.below(2000))] : [];
  return encodeFrame(message, payload);
}

export function flipped(random: RandomStream): Uint8Array {
  const frame = soundFrame(random);
  // Mostly in the header, which is short.
  const end = random.below(4) === 0 ? frame.length : Math.min(frame.length, 200);
  for (let i = random.below(8); i >= 0; i--) frame[random.below(end)]! ^= 1 << random.below(8);
  return frame;
}

export function truncated(random: RandomStream): Uint8Array {
  const frame = soundFrame(random);
  return frame.subarray(0, random.below(frame.length));
}

/** The beginning of one frame and the end of another. */
export function spliced(random: RandomStream): Uint8Array {
  const [first, second] = [soundFrame(random), soundFrame(random)];
  const head = first.subarray(0, random.below(first.length));
  return Buffer.concat([head, second.subarray(random.below(second.length))]);
}

/** Bytes by chance; half of them with a header length that fits. */
export function noise(random: RandomStream): Uint8Array {
  const bytes = randomBytes(random, random.below(random.below(10) === 0 ? 30_000 : 500)).slice();
  if (bytes.length >= 8 && random.below(2) === 0) {
    new DataView(bytes.buffer).setUint32(0, random.below(bytes.length - 4), true);
  }
  return bytes;
}

/** Arrays, maps and strings that claim to be up to 4 billion elements long, one inside the other. */
export function bomb(random: RandomStream): Uint8Array {
  const claims = [
    [0xdd, 0xff, 0xff, 0xff, 0xff],
    [0xdd, 0x00, 0x7f, 0xff, 0xff],
    [0xdc, 0xff, 0xff],
    [0xdf, 0xff, 0xff, 0xff, 0xff],
    [0xde, 0xff, 0xff],
    [0xdb, 0xff, 0xff, 0xff, 0xff],
    [0xc6, 0xff, 0xff, 0xff, 0xff],
    [0x91],
    [0x81, 0xa1, 0x78],
  ];
  const nested = Array.from({ length: 1 + random.below(40) }, () => pick(random, claims)).flat();
  const filled = random.below(2) === 0 ? nested : [...nested, ...new Array(random.below(20_000)).fill(0xc0)];
  return withHeader(Uint8Array.from(filled), filled.length);
}

/** A frame whose header is longer than it says, or than may be. */
export function lie(random: RandomStream): Uint8Array {
  const claimed = pick(random, [0, 1, 2 ** 15, 2 ** 15 + 1, 2 ** 24, 2 ** 31, 2 ** 32 - 1]);
  return withHeader(soundFrame(random).subarray(4), claimed);
}

function withHeader(header: Uint8Array, claimed: number): Uint8Array {
  const frame = new Uint8Array(4 + header.length);
  new DataView(frame.buffer).setUint32(0, claimed, true);
  frame.set(header, 4);
  return frame;
}
