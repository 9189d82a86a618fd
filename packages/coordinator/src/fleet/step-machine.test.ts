/** One step, event by event. What any order of events must keep is in step-schedules.test.ts. */
import type { Range } from '@lockstep/core';
import { describe, expect, it } from 'vitest';
import type { Speed } from './ranges.ts';
import { type StepAction, StepMachine, type Timing } from './step-machine.ts';

const timing: Timing = {
  softFactor: 3,
  softMinMs: 100,
  softUnknownMs: 1_000,
  hardFactor: 20,
  hardMinMs: 2_000,
  hardUnknownMs: 10_000,
};
const numShards = 8;

interface Planned {
  readonly speed?: Speed;
  /** From and to; undefined: it has nothing to do. */
  readonly shards?: readonly [number, number];
}

const candidate = (id: string, speed: Speed | undefined) => ({ id, speed });
const able = (msPerShard: number, shards?: readonly [number, number]): Planned => {
  return { speed: { overheadMs: 0, msPerShard }, ...(shards && { shards }) };
};

/** Assignments are numbered from 1 in the order in which they are given out. */
function begin(planned: Readonly<Record<string, Planned>>, graceMs = 0, isWhole = false) {
  let last = 0;
  const machine = new StepMachine<string>({
    numShards,
    timing,
    isWhole,
    arbiter: 'local',
    nextAssignment: () => ++last,
    graceMs: () => graceMs,
  });
  const ranges = new Map<string, Range>();
  for (const [id, { shards }] of Object.entries(planned)) {
    if (shards) ranges.set(id, { from: shards[0], to: shards[1] });
  }
  const members = Object.entries(planned).map(([id, { speed }]) => candidate(id, speed));
  const actions = machine.begin(0, ranges, members);
  const answer = (now: number, assignment: number, ...sums: string[]) =>
    told(machine.answer(now, assignment, named(sums)));
  return { machine, actions, answer };
}

/** Partial sums as `member:node`. */
const named = (sums: readonly string[]): Map<number, string> =>
  new Map(sums.map((sum) => [Number(sum.split(':')[1]), sum]));

/** Actions as sentences. */
function told(actions: readonly StepAction<string>[]): string[] {
  return actions.map((action) => {
    if (action.kind === 'assign') {
      const { assignment, member, range, cause } = action;
      return `#${assignment} ${member} ${range.from}-${range.to} ${cause}`;
    }
    if (action.kind === 'cancel') return `cancel #${action.assignment} ${action.member}`;
    if (action.kind === 'discard') return `discard ${action.value}`;
    return action.kind === 'strike' ? `strike ${action.member}: ${action.reason}` : 'commit';
  });
}

/** Two members with half of the shards each: #1 and #2. */
const halves = (extra: Readonly<Record<string, Planned>> = {}) =>
  begin({ a: able(10, [0, 4]), b: able(200, [4, 8]), ...extra });

describe('a step', () => {
  it('begins with the planned ranges', () => {
    const { actions } = begin({ a: { shards: [0, 3] }, b: { shards: [3, 8] }, idle: {} });
    expect(told(actions)).toEqual(['#1 a 0-3 planned', '#2 b 3-8 planned']);
  });

  it('is complete exactly when all shards are covered once', () => {
    const { machine, answer } = begin({ a: { shards: [0, 3] }, b: { shards: [3, 6] }, c: { shards: [6, 8] } });
    expect(answer(10, 2, 'b:11', 'b:6')).toEqual([]);
    expect(answer(20, 3, 'c:7')).toEqual([]);
    expect(answer(30, 1, 'a:4', 'a:10')).toEqual(['commit']);
    expect(machine.isAbandoned).toBe(false);
    expect([...machine.values.keys()].sort((x, y) => x - y)).toEqual([4, 6, 7, 10, 11]);
  });

  it('does nothing any more once it is complete, and gives back what still comes', () => {
    const { machine, answer } = begin({ a: able(10, [0, 8]), b: {} });
    machine.tick(240);
    answer(250, 2, 'b:1');
    expect(machine.isOpen(1)).toBe(false);
    expect(machine.wants(1)).toBe(false);
    expect(machine.isAbandoned).toBe(false);
    expect(answer(260, 1, 'a:2', 'a:3')).toEqual(['discard a:2', 'discard a:3']);
    expect(told(machine.fail(270, 1, 'failed', 'no memory'))).toEqual([]);
    expect(told(machine.fail(270, 1, 'not finite', 'NaN'))).toEqual([]);
    expect(told(machine.withdraw(280, 1))).toEqual([]);
    expect(told(machine.remove(290, 'a'))).toEqual([]);
    expect(told(machine.add(300, candidate('c', undefined)))).toEqual([]);
    expect(told(machine.tick(1e6))).toEqual([]);
    expect([...machine.values]).toEqual([[1, 'b:1']]);
  });

  it('gives back the answer to an assignment that it does not know', () => {
    const { machine, answer } = halves();
    expect(answer(10, 7, 'x:2')).toEqual(['discard x:2']);
    expect(answer(20, 1, 'a:2')).toEqual([]);
    expect(answer(30, 1, 'again:2')).toEqual(['discard again:2']);
    expect([...machine.values]).toEqual([[2, 'a:2']]);
  });

  it('knows which assignments are open and which sums are of use', () => {
    const { machine, answer } = halves();
    expect([1, 2, 3].map((assignment) => machine.isOpen(assignment))).toEqual([true, true, false]);
    answer(10, 1, 'a:2');
    expect(machine.isOpen(1)).toBe(false);
    expect([1, 2, 3, 4, 8, 12].map((node) => machine.wants(node))).toEqual([true, false, true, false, false, true]);
  });
});

describe('the soft deadline', () => {
  it('gives the shards to an idle member too, and nothing before', () => {
    const { machine } = begin({ a: able(10, [0, 8]), b: {} });
    expect(machine.nextDeadline).toBe(240);
    expect(told(machine.tick(239))).toEqual([]);
    expect(told(machine.tick(240))).toEqual(['#2 b 0-8 speculated']);
    expect(told(machine.tick(241))).toEqual([]);
  });

  it('gives nothing to anybody who is busy, but as soon as somebody has answered', () => {
    const { machine, answer } = halves();
    expect(told(machine.tick(120))).toEqual([]);
    expect(told(machine.tick(299))).toEqual([]);
    expect(answer(300, 2, 'b:3')).toEqual(['#3 b 0-4 speculated']);
  });

  it('gives nothing to anybody who is busy, but as soon as somebody comes', () => {
    const { machine } = halves();
    machine.tick(120);
    expect(told(machine.add(150, candidate('c', undefined)))).toEqual(['#3 c 0-4 speculated']);
    expect(told(machine.add(160, candidate('d', undefined)))).toEqual([]);
  });

  it('comes at once for what nobody is late with only when it has passed', () => {
    const { machine } = halves();
    expect(told(machine.add(110, candidate('c', undefined)))).toEqual([]);
    expect(told(machine.tick(120))).toEqual(['#3 c 0-4 speculated']);
  });

  it('gives nothing to somebody who has just been given what nobody computes', () => {
    const { machine } = begin({ a: able(10, [0, 3]), b: able(10, [3, 8]) });
    machine.tick(150);
    machine.remove(160, 'a');
    expect(told(machine.add(170, candidate('c', undefined)))).toEqual(['#3 c 0-3 lost']);
    expect(told(machine.add(180, candidate('d', undefined)))).toEqual(['#4 d 3-8 speculated']);
  });

  it('leaves out what is covered already', () => {
    const { machine, answer } = halves({ c: able(10), d: able(10) });
    expect(told(machine.tick(120))).toEqual(['#3 c 0-2 speculated', '#4 d 2-4 speculated']);
    answer(125, 3, 'c:4');
    expect(told(machine.tick(220))).toEqual(['#5 c 2-4 speculated']);
  });

  it('is later for a member that was never measured', () => {
    const { machine } = begin({ a: { shards: [0, 8] }, b: {} });
    expect(machine.nextDeadline).toBe(timing.softUnknownMs);
    machine.tick(timing.softUnknownMs);
    machine.remove(1_100, 'b');
    expect(machine.nextDeadline).toBe(timing.hardUnknownMs);
  });

  it('is never sooner than a member can be expected to notice', () => {
    const { machine } = begin({ a: able(1, [0, 8]) });
    expect(machine.nextDeadline).toBe(timing.softMinMs);
  });

  it('is later by the time that a member needs to fetch data', () => {
    const { machine } = begin({ a: able(10, [0, 8]), b: {} }, 500);
    expect(machine.nextDeadline).toBe(740);
    expect(told(machine.tick(739))).toEqual([]);
    expect(told(machine.tick(740))).toEqual(['#2 b 0-8 speculated']);
    machine.remove(750, 'b');
    expect(machine.nextDeadline).toBe(2_500);
  });

  it('is later for a member that has something else to do first', () => {
    const { machine, answer } = halves();
    expect(told(machine.remove(50, 'a'))).toEqual(['#3 b 0-4 lost']);
    expect(machine.nextDeadline).toBe(3 * 800);
    answer(700, 2, 'b:3');
    expect(machine.nextDeadline).toBe(800 + 3 * 800);
  });
});

describe('several answers for the same shards', () => {
  it('the first one wins, what is still open is called off, and the other is given back', () => {
    const { machine, answer } = begin({ a: able(10, [0, 8]), b: {} });
    machine.tick(240);
    expect(answer(250, 2, 'b:1')).toEqual(['cancel #1 a', 'commit']);
    expect(answer(251, 1, 'a:1')).toEqual(['discard a:1']);
    expect([...machine.values]).toEqual([[1, 'b:1']]);
  });

  it('the late one still wins when it comes first', () => {
    const { machine, answer } = begin({ a: able(10, [0, 8]), b: {} });
    machine.tick(240);
    machine.tick(2_000);
    expect(answer(2_001, 1, 'a:1')).toEqual(['cancel #2 b', 'commit']);
  });

  it('the second one is given back in the middle of the step too', () => {
    const { machine, answer } = halves({ c: able(10) });
    machine.tick(120);
    expect(answer(130, 3, 'c:2')).toEqual([]);
    expect(answer(140, 1, 'a:2')).toEqual(['discard a:2']);
    expect(answer(150, 2, 'b:3')).toEqual(['commit']);
    expect([...machine.values.values()]).toEqual(['c:2', 'b:3']);
  });

  it('a sum of more shards takes the place of the smaller ones under it', () => {
    const { machine, answer } = halves({ c: able(10), d: able(10) });
    machine.tick(120);
    expect(answer(130, 3, 'c:4')).toEqual([]);
    expect(answer(140, 1, 'a:2')).toEqual(['discard c:4']);
    expect(machine.isOpen(4)).toBe(true);
    expect(answer(150, 4, 'd:5')).toEqual(['discard d:5']);
    expect(answer(160, 2, 'b:3')).toEqual(['commit']);
    expect([...machine.values.values()]).toEqual(['a:2', 'b:3']);
  });

  it('a sum that two smaller ones cover is given back', () => {
    const { machine, answer } = halves({ c: able(10), d: able(10) });
    machine.tick(120);
    answer(130, 3, 'c:4');
    answer(131, 4, 'd:5');
    expect(answer(140, 1, 'a:2')).toEqual(['discard a:2']);
    expect([...machine.values.values()]).toEqual(['c:4', 'd:5']);
  });
});

describe('answers that are taken as a whole', () => {
  const speculated = () => {
    const begun = begin({ a: able(10, [0, 5]), b: able(200, [5, 8]), c: able(10), d: able(10) }, 0, true);
    expect(told(begun.machine.tick(150))).toEqual(['#3 c 0-3 speculated', '#4 d 3-5 speculated']);
    return begun;
  };

  it('are given back whole when somebody has covered a part of them, which others then do', () => {
    const { machine, answer } = speculated();
    expect([1, 3].map((assignment) => machine.isOpen(assignment))).toEqual([true, true]);
    expect(machine.wantsAll({ from: 0, to: 5 })).toBe(true);
    expect(answer(160, 3, 'c:4', 'c:10')).toEqual([]);
    expect(machine.wantsAll({ from: 0, to: 5 })).toBe(false);
    expect(machine.wantsAll({ from: 3, to: 5 })).toBe(true);
    expect(answer(170, 1, 'a:2', 'a:12')).toEqual(['discard a:2', 'discard a:12']);
    expect(answer(180, 4, 'd:11', 'd:12')).toEqual([]);
    expect(answer(190, 2, 'b:13', 'b:7')).toEqual(['commit']);
    expect([...machine.values.values()]).toEqual(['c:4', 'c:10', 'd:11', 'd:12', 'b:13', 'b:7']);
  });

  it('leave what is missing to somebody when nobody computes it any more', () => {
    const { machine, answer } = speculated();
    answer(160, 3, 'c:4', 'c:10');
    for (const gone of ['c', 'd']) expect(told(machine.remove(165, gone))).toEqual([]);
    expect(answer(170, 1, 'a:2', 'a:12')).toEqual(['discard a:2', 'discard a:12', '#5 a 3-5 lost']);
  });

  it('are taken when nothing of them is covered', () => {
    const { machine, answer } = speculated();
    expect(answer(160, 1, 'a:2', 'a:12')).toEqual([]);
    expect(answer(170, 3, 'c:4', 'c:10')).toEqual(['discard c:4', 'discard c:10']);
    expect([...machine.values.values()]).toEqual(['a:2', 'a:12']);
  });
});

describe('the hard deadline', () => {
  it('counts against a member, calls its assignment off, and gives the shards to others', () => {
    const { machine } = halves();
    machine.tick(120);
    expect(machine.nextDeadline).toBe(2_000);
    expect(told(machine.tick(1_999))).toEqual([]);
    const strike = 'strike a: no answer 1960 ms after it was expected';
    expect(told(machine.tick(2_000))).toEqual([strike, 'cancel #1 a', '#3 b 0-4 late']);
    expect(told(machine.tick(2_001))).toEqual([]);
  });

  it('passes together with the soft one when nobody has looked at the clock for long', () => {
    const { machine } = begin({ a: able(10, [0, 8]), b: {} });
    expect(told(machine.tick(60_000)).slice(1)).toEqual(['cancel #1 a', '#2 b 0-8 late']);
  });

  it('leaves shards to whoever has them already', () => {
    const { machine } = begin({ a: able(10, [0, 8]), b: able(500) });
    machine.tick(240);
    expect(told(machine.tick(2_000))).toEqual(['strike a: no answer 1920 ms after it was expected', 'cancel #1 a']);
  });

  it('keeps a member from getting more until it has given up', () => {
    const { machine } = halves();
    machine.tick(2_000);
    expect(told(machine.remove(2_100, 'b'))).toEqual([]);
    expect(machine.isAbandoned).toBe(true);
    expect(told(machine.withdraw(2_200, 1))).toEqual(['#4 a 0-8 lost']);
    expect(machine.isAbandoned).toBe(false);
  });

  it('lies behind the soft one, and there is none behind it', () => {
    const { machine } = begin({ a: able(1_000, [0, 8]) });
    expect(machine.nextDeadline).toBe(24_000);
    machine.tick(24_000);
    expect(machine.nextDeadline).toBe(160_000);
    machine.tick(160_000);
    expect(machine.nextDeadline).toBeUndefined();
  });
});

describe('a member that is gone', () => {
  it('leaves its shards to idle members at once, divided by speed', () => {
    const { machine } = halves({ c: able(10), d: able(30) });
    expect(told(machine.remove(1, 'a'))).toEqual(['#3 c 0-3 lost', '#4 d 3-4 lost']);
  });

  it('leaves them to busy members when nobody is idle', () => {
    const { machine } = begin({
      a: { shards: [0, 2] },
      b: able(100, [2, 4]),
      c: able(100, [4, 8]),
    });
    expect(told(machine.remove(1, 'a'))).toEqual(['#4 b 0-2 lost']);
  });

  it('leaves them to busy members that will have done them sooner than idle ones', () => {
    const { machine } = begin({ a: able(10, [0, 4]), b: able(10, [4, 8]), slow: able(1_000) });
    expect(told(machine.remove(10, 'a'))).toEqual(['#3 b 0-4 lost']);
  });

  it('leaves nothing to a busy member that is overdue when somebody is idle', () => {
    const { machine } = begin({ a: able(100, [0, 4]), b: able(10, [4, 8]), c: able(50) });
    expect(told(machine.remove(41, 'a'))).toEqual(['#3 c 0-4 lost']);
  });

  it('leaves only what is missing', () => {
    const { machine, answer } = halves({ c: able(10), d: able(10) });
    machine.tick(120);
    answer(130, 3, 'c:4');
    expect(told(machine.remove(140, 'a'))).toEqual([]);
    expect(told(machine.remove(150, 'd'))).toEqual(['#5 c 2-4 lost']);
  });

  it('leaves shards that do not lie side by side as one assignment for each run of them', () => {
    const { machine, answer } = begin({ a: able(10, [0, 3]), b: able(10, [3, 5]), c: able(10, [5, 8]) });
    answer(20, 2, 'b:11', 'b:12');
    machine.remove(30, 'b');
    machine.tick(120);
    expect(told(machine.remove(130, 'a'))).toEqual([]);
    expect(told(machine.remove(140, 'c'))).toEqual([]);
    expect(told(machine.add(150, candidate('d', undefined)))).toEqual(['#4 d 0-3 lost', '#5 d 5-8 lost']);
  });

  it('leaves them waiting while nobody is there, until somebody comes', () => {
    const { machine } = begin({ a: { shards: [0, 8] } });
    expect(machine.isAbandoned).toBe(false);
    expect(told(machine.remove(1, 'a'))).toEqual([]);
    expect(machine.isAbandoned).toBe(true);
    expect(machine.nextDeadline).toBeUndefined();
    expect(told(machine.add(50, candidate('b', undefined)))).toEqual(['#2 b 0-8 lost']);
    expect(machine.isAbandoned).toBe(false);
  });

  it('leaves nothing when it had nothing, or was never there', () => {
    const { machine } = halves({ c: {} });
    expect(told(machine.remove(1, 'c'))).toEqual([]);
    expect(told(machine.remove(2, 'nobody'))).toEqual([]);
  });

  it('no longer counts when its answer comes after all', () => {
    const { machine, answer } = halves({ c: {} });
    machine.remove(1, 'a');
    expect(answer(2, 1, 'a:2')).toEqual(['discard a:2']);
    expect(machine.wants(2)).toBe(true);
  });
});

describe('an assignment that came to nothing', () => {
  it.each(['failed', 'refused'] as const)('counts against the member and is done again when it %s', (cause) => {
    const { machine } = halves({ c: able(1) });
    expect(told(machine.fail(10, 2, cause, 'no memory'))).toEqual(['strike b: no memory', `#3 c 4-8 ${cause}`]);
    expect(machine.isOpen(2)).toBe(false);
  });

  it('is computed again by the arbiter, who is no member, when it is not finite', () => {
    const { machine, answer } = begin({ a: able(10, [0, 8]), c: able(10), d: able(10) });
    machine.tick(240);
    answer(250, 2, 'c:4', 'c:5');
    expect(told(machine.fail(260, 1, 'not finite', 'NaN'))).toEqual(['strike a: NaN', '#4 local 4-8 refused']);
    expect(answer(270, 4, 'local:3')).toEqual(['cancel #3 d', 'commit']);
  });

  it('leaves the arbiter nothing when others have covered all of it', () => {
    const { machine, answer } = halves({ c: {} });
    machine.tick(120);
    answer(130, 3, 'c:2');
    expect(told(machine.fail(140, 1, 'not finite', 'NaN'))).toEqual(['strike a: NaN']);
  });

  it('does not count against a member that was asked to give it up, and is done by others all the same', () => {
    const { machine } = halves({ c: able(1) });
    expect(machine.withdraw(10, 1)).toMatchObject([{ kind: 'assign', member: 'c', range: { from: 0, to: 4 } }]);
    expect(machine.isOpen(1)).toBe(false);
  });

  it('is nothing new when it is not open any more', () => {
    const { machine, answer } = halves();
    answer(10, 1, 'a:2');
    expect(told(machine.fail(20, 1, 'failed', 'no memory'))).toEqual([]);
    expect(told(machine.withdraw(20, 1))).toEqual([]);
  });
});
