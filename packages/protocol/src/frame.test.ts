import { purposes, RandomStream } from '@lockstep/core';
import { Packr } from 'msgpackr';
import { describe, expect, it } from 'vitest';
import { decodeFromCoordinator, decodeFromWorker, encodeFrame, FrameError, MAX_WORKER_HEADER_BYTES } from './frame.ts';
import {
  type CoordinatorMessage,
  coordinatorMessage,
  type MessageOf,
  type WorkerMessage,
  workerMessage,
} from './messages.ts';

const hash = '0123456789abcdef'.repeat(4);
const everyShard = Array.from({ length: 4096 }, (_, shard) => shard);

const fromWorker: { readonly [Type in WorkerMessage['type']]: MessageOf<WorkerMessage, Type> } = {
  hello: { type: 'hello', protocol: 1, name: 'gpu-7 “im Keller”', threads: 16, runtime: 'node' },
  ready: {
    type: 'ready',
    jobHash: hash,
    layoutHash: hash,
    engine: 'onnx',
    device: 'cpu',
    shards: [0, 7, 4095],
    sketch: [0.5, Number.NaN, -3],
  },
  holds: { type: 'holds', shards: everyShard.slice(-200) },
  fetch: { type: 'fetch', digest: hash, offset: 2 ** 33 + 1 },
  result: {
    type: 'result',
    assignment: 9,
    generation: 2,
    runStep: 70_000,
    nodes: [5, 6, 8191],
    startedAt: 3.5,
    computeMs: 12.75,
  },
  failed: { type: 'failed', assignment: 9, reason: 'out of memory' },
  pong: { type: 'pong', sentAt: 1.7e12, at: 17.5 },
};

const fromCoordinator: { readonly [Type in CoordinatorMessage['type']]: MessageOf<CoordinatorMessage, Type> } = {
  welcome: {
    type: 'welcome',
    member: 'worker-3',
    job: JSON.stringify({ topology: { name: 'größe' } }),
    jobHash: hash,
    heartbeatMs: 2500,
    heartbeatMisses: 4,
  },
  hold: { type: 'hold', shards: [] },
  part: { type: 'part', digest: hash, offset: 0, total: 5_880_000 },
  parameters: { type: 'parameters', runStep: 0 },
  work: {
    type: 'work',
    assignment: 9,
    generation: 2,
    epoch: 1,
    step: 31,
    runStep: 149,
    from: 4095,
    to: 4096,
    wire: 'int8',
  },
  change: { type: 'change', runStep: 1, wire: 'fp16' },
  outcome: { type: 'outcome', assignment: 9, taken: true },
  cancel: { type: 'cancel', assignment: 9 },
  ping: { type: 'ping', sentAt: 0.125 },
  bye: { type: 'bye', code: 4000, reason: 'the run is over' },
};

const both = [
  ...Object.values(fromWorker).map((message) => ({ message, decode: decodeFromWorker })),
  ...Object.values(fromCoordinator).map((message) => ({ message, decode: decodeFromCoordinator })),
];
const floats = Float32Array.of(1, -2.5, Number.NaN, 4e-42, Number.POSITIVE_INFINITY);
const payload = new Uint8Array(floats.buffer);

const packr = new Packr({ useRecords: false, variableMapSize: true });

/** A frame around any bytes as its header. */
function frameOf(header: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(4 + header.length);
  new DataView(bytes.buffer).setUint32(0, header.length, true);
  bytes.set(header, 4);
  return bytes;
}

const pong = { type: 'pong', sentAt: 5, at: 6 };

describe('a frame', () => {
  it.each(both)('brings a $message.type across', ({ message, decode }) => {
    expect(decode(encodeFrame(message, [payload]))).toMatchObject({ message, payload });
    expect(decode(encodeFrame(message))).toMatchObject({ message, payload: new Uint8Array(0) });
  });

  it('is not read in the other direction', () => {
    for (const message of Object.values(fromWorker)) {
      expect(() => decodeFromCoordinator(encodeFrame(message))).toThrow(FrameError);
    }
    for (const message of Object.values(fromCoordinator)) {
      expect(() => decodeFromWorker(encodeFrame(message))).toThrow(FrameError);
    }
  });

  it('begins its payload at a multiple of eight bytes, behind zeros', () => {
    const starts = new Set<number>();
    for (let length = 0; length < 16; length++) {
      const frame = encodeFrame({ type: 'failed', assignment: 0, reason: 'x'.repeat(length) }, [payload]);
      const start = frame.length - payload.length;
      const end = 4 + new DataView(frame.buffer).getUint32(0, true);
      expect(start % 8).toBe(0);
      expect(start - end).toBeLessThan(8);
      expect(frame.subarray(end, start).every((byte) => byte === 0)).toBe(true);
      expect(decodeFromWorker(frame).payload.byteOffset).toBe(start);
      starts.add(start - end);
    }
    expect(starts.size).toBe(8);
  });

  it('joins the pieces of a payload', () => {
    const pieces = [payload.subarray(0, 3), payload.subarray(3, 3), payload.subarray(3)];
    expect(encodeFrame(fromWorker.result, pieces)).toEqual(encodeFrame(fromWorker.result, [payload]));
  });

  it.each([0, 1, 3, 4, 7])('is read at byte %i of a larger buffer', (offset) => {
    const frame = encodeFrame(fromWorker.result, [payload]);
    const buffer = new Uint8Array(offset + frame.length + 9).fill(0xff);
    buffer.set(frame, offset);
    const decoded = decodeFromWorker(buffer.subarray(offset, offset + frame.length));
    expect(decoded).toMatchObject({ message: fromWorker.result, payload });
    expect(decoded.bytes).toEqual(frame);
  });

  it('may leave its padding away when nothing follows', () => {
    const { message } = decodeFromWorker(frameOf(packr.pack(pong)));
    expect(message).toEqual(pong);
  });

  it('has room for every shard of the largest job', () => {
    const message = { type: 'holds', shards: everyShard } as const;
    expect(decodeFromWorker(encodeFrame(message)).message).toEqual(message);
  });

  it('may be as long as its direction allows, and not a byte longer', () => {
    const filled = (message: { type: string }, bytes: number): Uint8Array => {
      const rest = packr.pack({ ...message, x: 'x'.repeat(bytes - 100) }).length;
      return frameOf(packr.pack({ ...message, x: 'x'.repeat(bytes - 100 + bytes - rest) }));
    };
    const most = 6 * 2 ** 20;
    expect(decodeFromWorker(filled(pong, MAX_WORKER_HEADER_BYTES)).message).toEqual(pong);
    expect(() => decodeFromWorker(filled(pong, MAX_WORKER_HEADER_BYTES + 1))).toThrow('the limit is');
    expect(decodeFromCoordinator(filled(fromCoordinator.ping, most)).message).toEqual(fromCoordinator.ping);
    expect(() => decodeFromCoordinator(filled(fromCoordinator.ping, most + 1))).toThrow('the limit is');
  });
});

describe('a frame that no honest peer sends', () => {
  it.each(both)('a $message.type that was cut off is refused', ({ message, decode }) => {
    const frame = encodeFrame(message, [payload]);
    const end = 4 + new DataView(frame.buffer).getUint32(0, true);
    const start = frame.length - payload.length;
    const cuts = Array.from({ length: Math.min(end, 600) }, (_, length) => length);
    for (const length of [...cuts, end - 1]) {
      expect(() => decode(frame.subarray(0, length))).toThrow(FrameError);
    }
    // The padding is all there or not there at all.
    expect(decode(frame.subarray(0, end)).payload).toHaveLength(0);
    for (let length = end + 1; length < start; length++) {
      expect(() => decode(frame.subarray(0, length))).toThrow(FrameError);
    }
    expect(decode(frame.subarray(0, start + 3)).payload).toEqual(payload.subarray(0, 3));
  });

  it('a length that goes beyond the frame is refused', () => {
    const frame = encodeFrame(fromWorker.result, [payload]);
    for (const length of [frame.length, 0x7fff, 0x7fffffff, 0xffffffff]) {
      new DataView(frame.buffer).setUint32(0, length, true);
      expect(() => decodeFromWorker(frame)).toThrow(FrameError);
    }
  });

  it.each([
    ['nothing', undefined],
    ['nil', null],
    ['a number', 7],
    ['a text', 'pong'],
    ['an array', [pong]],
    ['no type', { sentAt: 5 }],
    ['an unknown type', { type: 'constructor' }],
    ['a field too few', { type: 'holds' }],
    ['a text for a number', { type: 'pong', sentAt: '5', at: 6 }],
    ['NaN', { type: 'pong', sentAt: Number.NaN, at: 6 }],
    ['a negative count', { ...fromWorker.failed, assignment: -1 }],
    ['half a count', { ...fromWorker.failed, assignment: 0.5 }],
    ['a count beyond 2^53', { ...fromWorker.failed, assignment: 2 ** 53 }],
    ['a shard too many', { type: 'holds', shards: [4096] }],
    ['more shards than there are', { type: 'holds', shards: [...everyShard, 0] }],
    ['node 0', { ...fromWorker.result, nodes: [0] }],
    ['a node too many', { ...fromWorker.result, nodes: [8192] }],
    ['more nodes than cover a range', { ...fromWorker.result, nodes: everyShard.slice(1, 66) }],
    ['a short hash', { ...fromWorker.fetch, digest: hash.slice(1) }],
    ['a hash in capitals', { ...fromWorker.fetch, digest: hash.toUpperCase() }],
    ['a long name', { ...fromWorker.hello, name: 'x'.repeat(65) }],
    ['a long runtime', { ...fromWorker.hello, runtime: 'x'.repeat(33) }],
  ])('%s instead of a message is refused', (_, message) => {
    expect(() => decodeFromWorker(frameOf(packr.pack(message)))).toThrow(FrameError);
  });

  it('bytes behind the message are refused', () => {
    expect(() => decodeFromWorker(frameOf(Buffer.concat([packr.pack(pong), Uint8Array.of(0xc0)])))).toThrow(
      '1 bytes follow its end',
    );
    expect(() => decodeFromWorker(frameOf(new Uint8Array(0)))).toThrow(FrameError);
  });

  it.each(['__proto__', 'constructor', 'prototype'])('a field called %s does no harm', (key) => {
    const header = packr.pack(JSON.parse(`{"type":"pong","sentAt":5,"at":6,"${key}":{"shards":[1],"toString":1}}`));
    const { message } = decodeFromWorker(frameOf(header));
    expect(message).toEqual(pong);
    expect(Object.getPrototypeOf(message)).toBe(Object.prototype);
    expect({}).not.toHaveProperty('shards');
    // Nor does it stand in for a field that is missing.
    const inherits = packr.pack(JSON.parse(`{"type":"holds","${key}":{"shards":[1]}}`));
    expect(() => decodeFromWorker(frameOf(inherits))).toThrow(FrameError);
  });

  it('is refused in few words, however much is wrong with it', () => {
    const frame = frameOf(packr.pack({ type: 'holds', shards: everyShard.map(() => null) }));
    expect(() => decodeFromWorker(frame)).toThrow(/^a message that is not valid: .{50,371}$/s);
  });
});

describe('20,000 damaged frames', () => {
  const random = new RandomStream(1, purposes.jitter, 0, 0, 0);
  const frames = both.map(({ message }) => encodeFrame(message, [payload]));
  const anyFrame = (): Uint8Array => frames[random.below(frames.length)]!;
  const damages: readonly ((frame: Uint8Array) => Uint8Array)[] = [
    function flip(frame) {
      const flipped = frame.slice();
      // Mostly where the header begins, so that short messages and long ones are hit alike.
      const reach = random.below(2) === 0 ? frame.length : Math.min(frame.length, 48);
      for (let i = random.below(4); i >= 0; i--) flipped[random.below(reach)]! ^= 1 << random.below(8);
      return flipped;
    },
    function truncate(frame) {
      return frame.subarray(0, random.below(frame.length + 1));
    },
    function extend(frame) {
      const tail = Uint8Array.from({ length: random.below(40) }, () => random.below(256));
      const longer = Uint8Array.from([...frame, ...tail]);
      // Now and then the header claims the tail, too.
      if (random.below(2) === 0) {
        const view = new DataView(longer.buffer);
        view.setUint32(0, view.getUint32(0, true) + random.below(tail.length + 1), true);
      }
      return longer;
    },
    function splice(frame) {
      const other = anyFrame();
      const at = random.below(Math.min(frame.length, 80));
      const from = random.below(Math.min(other.length, 80));
      return Uint8Array.from([...frame.subarray(0, at), ...other.subarray(from)]);
    },
  ];

  it('are read as valid messages, or refused with a FrameError', () => {
    const outcomes = { read: 0, refused: 0 };
    for (let i = 0; i < 20_000; i++) {
      const damaged = damages[i % damages.length]!(anyFrame());
      for (const [decode, schema] of [
        [decodeFromWorker, workerMessage],
        [decodeFromCoordinator, coordinatorMessage],
      ] as const) {
        try {
          const { message } = decode(damaged);
          expect(schema.safeParse(message).success).toBe(true);
          outcomes.read++;
        } catch (error) {
          if (!(error instanceof FrameError)) throw error;
          expect(error.message.length).toBeLessThanOrEqual(400);
          outcomes.refused++;
        }
      }
    }
    expect(outcomes.read).toBeGreaterThan(2000);
    expect(outcomes.refused).toBeGreaterThan(2000);
    for (const { message, decode } of both) expect(decode(encodeFrame(message)).message).toEqual(message);
  });
});
