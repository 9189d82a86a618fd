/** Attacks by those who say hello as they should, and become members, but not good ones. */
import { coveringNodes, packSparse, type RandomStream } from '@lockstep/core';
import { type CoordinatorMessage, encodeFrame, type MessageOf, type WorkerMessage } from '@lockstep/protocol';
import type { Kind, Strike } from './attack.ts';
import { hello, pick, randomBytes } from './frames.ts';
import { opcodes, RawClient, wsFrame } from './raw-client.ts';
import { readyMessage } from './strangers.ts';
import type { Target } from './target.ts';

type Work = MessageOf<CoordinatorMessage, 'work'>;

/** In one go. The coordinator ends connections with more than 60 pongs that nobody reads. */
const BURST = 50;
const PIECE_OF_PINGS = 1000;
/** Far above the greatest double that is still a good number of milliseconds. */
const MAX_EXPONENT = 300;
const NO_ASSIGNMENT = 2 ** 40;
const NORMAL_CLOSE = 1000;

const said = (message: WorkerMessage, payload?: readonly Uint8Array[]): Buffer =>
  wsFrame(encodeFrame(message, payload));

/** Joins, stays in touch, and hands on what it is asked to do. */
async function enter(target: Target, ready: boolean, onWork?: (work: Work) => void): Promise<RawClient> {
  const client = await RawClient.join(target.port, said(hello()), ...(ready ? [said(readyMessage(target))] : []));
  client.onMessage = ({ message }) => {
    if (message.type === 'ping') client.post(said({ type: 'pong', sentAt: message.sentAt, at: 0 }));
    if (message.type === 'work') onWork?.(message);
  };
  return client;
}

/** The same sort of thing again and again, none of which ends the connection. */
const flood =
  (ready: boolean, make: (strike: Strike) => Uint8Array, reason?: string) =>
  async (strike: Strike): Promise<void> => {
    const { target, numFrames, tally, count } = strike;
    const client = await enter(target, ready);
    for (let left = numFrames; left > 0; left -= BURST) {
      const burst = Array.from({ length: Math.min(left, BURST) }, () => make(strike));
      await client.write(Buffer.concat(burst));
      if (!client.isOpen) throw new Error(`it was ended with ${client.closeCode}`);
      count(burst.length);
      if (reason) tally.add(tally.answers, reason, burst.length);
    }
    const code = await client.leave();
    if (code !== NORMAL_CLOSE) throw new Error(`it was ended with ${code}`);
  };

/** Pings, each answered before there are more. */
async function pings({ target, random, numFrames, count }: Strike): Promise<void> {
  const client = await enter(target, random.below(2) === 0);
  for (let sent = 0; sent < numFrames; sent += BURST) {
    const burst = Array.from({ length: BURST }, () =>
      wsFrame(randomBytes(random, random.below(126)), { opcode: opcodes.ping }),
    );
    await client.write(Buffer.concat(burst));
    if (!(await client.until(() => client.numPongs >= sent + BURST))) throw new Error('no pong came');
    count(BURST);
  }
  await client.leave();
}

/** Pings whose answers nobody reads, until the coordinator has had enough. */
async function deafPings({ target, random, numFrames, tally, count }: Strike): Promise<void> {
  const client = await enter(target, false);
  client.pause();
  const piece = Buffer.concat(
    Array.from({ length: PIECE_OF_PINGS }, () => wsFrame(randomBytes(random, 125), { opcode: opcodes.ping })),
  );
  for (let sent = 0; sent < numFrames && client.isOpen; sent += PIECE_OF_PINGS) {
    await client.write(piece);
    count(PIECE_OF_PINGS);
  }
  // There was no room left for a word.
  tally.add(tally.closed, await client.ended());
}

/** Asks for data and reads none of it. */
async function deafFetches({ target, random, numFrames, tally, count }: Strike): Promise<void> {
  const client = await enter(target, random.below(2) === 0);
  client.pause();
  for (let sent = 0; sent < numFrames && client.isOpen; sent++) {
    await client.write(said({ type: 'fetch', digest: pick(random, target.partitions), offset: 0 }));
    count(1);
  }
  tally.add(tally.closed, await client.ended());
}

/** An answer to work that cannot be taken, and the reason. No sums in it are both finite and where they belong. */
function badAnswer(random: RandomStream, target: Target, work: Work): { reason: string; frames: Buffer[] } {
  const { assignment, generation, runStep } = work;
  const nodes = coveringNodes(work, target.numShards);
  const wild = (): number => random.uniform() * 10 ** random.below(MAX_EXPONENT);
  const place = { type: 'result', assignment, generation, runStep, nodes } as const;
  const sound = { ...place, startedAt: wild(), computeMs: wild() };
  const sums = (length: number): Uint8Array[] => [randomBytes(random, length)];
  const length = nodes.length * target.sumLength * Float32Array.BYTES_PER_ELEMENT;
  switch (random.below(9)) {
    case 0:
      return { reason: 'wrong length', frames: [said(sound, sums(length - 1))] };
    case 1:
      return { reason: 'wrong length', frames: [said(sound, sums(length + 4))] };
    case 2:
      return { reason: 'wrong length', frames: [said(sound)] };
    case 3:
      return { reason: 'wrong generation', frames: [said({ ...sound, generation: generation + 1 }, sums(length))] };
    case 4:
      return { reason: 'wrong generation', frames: [said({ ...sound, runStep: runStep + 1 }, sums(length))] };
    case 5: {
      const others = pick(random, [[], [0x1fff], [...nodes, ...nodes], nodes.map((node) => node + 1)]);
      return { reason: 'other shards', frames: [said({ ...sound, nodes: others }, sums(length))] };
    }
    case 6: {
      const values = new Float32Array(nodes.length * target.sumLength);
      const strange = pick(random, [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]);
      for (let i = 0; i < nodes.length; i++) values[i * target.sumLength + random.below(target.sumLength)] = strange;
      return { reason: 'not finite', frames: [said(sound, [new Uint8Array(values.buffer)])] };
    }
    case 7: {
      const slice = pick(random, [
        { from: 4096, to: 8192 },
        { from: 0, to: 0 },
        { from: 0, to: target.sumLength + 4096 },
        { from: 0, to: target.sumLength - 1 },
      ]);
      return { reason: 'wrong slice', frames: [said({ ...sound, slice }, sums(length))] };
    }
    default: {
      const unasked = said({ ...sound, assignment: NO_ASSIGNMENT + assignment }, sums(length));
      return { reason: 'not assigned', frames: [unasked, said({ type: 'failed', assignment, reason: 'fuzz' })] };
    }
  }
}

/** The same where only some entries of the sums are sent. */
function badSparseAnswer(
  random: RandomStream,
  { numShards, numWeights, sumLength, numEntries = 0 }: Target,
  work: Work,
): { reason: string; frames: Buffer[] } {
  const { assignment, generation, runStep } = work;
  const nodes = coveringNodes(work, numShards);
  const message = { type: 'result', assignment, generation, runStep, nodes, startedAt: 0, computeMs: 1 } as const;
  const first = random.below(numWeights - numEntries);
  const sums = {
    indices: Uint32Array.from({ length: numEntries }, (_, i) => first + i),
    values: Float32Array.from({ length: numEntries }, () => random.normal()),
    tail: new Float32Array(sumLength - numWeights),
  };
  const sound = packSparse(sums);
  const wrong = (bytes: Uint8Array) => ({ reason: 'wrong entries', frames: [said(message, [bytes])] });
  switch (random.below(6)) {
    case 0:
      return wrong(sound.subarray(0, random.below(sound.length)));
    case 1:
      return wrong(Buffer.concat([sound, randomBytes(random, 1 + random.below(sound.length))]));
    case 2:
      return wrong(packSparse({ ...sums, indices: sums.indices.map((index) => index + numWeights) }));
    case 3: {
      // Numbers that do not end, or go far beyond all weights.
      const bytes = sound.slice();
      bytes.fill(random.below(2) === 0 ? 0xff : 0x80, bytes.length - 1 - random.below(numEntries));
      return wrong(bytes);
    }
    case 4:
      return wrong(new Uint8Array(nodes.length * sumLength * Float32Array.BYTES_PER_ELEMENT));
    default: {
      const { values, tail } = sums;
      const where = random.below(2) === 0 ? values : tail;
      where[random.below(where.length)] = pick(random, [Number.NaN, Number.POSITIVE_INFINITY]);
      return { reason: 'not finite', frames: [said(message, [packSparse(sums)])] };
    }
  }
}

/** Takes work and answers it badly, until it is not trusted any more. */
async function badWorker({ target, random, numFrames, tally, count }: Strike): Promise<void> {
  let numSent = 0;
  const client = await enter(target, true, (work) => {
    const answer = target.numEntries === undefined ? badAnswer : badSparseAnswer;
    const { reason, frames } = answer(random, target, work);
    for (const frame of frames) client.post(frame);
    count(frames.length);
    numSent += frames.length;
    tally.add(tally.answers, reason);
  });
  if (!(await client.until(() => numSent >= numFrames))) throw new Error(`it got work for ${numSent} bad answers only`);
  await client.leave();
}

const websocketPong = ({ random }: Strike): Uint8Array =>
  wsFrame(randomBytes(random, random.below(126)), { opcode: opcodes.pong });

const pong = ({ random }: Strike): Uint8Array => {
  const wild = (): number => (random.uniform() - 0.5) * 10 ** random.below(MAX_EXPONENT);
  return said({ type: 'pong', sentAt: wild(), at: wild() });
};

const holds = ({ random, target }: Strike): Uint8Array =>
  said({ type: 'holds', shards: Array.from({ length: random.below(4096) }, () => random.below(target.numShards)) });

const shortFetch = ({ random, target: { partitions, partitionBytes } }: Strike): Uint8Array =>
  said({ type: 'fetch', digest: pick(random, partitions), offset: partitionBytes - random.below(5_000) });

const unaskedResult = ({ random, target }: Strike): Uint8Array => {
  const place = { assignment: NO_ASSIGNMENT + random.uint32(), generation: 1, runStep: 1, nodes: [1] };
  const sums = randomBytes(random, random.below(target.sumLength * 4));
  return said({ type: 'result', ...place, startedAt: 0, computeMs: 1 }, [sums]);
};

const unaskedFailure = (): Uint8Array =>
  said({ type: 'failed', assignment: NO_ASSIGNMENT, reason: '\u001b[2J'.repeat(100) });

const unasked = 'not assigned';

export const members: readonly Kind[] = [
  { name: 'pings', total: 20_000, perConnection: 1_000, strike: pings },
  { name: 'deaf pings', total: 200_000, perConnection: 100_000, strike: deafPings },
  { name: 'deaf fetches', total: 4_000, perConnection: 500, strike: deafFetches },
  { name: 'WebSocket pongs', total: 15_000, perConnection: 1_000, strike: flood(false, websocketPong) },
  { name: 'pongs', total: 15_000, perConnection: 1_000, strike: flood(true, pong) },
  { name: 'holds', total: 6_000, perConnection: 1_000, strike: flood(false, holds) },
  { name: 'short fetches', total: 6_000, perConnection: 500, strike: flood(false, shortFetch) },
  { name: 'unasked results', total: 15_000, perConnection: 3_000, strike: flood(true, unaskedResult, unasked) },
  { name: 'unasked failures', total: 9_000, perConnection: 3_000, strike: flood(true, unaskedFailure, unasked) },
  { name: 'bad answers', total: 900, perConnection: 3, strike: badWorker },
];

/** Those in a run whose workers send a part of their sums. */
export const sparseMembers: readonly Kind[] = [
  { name: 'bad sparse answers', total: 150, perConnection: 3, strike: badWorker },
];

/** Takes work, stays in touch and never answers. Returns how to end it. */
export async function sleeper(target: Target): Promise<() => void> {
  const client = await enter(target, true);
  return () => client.hangUp();
}
