import { purposes, RandomStream, type Range } from '@lockstep/core';
import { describe, expect, it } from 'vitest';
import {
  assumedSpeeds,
  type Candidate,
  divideBySpeed,
  expectedMs,
  makespanMs,
  measured,
  planRanges,
  type Speed,
} from './ranges.ts';

const member = (id: string, msPerShard?: number, overheadMs = 0): Candidate => {
  return { id, speed: msPerShard === undefined ? undefined : { overheadMs, msPerShard } };
};

/** Ranges as `id from-to`. */
const told = (ranges: ReadonlyMap<string, Range>): string[] =>
  [...ranges].map(([id, { from, to }]) => `${id} ${from}-${to}`);

describe('planned ranges', () => {
  it('are in proportion to speed, in the order of the members', () => {
    const members = [member('a', 10), member('b', 30), member('c', 30), member('d', 15)];
    expect(told(planRanges(members, 16))).toEqual(['a 0-7', 'b 7-9', 'c 9-11', 'd 11-16']);
  });

  it('take into account what does not depend on the number of shards', () => {
    expect(told(planRanges([member('near', 10), member('far', 10, 40)], 8))).toEqual(['near 0-6', 'far 6-8']);
  });

  it('end where few partial sums have to travel, unless that costs more than it saves', () => {
    // 3 and 5 shards take 50 ms of computing each, 4 and 4 take 66 and 40; but 3 and 5 have two partial sums each, not one.
    const members = (overheadMs: number): Candidate[] => [member('a', 16.5, overheadMs), member('b', 10, overheadMs)];
    expect(told(planRanges(members(10), 8))).toEqual(['a 0-3', 'b 3-8']);
    expect(told(planRanges(members(40), 8))).toEqual(['a 0-4', 'b 4-8']);
  });

  it('leave a member out that would only slow the others down', () => {
    expect(told(planRanges([member('slow', 1_000), member('a', 10), member('b', 10)], 8))).toEqual(['a 0-4', 'b 4-8']);
    expect(told(planRanges([member('a', 10), member('far', 1, 1_000)], 8))).toEqual(['a 0-8']);
  });

  it('count a member that was never measured as the average of the others', () => {
    const members = [member('a', 10), member('new'), member('b', 30)];
    expect(told(planRanges(members, 11))).toEqual(['a 0-6', 'new 6-9', 'b 9-11']);
    const [, assumed] = assumedSpeeds([member('a', 10, 4), member('new'), member('b', 30, 8)]);
    expect(assumed).toEqual({ overheadMs: 6, msPerShard: 20 });
  });

  it('are even while nobody was measured', () => {
    expect(told(planRanges([member('a'), member('b'), member('c')], 8))).toEqual(['a 0-3', 'b 3-6', 'c 6-8']);
  });

  it('are nothing for those who come last when there are more members than shards', () => {
    expect(told(planRanges([member('a'), member('b'), member('c')], 2))).toEqual(['a 0-1', 'b 1-2']);
  });
});

describe('any members', () => {
  const random = new RandomStream(0, purposes.jitter, 0, 0, 0);
  const randomMember = (id: string): Candidate => {
    const magnitude = 10 ** (3 * random.uniform());
    return random.below(4) === 0 ? member(id) : member(id, magnitude, random.below(2) * random.below(100));
  };
  const trials = Array.from({ length: 500 }, () => {
    const members = Array.from({ length: 1 + random.below(9) }, (_, i) => randomMember(`m${i}`));
    return { members, numShards: 2 ** random.below(8) };
  });

  it('together have every shard once', () => {
    for (const { members, numShards } of trials) {
      let next = 0;
      for (const { from, to } of planRanges(members, numShards).values()) {
        expect(from).toBe(next);
        expect(to).toBeGreaterThan(from);
        next = to;
      }
      expect(next).toBe(numShards);
    }
  });

  /** One behind the other. */
  const rangesOf = (members: readonly Candidate[], counts: readonly number[]): Map<string, Range> => {
    const ranges = new Map<string, Range>();
    let from = 0;
    for (const [i, count] of counts.entries()) {
      if (count > 0) ranges.set(members[i]!.id, { from, to: from + count });
      from += count;
    }
    return ranges;
  };

  it('are never slower than with the same number of shards for each, where nothing has to travel', () => {
    for (const { members: travelling, numShards } of trials) {
      const members = travelling.map(({ id, speed }) => ({ id, speed: speed && { ...speed, overheadMs: 0 } }));
      const even = divideBySpeed(
        members.map(() => ({ overheadMs: 0, msPerShard: 1 })),
        numShards,
      );
      const ms = (ranges: Map<string, Range>): number => makespanMs(ranges, members, numShards);
      expect(ms(planRanges(members, numShards))).toBeLessThanOrEqual(ms(rangesOf(members, even)));
    }
  });

  it('are never slower than in proportion to speed alone, and often faster', () => {
    const gains = trials.map(({ members, numShards }) => {
      const proportional = rangesOf(members, divideBySpeed(assumedSpeeds(members), numShards));
      const ms = (ranges: Map<string, Range>): number => makespanMs(ranges, members, numShards);
      return ms(proportional) - ms(planRanges(members, numShards));
    });
    expect(Math.min(...gains)).toBeGreaterThanOrEqual(0);
    expect(gains.filter((gain) => gain > 0).length).toBeGreaterThan(50);
  });

  it('could not be faster if any one shard were somewhere else', () => {
    for (const { members, numShards } of trials) {
      const speeds = assumedSpeeds(members);
      const counts = divideBySpeed(speeds, numShards);
      const slowest = Math.max(...counts.map((count, i) => (count > 0 ? expectedMs(speeds[i]!, count) : 0)));
      for (const [i, count] of counts.entries()) {
        expect(expectedMs(speeds[i]!, count + 1)).toBeGreaterThanOrEqual(slowest);
      }
    }
  });
});

describe('the makespan', () => {
  it('is when the last of those who have shards is done', () => {
    const members = [member('a', 10), member('b', 20, 5), member('idle', 1_000)];
    const ranges = new Map([
      ['a', { from: 0, to: 3 }],
      ['b', { from: 3, to: 5 }],
    ]);
    // The range of b takes two partial sums, so three vectors travel in place of two.
    expect(makespanMs(ranges, members, 8)).toBe(47.5);
    expect(makespanMs(new Map(), members, 8)).toBe(0);
  });
});

describe('a measured speed', () => {
  const measurement = { numShards: 4, numPartials: 1, roundTripMs: 100, computeMs: 80 };

  it('is the first measurement at first', () => {
    expect(measured(undefined, measurement)).toEqual({ overheadMs: 20, msPerShard: 20 });
  });

  it('is of one partial sum, however many the measurement had', () => {
    expect(measured(undefined, { ...measurement, numPartials: 3 })).toEqual({ overheadMs: 10, msPerShard: 20 });
  });

  it('moves by less than half of the way with each measurement, and arrives', () => {
    const before: Speed = { overheadMs: 0, msPerShard: 0 };
    const after = measured(before, measurement);
    for (const value of [after.overheadMs, after.msPerShard]) {
      expect(value).toBeGreaterThan(2);
      expect(value).toBeLessThan(10);
    }
    let speed = before;
    for (let i = 0; i < 30; i++) speed = measured(speed, measurement);
    expect(speed.overheadMs).toBeCloseTo(20, 2);
    expect(speed.msPerShard).toBeCloseTo(20, 2);
  });

  it('believes nobody who says that it computed for longer than it was given, or for less than nothing', () => {
    expect(measured(undefined, { ...measurement, computeMs: 1e9 })).toEqual({ overheadMs: 0, msPerShard: 25 });
    expect(measured(undefined, { ...measurement, computeMs: -1e9 })).toEqual({ overheadMs: 100, msPerShard: 0 });
  });

  it('gives a member that says that it takes no time no more than it can do', () => {
    const liar = measured(undefined, { numShards: 8, numPartials: 1, roundTripMs: 80, computeMs: 0 });
    expect(divideBySpeed([{ overheadMs: 0, msPerShard: 10 }, liar], 16)).toEqual([8, 8]);
  });
});
