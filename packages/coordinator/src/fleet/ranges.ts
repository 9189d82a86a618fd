/** Who computes which shards: contiguous ranges in proportion to measured speed. */
import type { Range } from '@lockstep/core';

/** How long a member takes: `overheadMs + shards * msPerShard`. */
export interface Speed {
  /** For messages and vectors to travel and be unpacked. */
  readonly overheadMs: number;
  readonly msPerShard: number;
}

export interface Candidate {
  readonly id: string;
  /** Undefined until something was measured. */
  readonly speed: Speed | undefined;
}

/** One measured assignment. */
export interface Measurement {
  readonly numShards: number;
  /** Between sending the assignment, or the answer before it, and its answer. */
  readonly roundTripMs: number;
  /** As the member says. */
  readonly computeMs: number;
}

const SMOOTHING = 0.3;

export const expectedMs = ({ overheadMs, msPerShard }: Speed, numShards: number): number =>
  overheadMs + numShards * msPerShard;

/** An exponential average over measurements. */
export function measured(speed: Speed | undefined, { numShards, roundTripMs, computeMs }: Measurement): Speed {
  const compute = Math.min(Math.max(0, computeMs), roundTripMs);
  const now = { overheadMs: roundTripMs - compute, msPerShard: compute / numShards };
  if (!speed) return now;
  const mix = (before: number, value: number): number => before + SMOOTHING * (value - before);
  return { overheadMs: mix(speed.overheadMs, now.overheadMs), msPerShard: mix(speed.msPerShard, now.msPerShard) };
}

/** Members without a measurement count as the average of the others. */
export function assumedSpeeds(members: readonly Candidate[]): Speed[] {
  const known = members.flatMap(({ speed }) => speed ?? []);
  const mean = (of: (speed: Speed) => number): number =>
    known.reduce((sum, speed) => sum + of(speed), 0) / known.length;
  const assumed =
    known.length === 0
      ? { overheadMs: 0, msPerShard: 1 }
      : { overheadMs: mean((speed) => speed.overheadMs), msPerShard: mean((speed) => speed.msPerShard) };
  return members.map(({ speed }) => speed ?? assumed);
}

/**
 * How many of `count` shards each should take so that the last is done as early as possible: one after the other goes to
 * whoever would be done with it first.
 */
export function divideBySpeed(speeds: readonly Speed[], count: number): number[] {
  const counts = speeds.map(() => 0);
  for (let i = 0; i < count; i++) {
    let best = 0;
    let bestMs = Number.POSITIVE_INFINITY;
    for (const [member, speed] of speeds.entries()) {
      const ms = expectedMs(speed, counts[member]! + 1);
      if (ms < bestMs) {
        best = member;
        bestMs = ms;
      }
    }
    counts[best]!++;
  }
  return counts;
}

/** Ranges of all shards for the members, in their order. A member that would only slow the others down gets none. */
export function planRanges(members: readonly Candidate[], numShards: number): Map<string, Range> {
  const ranges = new Map<string, Range>();
  let from = 0;
  for (const [i, count] of divideBySpeed(assumedSpeeds(members), numShards).entries()) {
    if (count > 0) ranges.set(members[i]!.id, { from, to: from + count });
    from += count;
  }
  return ranges;
}

/** When the last member would be done. */
export function makespanMs(ranges: ReadonlyMap<string, Range>, members: readonly Candidate[]): number {
  const speeds = assumedSpeeds(members);
  return members.reduce((latest, { id }, i) => {
    const range = ranges.get(id);
    return range ? Math.max(latest, expectedMs(speeds[i]!, range.to - range.from)) : latest;
  }, 0);
}
