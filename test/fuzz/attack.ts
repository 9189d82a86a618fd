/** An attack as a list of connections, drawn from a seed, that some at a time do their worst. */
import { purposes, RandomStream } from '@lockstep/core';
import type { Target } from './target.ts';

/** How many connections are under way at a time: fewer than the coordinator lets one address have in the handshake. */
const NUM_LANES = 24;

/** What was done, and what came of it. */
export class Tally {
  /** Frames that were handed to the network, by kind of attack. */
  readonly sent = new Map<string, number>();
  /** WebSockets that the coordinator ended, by close code. */
  readonly closed = new Map<number | undefined, number>();
  /** Answers to work that had to be refused, by the reason. */
  readonly answers = new Map<string, number>();

  get numSent(): number {
    return [...this.sent.values()].reduce((sum, count) => sum + count, 0);
  }

  add<Key>(counts: Map<Key, number>, key: Key, count = 1): void {
    counts.set(key, (counts.get(key) ?? 0) + count);
  }
}

/** What one connection of an attack does. */
export interface Strike {
  readonly target: Target;
  readonly random: RandomStream;
  /** Frames to send. */
  readonly numFrames: number;
  readonly tally: Tally;
  /** Counts frames that were sent. */
  readonly count: (frames: number) => void;
}

export interface Kind {
  readonly name: string;
  /** Frames over all connections, and of one connection. */
  readonly total: number;
  readonly perConnection: number;
  readonly strike: (strike: Strike) => Promise<void>;
}

interface Planned {
  readonly kind: Kind;
  readonly numFrames: number;
  readonly random: RandomStream;
}

/** All connections of an attack, in an order by chance. */
export function plan(kinds: readonly Kind[], seed: number): Planned[] {
  const planned: Planned[] = [];
  for (const kind of kinds) {
    for (let left = kind.total; left > 0; left -= kind.perConnection) {
      const random = new RandomStream(seed, purposes.jitter, planned.length, 1, 0);
      planned.push({ kind, numFrames: Math.min(left, kind.perConnection), random });
    }
  }
  const random = new RandomStream(seed, purposes.jitter, 0, 0, 0);
  for (let i = planned.length - 1; i > 0; i--) {
    const j = random.below(i + 1);
    [planned[i], planned[j]] = [planned[j]!, planned[i]!];
  }
  return planned;
}

/** Carries out a part of a plan. @throws when the coordinator does not take connections any more, or answers wrongly */
export async function attack(target: Target, planned: readonly Planned[], tally: Tally): Promise<void> {
  const rest = planned.values();
  const lane = async (): Promise<void> => {
    for (const { kind, numFrames, random } of rest) {
      const count = (frames: number): void => tally.add(tally.sent, kind.name, frames);
      try {
        await kind.strike({ target, random, numFrames, tally, count });
      } catch (error) {
        throw new Error(`${kind.name}: ${(error as Error).message}`, { cause: error });
      }
    }
  };
  await Promise.all(Array.from({ length: NUM_LANES }, lane));
}
