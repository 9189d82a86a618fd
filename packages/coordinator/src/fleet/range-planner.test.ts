import { purposes, RandomStream, type Range } from '@lockstep/core';
import { describe, expect, it } from 'vitest';
import { MEMBERSHIP, type Member, Membership } from './membership.ts';
import { missingShards, RangePlanner } from './range-planner.ts';

const REVIEW_STEPS = 16;
const info = { name: '', threads: 1, engine: 'onnx', device: 'cpu', runtime: 'node' } as const;

/** A planner, its members, and what it announced to them. */
function open(numShards = 8) {
  const membership = new Membership(MEMBERSHIP);
  const announced: string[] = [];
  const planner = new RangePlanner(numShards, ({ id }, shards) => announced.push(`${id} ${shards.join()}`));

  const join = (id: string, msPerShard?: number): Member => {
    membership.connect(0, id, id === 'local' ? 'local' : 'remote');
    membership.ready(0, id, info, '');
    const member = membership.get(id)!;
    if (msPerShard !== undefined) member.speed = { overheadMs: 0, msPerShard };
    return member;
  };
  const hold = (id: string, from = 0, to = numShards): void => {
    for (let shard = from; shard < to; shard++) membership.get(id)!.held!.add(shard);
  };
  const leave = (id: string) => membership.left(0, id, '');
  const setSpeed = (id: string, msPerShard: number): void => {
    membership.get(id)!.speed = { overheadMs: 0, msPerShard };
  };
  const next = (): string[] => told(planner.next(membership.available));
  /** The ranges after some steps. */
  const after = (numSteps: number): string[] => {
    for (let i = 1; i < numSteps; i++) next();
    return next();
  };
  return { membership, planner, announced, join, hold, leave, setSpeed, next, after };
}

const told = (ranges: ReadonlyMap<string, Range>): string[] =>
  [...ranges].map(([id, { from, to }]) => `${id} ${from}-${to}`);

/** With members that hold everything. */
function settled(speeds: Readonly<Record<string, number>>, numShards = 8) {
  const opened = open(numShards);
  for (const [id, speed] of Object.entries(speeds)) {
    opened.join(id, speed);
    opened.hold(id);
  }
  opened.after(2 * REVIEW_STEPS);
  return opened;
}

describe('a plan', () => {
  it('begins with ranges by speed, whoever holds the data', () => {
    const { planner, join, next, announced } = open();
    expect(told(planner.current)).toEqual([]);
    join('a', 10);
    join('b', 30);
    expect(next()).toEqual(['a 0-6', 'b 6-8']);
    expect(told(planner.current)).toEqual(['a 0-6', 'b 6-8']);
    expect(announced).toEqual([]);
  });

  it('takes a new member in when it holds the data that it was told to fetch, and not before', () => {
    const { join, hold, next, announced } = settled({ a: 10 });
    join('b', 10);
    expect(next()).toEqual(['a 0-8']);
    expect(announced).toEqual(['b 4,5,6,7']);
    hold('b', 4, 7);
    expect(next()).toEqual(['a 0-8']);
    hold('b', 7, 8);
    expect(next()).toEqual(['a 0-4', 'b 4-8']);
    expect(announced).toEqual(['b 4,5,6,7']);
  });

  it('tells nobody to fetch what it holds', () => {
    const { join, hold, next, announced } = settled({ a: 10 });
    join('b', 10);
    hold('b', 4, 6);
    next();
    expect(announced).toEqual(['b 6,7']);
  });

  it('takes a new member in at once when it holds its data', () => {
    const { join, hold, next, announced } = settled({ a: 10 });
    join('b', 10);
    hold('b');
    expect(next()).toEqual(['a 0-4', 'b 4-8']);
    expect(announced).toEqual([]);
  });

  it('takes new members in even when that makes little difference', () => {
    const { join, hold, next } = settled(Object.fromEntries(Array.from({ length: 16 }, (_, i) => [`m${i}`, 10])), 256);
    for (const id of ['a', 'b']) {
      join(id);
      hold(id);
    }
    expect(next()).toHaveLength(18);
  });

  it('divides the shards of a member that is gone at once, whoever holds the data', () => {
    const { leave, join, next, announced } = settled({ a: 10, b: 10 });
    join('c', 10);
    leave('a');
    expect(next()).toEqual(['b 0-4', 'c 4-8']);
    expect(announced).toEqual([]);
  });

  it('takes a member that is busy for one that is gone, until it is back', () => {
    const { membership, next } = settled({ a: 10, b: 10 });
    membership.get('a')!.owes = 1;
    expect(next()).toEqual(['b 0-8']);
    membership.get('a')!.owes = 0;
    expect(next()).toEqual(['a 0-4', 'b 4-8']);
  });

  it('does not wait for those who left before they had their data', () => {
    const { join, leave, hold, after, next, announced } = settled({ a: 10 });
    join('b', 10);
    join('c', 10);
    next();
    expect(announced).toEqual(['b 3,4,5', 'c 6,7']);
    leave('b');
    hold('c', 6, 8);
    expect(after(2)).toEqual(['a 0-8']);
    hold('c', 4, 8);
    expect(next()).toEqual(['a 0-4', 'c 4-8']);
  });

  it('is made anew when nobody of the old one is left, and nobody of the one that was to come', () => {
    const { join, leave, next } = settled({ a: 10 });
    join('b', 10);
    next();
    for (const id of ['a', 'b']) leave(id);
    join('c', 10);
    expect(next()).toEqual(['c 0-8']);
  });

  it('gives the local worker anything at once, for it holds all data', () => {
    const { join, next } = settled({ a: 10 });
    join('local', 10);
    expect(next()).toEqual(['a 0-4', 'local 4-8']);
  });
});

describe('a change of speed', () => {
  it('moves ranges after a while when that is worthwhile', () => {
    const { setSpeed, next, after } = settled({ a: 10, b: 10 });
    setSpeed('b', 30);
    expect(next()).toEqual(['a 0-4', 'b 4-8']);
    expect(after(REVIEW_STEPS)).toEqual(['a 0-6', 'b 6-8']);
  });

  it('moves nothing when it would make little difference', () => {
    const { setSpeed, after } = settled({ a: 10, b: 10 }, 64);
    setSpeed('b', 9);
    expect(after(3 * REVIEW_STEPS)).toEqual(['a 0-32', 'b 32-64']);
    setSpeed('b', 7);
    expect(after(REVIEW_STEPS)).toEqual(['a 0-26', 'b 26-64']);
  });

  it('moves ranges only when their data is there', () => {
    const { membership, setSpeed, hold, after, next, announced } = settled({ a: 10, b: 10 });
    membership.get('a')!.held = new Set([0, 1, 2, 3]);
    setSpeed('b', 30);
    expect(after(REVIEW_STEPS)).toEqual(['a 0-4', 'b 4-8']);
    expect(announced).toEqual(['a 4,5']);
    hold('a', 4, 6);
    expect(next()).toEqual(['a 0-6', 'b 6-8']);
  });

  it('is noticed sooner when the ranges have just moved', () => {
    const { join, setSpeed, next, after } = settled({ a: 10 });
    join('local', 10);
    expect(next()).toEqual(['a 0-4', 'local 4-8']);
    setSpeed('local', 30);
    expect(after(2)).toEqual(['a 0-6', 'local 6-8']);
  });
});

describe('a run of many steps', () => {
  /** Every step takes as long as it takes. Returns the mean time of a step, and after which steps the ranges changed. */
  function run(msPerShard: Readonly<Record<string, number>>, numShards: number, noise: number, numSteps: number) {
    const { membership, planner } = settled(msPerShard, numShards);
    for (const member of membership.all) member.speed = undefined;
    const random = new RandomStream(0, purposes.jitter, numShards, 0, 0);
    let totalMs = 0;
    const changes: number[] = [];
    for (let step = 0; step < numSteps; step++) {
      const before = planner.current;
      const ranges = planner.next(membership.available);
      if (ranges !== before) changes.push(step);
      let stepMs = 0;
      for (const [id, { from, to }] of ranges) {
        const ms = (to - from) * msPerShard[id]! * (1 + noise * (2 * random.uniform() - 1));
        membership.measured(id, { numShards: to - from, numPartials: 1, roundTripMs: ms, computeMs: ms });
        stepMs = Math.max(stepMs, ms);
      }
      membership.stepped(new Set(ranges.keys()));
      totalMs += stepMs;
    }
    return { meanMs: totalMs / numSteps, changes };
  }

  it.each([
    [{ a: 10, b: 10 }, 8],
    [{ a: 10, b: 14, c: 40 }, 8],
    [{ a: 10, b: 14, c: 40 }, 64],
    [{ a: 10, b: 10, c: 11, d: 60 }, 64],
  ])('finds the best ranges for %j, and keeps them', (speeds, numShards) => {
    const { changes } = run(speeds, numShards, 0, 1_000);
    expect(changes.filter((step) => step > 5 * REVIEW_STEPS)).toEqual([]);
  });

  it('does not move ranges to and fro when measurements scatter', () => {
    const numReviews = 2_000 / REVIEW_STEPS;
    expect(run({ a: 10, b: 10, c: 20 }, 64, 0.2, 2_000).changes.length).toBeLessThan(numReviews / 5);
  });

  it.each([16, 32])('loses little by trying a member again that is %i times slower', (factor) => {
    const alone = run({ a: 10 }, 8, 0, 2_000).meanMs;
    const { meanMs, changes } = run({ a: 10, b: 10 * factor }, 8, 0, 2_000);
    expect(changes.length).toBeGreaterThan(10);
    expect(meanMs / alone).toBeLessThan(1.2);
  });
});

describe('missing shards', () => {
  it('are those of a range that a member does not hold', () => {
    const { membership, join } = open();
    join('a').held!.add(3);
    expect(missingShards(membership.get('a')!, { from: 2, to: 5 })).toEqual([2, 4]);
    expect(missingShards(join('local'), { from: 2, to: 5 })).toEqual([]);
  });
});
