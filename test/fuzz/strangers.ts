/** Attacks by those who never get to work: frames that are none, messages out of order, abuse of WebSocket and HTTP. */
import type { RandomStream } from '@lockstep/core';
import { closeCodes, encodeFrame, PROTOCOL_VERSION, type WorkerMessage } from '@lockstep/protocol';
import type { Kind, Strike } from './attack.ts';
import { bomb, flipped, hello, lie, noise, pick, randomBytes, soundFrame, spliced, truncated } from './frames.ts';
import { opcodes, RawClient, upgradeRequest, wsFrame } from './raw-client.ts';
import type { Target } from './target.ts';

export const readyMessage = ({ job, layoutHash, numShards, sketch }: Target): WorkerMessage => ({
  type: 'ready',
  jobHash: job.hash,
  layoutHash,
  engine: 'onnx',
  device: 'cpu',
  shards: Array.from({ length: numShards }, (_, shard) => shard),
  sketch: [...sketch],
});

/** Frames that are mostly no good, said before hello, after it, or by a member; the first that is not ends the connection. */
const garbage =
  (make: (random: RandomStream) => Uint8Array) =>
  async ({ target, random, numFrames, tally, count }: Strike): Promise<void> => {
    const place = random.below(16);
    const before = place < 8 ? [] : place < 15 ? [hello()] : [hello(), readyMessage(target)];
    const frames = Array.from({ length: numFrames }, () => make(random));
    const all = [...before.map((message) => encodeFrame(message)), ...frames];
    const client = await RawClient.join(target.port, ...all.map((frame) => wsFrame(frame)));
    count(frames.length);
    tally.add(tally.closed, await client.leave());
  };

type Case = readonly [code: number, ...frames: Uint8Array[]];

/** Connections that the coordinator ends with a code that is known before. */
const cases =
  (make: (strike: Strike) => readonly Case[]) =>
  async (strike: Strike): Promise<void> => {
    const { target, random, tally, count } = strike;
    const list = make(strike);
    const index = random.below(list.length);
    const [expected, ...frames] = list[index]!;
    const client = await RawClient.join(target.port, ...frames);
    count(frames.length);
    const code = await client.ended();
    if (code !== expected) throw new Error(`case ${index} was ended with ${code} in place of ${expected}`);
    tally.add(tally.closed, code);
  };

/** Sound messages that nobody says then, or about things that do not exist. */
function outOfOrder({ target, random }: Strike): readonly Case[] {
  const { malformed, version, job } = closeCodes;
  const ready = readyMessage(target);
  const digest = target.partitions[0]!;
  const place = { assignment: 1, generation: 1, runStep: 0, nodes: [1] };
  const result: WorkerMessage = { type: 'result', ...place, startedAt: 0, computeMs: 1 };
  const failed: WorkerMessage = { type: 'failed', assignment: 1, reason: 'none' };
  const fetch = (digest: string, offset: number): WorkerMessage => ({ type: 'fetch', digest, offset });
  const sums = new Uint8Array(target.sumLength * 4);
  const said = (code: number, ...messages: WorkerMessage[]): Case => [
    code,
    ...messages.map((message) => wsFrame(encodeFrame(message, message === result ? [sums] : []))),
  ];
  const strange = pick(random, ['0', 'f']).repeat(64);
  return [
    ...[result, failed, ready, fetch(digest, 0)].map((message) => said(malformed, message)),
    said(malformed, { type: 'holds', shards: [0] }),
    said(malformed, { type: 'pong', sentAt: 0, at: 0 }),
    said(malformed, hello(), hello()),
    said(malformed, hello(), ready, hello()),
    said(malformed, hello(), ready, ready),
    said(malformed, hello(), result),
    said(malformed, hello(), failed),
    said(malformed, hello(), fetch(strange, 0)),
    said(malformed, hello(), fetch(digest, target.partitionBytes + 1)),
    said(malformed, hello(), fetch(digest, Number.MAX_SAFE_INTEGER)),
    said(malformed, hello(), { type: 'holds', shards: [target.numShards] }),
    said(malformed, hello(), { type: 'holds', shards: [4095] }),
    said(malformed, hello(), { ...ready, shards: [target.numShards] } as WorkerMessage),
    said(malformed, hello(), ready, { type: 'holds', shards: [0, 4095] }),
    [malformed, wsFrame(encodeFrame(hello(), [Uint8Array.of(1)]))],
    [malformed, wsFrame(new Uint8Array(0))],
    said(version, { ...hello(), protocol: PROTOCOL_VERSION + 1 } as WorkerMessage),
    said(version, { ...hello(), protocol: Number.MAX_SAFE_INTEGER } as WorkerMessage),
    said(job, hello(), { ...ready, jobHash: strange } as WorkerMessage),
    said(job, hello(), { ...ready, layoutHash: strange } as WorkerMessage),
  ];
}

const text = ({ random }: Strike): readonly Case[] => [
  [closeCodes.malformed, wsFrame(Buffer.from('{"type":"hello"}'), { opcode: opcodes.text })],
  [closeCodes.malformed, wsFrame(new Uint8Array(0), { opcode: opcodes.text })],
  [closeCodes.malformed, wsFrame(encodeFrame(hello())), wsFrame(Buffer.from('ß'), { opcode: opcodes.text })],
  [1007, wsFrame(Uint8Array.of(0xff, random.below(128)), { opcode: opcodes.text })],
];

/** WebSocket frames that are none. */
function brokenSockets({ random, target }: Strike): readonly Case[] {
  const { maxMessageBytes } = target;
  const body = randomBytes(random, random.below(100));
  const bits = (first: number, second: number): Uint8Array => Uint8Array.of(first, second, 0, 0, 0, 0, 0, 0);
  const close = (...payload: number[]): Uint8Array => wsFrame(Uint8Array.from(payload), { opcode: opcodes.close });
  const badCode = pick(random, [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535]);
  const long = (announced: number, fin = true): Uint8Array => wsFrame(body, { announced, fin });
  const begun = wsFrame(randomBytes(random, 1000), { fin: false });
  const goesOn = (announced: number): Uint8Array => wsFrame(body, { opcode: opcodes.continuation, announced });
  return [
    [1002, wsFrame(body, { opcode: pick(random, [3, 4, 5, 6, 7, 11, 12, 13, 14, 15]) })],
    [1002, bits(0x82 | pick(random, [0x10, 0x20, 0x40, 0x70]), 0x82)],
    [1002, bits(0x82, 0x02)],
    [1002, wsFrame(body, { opcode: opcodes.continuation })],
    [1002, begun, wsFrame(body)],
    [1002, wsFrame(body, { opcode: opcodes.ping, fin: false })],
    [1002, wsFrame(new Uint8Array(126), { opcode: pick(random, [opcodes.ping, opcodes.pong, opcodes.close]) })],
    [1002, close(3)],
    [1002, close(badCode >> 8, badCode & 0xff)],
    [1007, close(0x03, 0xe8, 0xc3, 0x28)],
    [1009, long(maxMessageBytes + 1)],
    [1009, long(maxMessageBytes + 1, false)],
    [1009, long(2 ** 31)],
    [1009, long(2 ** 32 + 10)],
    [1009, long(2 ** 40)],
    [1009, long(2 ** 60)],
    [1009, begun, goesOn(maxMessageBytes - 999)],
  ];
}

/** A message in pieces that never ends. */
async function unfinished({ target, random, numFrames, tally, count }: Strike): Promise<void> {
  const client = await RawClient.join(target.port, ...(random.below(2) === 0 ? [wsFrame(encodeFrame(hello()))] : []));
  const length = random.below(Math.floor(target.maxMessageBytes / numFrames));
  for (let i = 0; i < numFrames; i++) {
    const opcode = i === 0 ? pick(random, [opcodes.binary, opcodes.text]) : opcodes.continuation;
    await client.write(wsFrame(randomBytes(random, i % 3 === 0 ? length : random.below(8)), { opcode, fin: false }));
  }
  count(numFrames);
  if (random.below(2) === 0) client.hangUp();
  else tally.add(tally.closed, await client.leave());
}

/** A long message of one who is not ready, and has no reason for one. It is not waited for. */
async function flood({ target, random, numFrames, tally, count }: Strike): Promise<void> {
  const client = await RawClient.join(target.port, ...(random.below(2) === 0 ? [wsFrame(encodeFrame(hello()))] : []));
  const piece = randomBytes(random, 50_000);
  for (let i = 0; i < numFrames; i++) {
    await client.write(wsFrame(piece, { opcode: i === 0 ? opcodes.binary : opcodes.continuation, fin: false }));
  }
  count(numFrames);
  tally.add(tally.closed, await client.ended());
}

/** A message in more pieces than anybody needs. */
async function shredded({ target, numFrames, tally, count }: Strike): Promise<void> {
  const client = await RawClient.join(target.port, wsFrame(Uint8Array.of(0), { fin: false }));
  const piece = wsFrame(Uint8Array.of(0), { opcode: opcodes.continuation, fin: false });
  await client.write(Buffer.concat(new Array(numFrames - 1).fill(piece)));
  count(numFrames);
  tally.add(tally.closed, await client.leave());
}

/** Hangs up in the middle of a frame, or of the handshake. */
async function cutOff({ target, random, numFrames, count }: Strike): Promise<void> {
  const client = await RawClient.dial(target.port);
  const frames = Array.from({ length: numFrames }, () => wsFrame(soundFrame(random)));
  const all = Buffer.concat([Buffer.from(upgradeRequest(target.port)), wsFrame(encodeFrame(hello())), ...frames]);
  await client.write(all.subarray(0, all.length - 1 - random.below(frames.at(-1)!.length - 1)));
  count(numFrames);
  client.hangUp();
}

export const strangers: readonly Kind[] = [
  { name: 'flipped', total: 6_000, perConnection: 3, strike: garbage(flipped) },
  { name: 'truncated', total: 2_000, perConnection: 2, strike: garbage(truncated) },
  { name: 'spliced', total: 2_000, perConnection: 2, strike: garbage(spliced) },
  { name: 'noise', total: 2_000, perConnection: 2, strike: garbage(noise) },
  { name: 'bomb', total: 1_600, perConnection: 2, strike: garbage(bomb) },
  { name: 'lie', total: 800, perConnection: 2, strike: garbage(lie) },
  { name: 'out of order', total: 1_000, perConnection: 1, strike: cases(outOfOrder) },
  { name: 'text', total: 300, perConnection: 1, strike: cases(text) },
  { name: 'broken WebSocket', total: 1_200, perConnection: 1, strike: cases(brokenSockets) },
  { name: 'unfinished', total: 6_000, perConnection: 40, strike: unfinished },
  { name: 'flood', total: 400, perConnection: 4, strike: flood },
  { name: 'shredded', total: 34_000, perConnection: 17_000, strike: shredded },
  { name: 'cut off', total: 1_000, perConnection: 2, strike: cutOff },
];

/** Connections that do not get as far as a WebSocket. Each ends when the coordinator has had enough of it. */
export async function idlers(port: number): Promise<void> {
  const request = upgradeRequest(port);
  const sayings = [
    '',
    'G',
    'GET / HT',
    'GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n',
    request.slice(0, -2),
    request.slice(0, 80),
    `GET / HTTP/1.1\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`,
    '\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03',
    'POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000000000\r\n\r\n',
    'nonsense\r\n\r\n',
  ];
  await Promise.all(
    sayings.map(async (saying) => {
      const client = await RawClient.dial(port);
      await client.write(Buffer.from(saying));
      await client.ended();
    }),
  );
}
