/** Who computes which shards: contiguous ranges in proportion to measured speed. */
import { coveringNodes, type Range } from '@lockstep/core';

/** How long a member takes for a range; see {@link expectedMs}. */
export interface Speed {
  /** For the parameters and one partial sum to travel and be unpacked. */
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
  /** Partial sums of its answer. */
  readonly numPartials: number;
  /** Between sending the assignment, or the answer before it, and its answer. */
  readonly roundTripMs: number;
  /** As the member says. */
  readonly computeMs: number;
}

const SMOOTHING = 0.3;

/** Of the vectors that travel with an answer of one partial sum, those with an answer of several. */
const travelling = (numPartials: number): number => (1 + numPartials) / 2;

/** How long so many shards take whose sums are added up to so many. */
export const expectedMs = ({ overheadMs, msPerShard }: Speed, numShards: number, numPartials = 1): number =>
  overheadMs * travelling(numPartials) + numShards * msPerShard;

function rangeMs(speed: Speed, range: Range, numShards: number): number {
  const count = range.to - range.from;
  return count === 0 ? 0 : expectedMs(speed, count, coveringNodes(range, numShards).length);
}

/** An exponential average over measurements. */
export function measured(speed: Speed | undefined, measurement: Measurement): Speed {
  const { numShards, numPartials, roundTripMs, computeMs } = measurement;
  const compute = Math.min(Math.max(0, computeMs), roundTripMs);
  const now = { overheadMs: (roundTripMs - compute) / travelling(numPartials), msPerShard: compute / numShards };
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
  const speeds = assumedSpeeds(members);
  const ranges = new Map<string, Range>();
  let from = 0;
  for (const [i, to] of align(speeds, divideBySpeed(speeds, numShards), numShards).entries()) {
    if (to > from) ranges.set(members[i]!.id, { from, to });
    from = to;
  }
  return ranges;
}

/**
 * Ends of the members' ranges, of about so many shards each, one behind the other. An end that belongs to few nodes of the tree
 * is taken where its neighbours are done sooner with it: a range between others takes several partial sums, which all travel.
 */
function align(speeds: readonly Speed[], counts: readonly number[], numShards: number): number[] {
  let sum = 0;
  const ends = counts.map((count) => {
    sum += count;
    return sum;
  });
  const at = (i: number): number => ends[i] ?? 0;
  for (let i = 0; i + 1 < ends.length; i++) {
    // Nobody's range is enlarged who is better left out.
    if (counts[i] === 0 || counts[i + 1] === 0) continue;
    const [from, to] = [at(i - 1), at(i + 1)];
    const slower = (end: number): number =>
      Math.max(
        rangeMs(speeds[i]!, { from, to: end }, numShards),
        rangeMs(speeds[i + 1]!, { from: end, to }, numShards),
      );
    const wanted = at(i);
    for (let step = 2; step < numShards; step *= 2) {
      for (const end of [Math.floor(wanted / step) * step, Math.ceil(wanted / step) * step]) {
        if (end > from && end < to && slower(end) < slower(at(i))) ends[i] = end;
      }
    }
  }
  return ends;
}

/** When the last member would be done. */
export function makespanMs(
  ranges: ReadonlyMap<string, Range>,
  members: readonly Candidate[],
  numShards: number,
): number {
  const speeds = assumedSpeeds(members);
  return members.reduce((latest, { id }, i) => {
    const range = ranges.get(id);
    return range ? Math.max(latest, rangeMs(speeds[i]!, range, numShards)) : latest;
  }, 0);
}
