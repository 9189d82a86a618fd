import { createHash } from 'node:crypto';
import { purposes, RandomStream, ShardPlan } from '@lockstep/core';
import {
  type CoordinatorMessage,
  closeCodes,
  decodeFromCoordinator,
  describeJob,
  encodeFrame,
  type MessageOf,
  PROTOCOL_VERSION,
  parseJob,
  type WorkerMessage,
} from '@lockstep/protocol';
import { describe, expect, it } from 'vitest';
import { Partitions } from './partitions.ts';
import { Peer, type PeerEvents, type Terms } from './peer.ts';

const NUM_SHARDS = 4;
/** So large that a partition takes several messages. */
const SAMPLE_SIZE = 700_000;

const plan = new ShardPlan(2 * NUM_SHARDS, NUM_SHARDS, NUM_SHARDS);
const train = {
  images: Uint8Array.from({ length: plan.numSamples * SAMPLE_SIZE }, (_, i) => i % 251),
  labels: Uint8Array.from({ length: plan.numSamples }, (_, i) => i),
  count: plan.numSamples,
};
const partitions = new Partitions(plan, train);
const { numSamples, numShards, batchSize } = plan;
const job = { topology: {}, labelSmoothing: 0, seed: 0, numSamples, numShards, batchSize };
const terms: Terms = {
  job: describeJob({ ...job, partitions: [...partitions.digests] }),
  layoutHash: 'a'.repeat(64),
  numShards,
  partitions,
  checkSketch: async ([first]) => {
    if (first === undefined) throw new Error('no engine works here');
    return first === 0.25 ? undefined : `its loss is ${first}`;
  },
  heartbeatMs: 1_000,
  heartbeatMisses: 5,
  maxBufferedBytes: 5e6,
};

type From<Type extends WorkerMessage['type']> = MessageOf<WorkerMessage, Type>;
const hello: From<'hello'> = { type: 'hello', protocol: PROTOCOL_VERSION, name: 'gpu-7', threads: 8, runtime: 'node' };
const ready: From<'ready'> = {
  type: 'ready',
  jobHash: terms.job.hash,
  layoutHash: terms.layoutHash,
  engine: 'onnx',
  device: 'cpu',
  shards: [1, 3],
  sketch: [0.25],
};
const fetch: From<'fetch'> = { type: 'fetch', digest: partitions.digests[1]!, offset: 0 };
const holds: From<'holds'> = { type: 'holds', shards: [0, 3] };
const result: From<'result'> = {
  type: 'result',
  assignment: 1,
  generation: 2,
  runStep: 3,
  nodes: [2],
  startedAt: 6,
  computeMs: 4,
};
const failed: From<'failed'> = { type: 'failed', assignment: 1, reason: 'no memory' };
const pong: From<'pong'> = { type: 'pong', sentAt: 5, at: 9 };

/** A peer, what it was sent, and what its messages led to. */
function open() {
  const link = {
    bufferedBytes: 0,
    receivedBytes: 0,
    sent: [] as { message: CoordinatorMessage; payload: Uint8Array }[],
    closed: [] as string[],
    send: (frame: Uint8Array) => link.sent.push(decodeFromCoordinator(frame)),
    close: (code: number, reason: string) => link.closed.push(`${code} ${reason}`),
  };
  const happened: unknown[][] = [];
  const note =
    (name: string) =>
    (...details: unknown[]): void => {
      happened.push([name, ...details]);
    };
  const events: PeerEvents = {
    hello: note('hello'),
    ready: note('ready'),
    result: note('result'),
    failed: note('failed'),
    pong: note('pong'),
    holds: note('holds'),
    violated: note('violated'),
  };
  const peer = new Peer('worker-3', link, terms, events);
  const say = (...messages: readonly WorkerMessage[]): void => {
    for (const message of messages) peer.receive(encodeFrame(message));
  };
  /** What some messages lead to, but for what those before them led to. */
  const after = (before: readonly WorkerMessage[], ...messages: readonly WorkerMessage[]): unknown[][] => {
    say(...before);
    happened.length = 0;
    say(...messages);
    return happened;
  };
  return { peer, link, happened, say, after };
}

const info = { name: 'gpu-7', threads: 8, engine: '', device: '', runtime: 'node' };
const readyInfo = { ...info, engine: 'onnx', device: 'cpu' };

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('a peer', () => {
  it('is welcomed with the job after its hello', () => {
    const { link, after } = open();
    expect(after([], hello)).toEqual([['hello', info]]);
    expect(link.sent).toHaveLength(1);
    const welcome = link.sent[0]!.message as MessageOf<CoordinatorMessage, 'welcome'>;
    expect(welcome).toMatchObject({ type: 'welcome', member: 'worker-3', heartbeatMs: 1_000, heartbeatMisses: 5 });
    expect(parseJob({ text: welcome.job, hash: welcome.jobHash }).partitions).toEqual(partitions.digests);
  });

  it('is ready with what it holds, once its self-test was looked at', async () => {
    const { after } = open();
    const told = after([hello], ready);
    expect(told).toEqual([['holds', [1, 3]]]);
    await settled();
    expect(told).toEqual([
      ['holds', [1, 3]],
      ['ready', readyInfo],
    ]);
  });

  it.each([
    [
      'its engine is wrong',
      [0.75],
      'wrong',
      'Refused: its loss is 0.75. Try another --engine or --device on that machine.',
    ],
    ['nobody can tell', [], 'stopping', 'no engine works here'],
  ])('is sent away when %s', async (_, sketch, code, reason) => {
    const { after } = open();
    const told = after([hello], { ...ready, sketch });
    await settled();
    expect(told).toEqual([
      ['holds', [1, 3]],
      ['violated', code, reason],
    ]);
  });

  it('is not ready any more when it left during the self-test', async () => {
    const { peer, after } = open();
    const told = after([hello], ready);
    peer.closed();
    await settled();
    expect(told).toEqual([['holds', [1, 3]]]);
  });

  it('may say what it holds and that it is there from its hello on', () => {
    const { after } = open();
    const told = [
      ['holds', [0, 3]],
      ['pong', 5, 9],
    ];
    expect(after([hello], holds, pong)).toEqual(told);
    expect(after([ready], holds, pong)).toEqual(told);
  });

  it('answers assignments when it is ready', () => {
    const { peer, after, happened } = open();
    expect(after([hello, ready], failed)).toEqual([['failed', failed]]);
    happened.length = 0;
    peer.receive(encodeFrame(result, [Uint8Array.of(1, 2, 3, 4)]));
    expect(happened).toEqual([['result', result, Uint8Array.of(1, 2, 3, 4)]]);
  });

  it('is known by what it says about itself, without what a terminal could take for a command', async () => {
    const { after } = open();
    const name = 'gpu\x1b[2J\r\n\x07\u009b1m\u202e7';
    const [[, told]] = after([], { ...hello, name, runtime: 'de\x1bno' }) as [[string, typeof info]];
    expect(told).toMatchObject({ name: 'gpu?[2J????1m?7', runtime: 'de?no' });
    const happened = after([], { ...ready, engine: '\x1bc', device: 'a\x00b' });
    await settled();
    const [, [, known]] = happened as [unknown, [string, typeof info]];
    expect(known).toMatchObject({ engine: '?c', device: 'a?b' });
  });
});

describe('the order of messages', () => {
  it.each<[readonly WorkerMessage[], WorkerMessage, string]>([
    [[], ready, 'ready before hello'],
    [[], holds, 'holds before hello'],
    [[], fetch, 'fetch before hello'],
    [[], pong, 'pong before hello'],
    [[], result, 'result before hello'],
    [[], failed, 'failed before hello'],
    [[hello], hello, 'hello again'],
    [[hello], result, 'result before ready'],
    [[hello], failed, 'failed before ready'],
    [[hello, ready], hello, 'hello again'],
    [[hello, ready], ready, 'ready again'],
  ])('behind %j does not allow %j', (before, message, reason) => {
    const { link, after } = open();
    const said = after(before, message);
    expect(said).toEqual([['violated', 'malformed', reason]]);
    expect(link.sent).toHaveLength(before.length > 0 ? 1 : 0);
  });
});

describe('a peer that does not fit', () => {
  it('is refused when it speaks another version', () => {
    const { link, after } = open();
    const sentence = `The worker speaks version 99 of the protocol, this coordinator ${PROTOCOL_VERSION}: install the same version of Lockstep on both.`;
    expect(after([], { ...hello, protocol: 99 })).toEqual([['violated', 'version', sentence]]);
    expect(link.sent).toEqual([]);
  });

  it('is refused when it has prepared another job', () => {
    const { after } = open();
    const sentence = 'The worker prepared another job than this one: start it again.';
    expect(after([hello], { ...ready, jobHash: 'b'.repeat(64) })).toEqual([['violated', 'job', sentence]]);
  });

  it('is refused when it lays the parameters out in another way', () => {
    const { after } = open();
    const violations = after([hello], { ...ready, layoutHash: 'b'.repeat(64) });
    expect(violations).toEqual([
      ['violated', 'job', expect.stringMatching(/^The worker lays the parameters out in another/)],
    ]);
  });

  it.each([
    ['ready', { ...ready, shards: [NUM_SHARDS] }],
    ['holds', { ...holds, shards: [0, NUM_SHARDS] }],
  ])('is refused when it holds a shard that does not exist (%s)', (_, message) => {
    const { after } = open();
    expect(after([hello], message)).toEqual([['violated', 'malformed', 'a shard that does not exist']]);
  });
});

describe('a fetch', () => {
  it('gets the bytes from its offset on, which together are the partition', () => {
    const { link, say } = open();
    say(hello);
    for (const [shard, digest] of partitions.digests.entries()) {
      const parts: Uint8Array[] = [];
      for (let offset = 0, total = 1; offset < total; ) {
        say({ type: 'fetch', digest, offset });
        const { message, payload } = link.sent.at(-1)!;
        expect(message).toEqual({ type: 'part', digest, offset, total: 2 * SAMPLE_SIZE + 2 });
        parts.push(payload);
        offset += payload.length;
        total = 2 * SAMPLE_SIZE + 2;
        expect(payload.length).toBeGreaterThan(0);
      }
      const bytes = Buffer.concat(parts);
      const { from, to } = plan.partition(shard);
      const images = train.images.subarray(from * SAMPLE_SIZE, to * SAMPLE_SIZE);
      expect(bytes.equals(Buffer.concat([images, train.labels.subarray(from, to)]))).toBe(true);
      expect(createHash('sha256').update(bytes).digest('hex')).toBe(digest);
      expect(parts.length).toBeGreaterThan(1);
    }
  });

  it.each([
    ['a partition', { ...fetch, digest: 'b'.repeat(64) }],
    ['an offset', { ...fetch, offset: 2 * SAMPLE_SIZE + 3 }],
  ])('of %s that does not exist is refused', (_, message) => {
    const { link, after } = open();
    const reason = `fetch of ${message.digest} from ${message.offset} on, which does not exist`;
    expect(after([hello, ready], message)).toEqual([['violated', 'malformed', reason]]);
    expect(link.sent).toHaveLength(1);
  });
});

describe('what no honest peer sends', () => {
  it.each([hello, ready, holds, fetch, failed, pong])('is refused: a payload behind $type', (message) => {
    const { peer, happened, say } = open();
    if (message !== hello) say(hello);
    if (message === failed) say(ready);
    happened.length = 0;
    peer.receive(encodeFrame(message, [Uint8Array.of(0)]));
    expect(happened).toEqual([['violated', 'malformed', `${message.type} has no payload`]]);
  });

  it('is refused: garbage, whatever it is', () => {
    const random = new RandomStream(0, purposes.jitter, 0, 0, 0);
    const honest = [hello, ready, holds, fetch, result, failed, pong].map((message) => encodeFrame(message));
    for (let trial = 0; trial < 2_000; trial++) {
      const { peer, happened } = open();
      const bytes = Uint8Array.from(honest[random.below(honest.length)]!.subarray(0, 4 + random.below(200)));
      for (let i = 0; i <= random.below(4); i++) bytes[random.below(bytes.length)] = random.below(256);
      peer.receive(bytes);
      for (const [name, code, reason] of happened) {
        if (name !== 'violated' || code === 'version') continue;
        expect(code).toBe('malformed');
        expect(String(reason).replaceAll('\n', '')).not.toMatch(/\p{C}/u);
      }
    }
    const { peer, happened } = open();
    for (const length of [0, 1, 3, 4, 100]) peer.receive(new Uint8Array(length).fill(0xff));
    expect(happened.map(([name, code]) => `${name} ${code}`)).toEqual(Array(5).fill('violated malformed'));
  });
});

describe('a connection', () => {
  it('counts the bytes of both directions', () => {
    const { peer, link, say } = open();
    say(hello);
    expect(peer.bytesReceived).toBe(encodeFrame(hello).length);
    expect(peer.bytesSent).toBe(encodeFrame(link.sent[0]!.message).length);
  });

  it('is ended when the peer does not read what it is sent', () => {
    const { peer, link, happened } = open();
    link.bufferedBytes = terms.maxBufferedBytes;
    peer.send({ type: 'ping', sentAt: 1 });
    expect(happened).toEqual([]);
    link.bufferedBytes++;
    peer.sendFrame(encodeFrame({ type: 'ping', sentAt: 2 }));
    expect(happened).toEqual([['violated', 'slowReader', 'it left 5.0 MB unread']]);
    expect(link.sent).toHaveLength(2);
  });

  it('ends with a goodbye that gives the reason, once', () => {
    const { peer, link } = open();
    peer.close('silent', 'nothing was heard for 5 s');
    peer.close('malformed', 'hello again');
    const goodbye = { type: 'bye', code: closeCodes.silent, reason: 'nothing was heard for 5 s' };
    expect(link.sent.map(({ message }) => message)).toEqual([goodbye]);
    expect(link.closed).toEqual([`${closeCodes.silent} silent`]);
  });

  it.each([
    ['the coordinator', (peer: Peer) => peer.close('finished', 'the run is over')],
    ['the network', (peer: Peer) => peer.closed()],
  ])('that %s has ended carries nothing any more', (_, end) => {
    const { peer, link, happened, say } = open();
    say(hello, ready);
    end(peer);
    happened.length = 0;
    const numSent = link.sent.length;
    const { bytesSent } = peer;
    link.bufferedBytes = 1e9;
    say(failed, pong, fetch, hello);
    peer.receive(new Uint8Array(3));
    peer.send({ type: 'ping', sentAt: 1 });
    peer.sendFrame(encodeFrame({ type: 'ping', sentAt: 2 }));
    peer.close('stopping', 'it stops');
    expect(happened).toEqual([]);
    expect(link.sent).toHaveLength(numSent);
    expect(link.closed.length).toBeLessThanOrEqual(1);
    expect(peer.bytesSent).toBe(bytesSent);
  });
});
