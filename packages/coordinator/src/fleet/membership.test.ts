import { describe, expect, it } from 'vitest';
import { type MemberInfo, Membership, type MembershipAction, type MembershipOptions } from './membership.ts';

const options: MembershipOptions = {
  heartbeatMs: 1_000,
  heartbeatMisses: 5,
  helloMs: 10_000,
  readyMs: 60_000,
  maxStrikes: 3,
  strikeMs: 60_000,
  quarantineMs: 10_000,
  maxQuarantineMs: 35_000,
};
const TICK_MS = options.heartbeatMs / 4;

const info: MemberInfo = { name: 'gpu-7', threads: 8, engine: 'onnx', device: 'cpu', runtime: 'node' };

/** A membership with some members that have been ready from the beginning. */
function open(...ids: readonly string[]): Membership {
  const membership = new Membership(options);
  membership.tick(0);
  for (const id of ids) join(membership, 0, id);
  return membership;
}

function join(membership: Membership, now: number, id: string): void {
  membership.connect(now, id, id === 'local' ? 'local' : 'remote');
  membership.hello(now, id, info);
  membership.ready(now, id, info, 'joined');
}

/** Lets time pass. @param answers who answers pings. Returns what happens, but for pings. */
function pass(membership: Membership, from: number, to: number, answers: readonly string[]): string[] {
  const happened: string[] = [];
  for (let now = from + TICK_MS; now <= to; now += TICK_MS) {
    for (const action of membership.tick(now)) {
      if (action.kind !== 'ping') happened.push(`${now}: ${told(action)}`);
      else if (answers.includes(action.member)) membership.heard(now, action.member);
      if (action.kind === 'expel') membership.left(now, action.member, action.reason);
    }
  }
  return happened;
}

function told(action: MembershipAction): string {
  if (action.kind === 'ping') return `ping ${action.member}`;
  if (action.kind === 'expel') return `expel ${action.member} (${action.code}): ${action.reason}`;
  return `${action.member.id} ${action.state}: ${action.reason}`;
}

/** As many strikes as lead to quarantine. Returns what the last one led to. */
function quarantine(membership: Membership, now: number, id: string): string[] {
  for (let i = 1; i < options.maxStrikes; i++) expect(membership.strike(now, id, 'it failed')).toEqual([]);
  return membership.strike(now, id, 'no memory').map(told);
}

const nameOf = (membership: Membership, id: string): string | undefined => membership.get(id)?.state.name;

describe('a member', () => {
  it('is connected, then joining, then ready, and people are told', () => {
    const membership = new Membership(options);
    membership.connect(1, 'a', 'remote');
    expect(membership.get('a')).toMatchObject({ state: { name: 'connected' }, since: 1, speed: undefined, owes: 0 });
    expect(membership.hello(2, 'a', info).map(told)).toEqual(['a joining: gpu-7 prepares its engine and data']);
    expect(nameOf(membership, 'a')).toBe('joining');
    expect(membership.ready(3, 'a', { ...info, device: 'webgpu' }, 'joined').map(told)).toEqual(['a ready: joined']);
    expect(membership.get('a')).toMatchObject({ state: { name: 'ready' }, info: { device: 'webgpu' } });
    expect(membership.left(4, 'a', 'it was stopped').map(told)).toEqual(['a left: it was stopped']);
    expect(membership.get('a')).toBeUndefined();
  });

  it('leaves without a word when it never said who it is', () => {
    const membership = new Membership(options);
    membership.connect(0, 'a', 'remote');
    expect(membership.left(1, 'a', 'its connection was closed')).toEqual([]);
    expect(membership.all).toEqual([]);
  });

  it('holds no data at first, unless it is the local one', () => {
    const membership = open('local', 'a');
    expect(membership.get('local')?.held).toBeUndefined();
    expect(membership.get('a')?.held).toEqual(new Set());
  });

  it('is available when it is ready and owes nothing, in the order in which it came', () => {
    const membership = open('b', 'a');
    membership.connect(0, 'c', 'remote');
    membership.hello(0, 'c', info);
    expect(membership.numReady).toBe(2);
    expect(membership.available.map(({ id }) => id)).toEqual(['b', 'a']);
    membership.get('b')!.owes++;
    expect(membership.numReady).toBe(2);
    expect(membership.available.map(({ id }) => id)).toEqual(['a']);
  });

  it('that is not there changes nothing', () => {
    const membership = open('a');
    const { generation } = membership;
    expect(membership.hello(1, 'b', info)).toEqual([]);
    expect(membership.ready(1, 'b', info, 'joined')).toEqual([]);
    expect(membership.left(1, 'b', 'gone')).toEqual([]);
    expect(membership.strike(1, 'b', 'no memory')).toEqual([]);
    expect(membership.all).toHaveLength(1);
    expect(membership.generation).toBe(generation);
  });
});

describe('the generation', () => {
  it('changes with the set of members that may be given work, and with nothing else', () => {
    const membership = new Membership(options);
    const changes = (event: () => void): number => {
      const before = membership.generation;
      event();
      return membership.generation - before;
    };
    expect(changes(() => membership.connect(0, 'a', 'remote'))).toBe(0);
    expect(changes(() => membership.hello(0, 'a', info))).toBe(0);
    expect(changes(() => membership.left(0, 'a', 'gone'))).toBe(0);
    expect(changes(() => join(membership, 0, 'b'))).toBe(1);
    expect(changes(() => join(membership, 0, 'c'))).toBe(1);
    expect(changes(() => membership.tick(0))).toBe(0);
    expect(changes(() => membership.left(0, 'b', 'gone'))).toBe(1);
    expect(changes(() => quarantine(membership, 0, 'c'))).toBe(1);
    expect(changes(() => membership.tick(options.quarantineMs))).toBe(1);
    expect(changes(() => quarantine(membership, options.quarantineMs, 'c'))).toBe(1);
    expect(changes(() => membership.left(options.quarantineMs, 'c', 'gone'))).toBe(0);
  });
});

describe('heartbeats', () => {
  it('ask each remote member once in a while, from its hello on', () => {
    const membership = open('local', 'a');
    membership.connect(0, 'b', 'remote');
    const asked: string[] = [];
    for (let now = TICK_MS; now <= 3 * options.heartbeatMs; now += TICK_MS) {
      for (const action of membership.tick(now)) asked.push(`${now}: ${told(action)}`);
    }
    expect(asked).toEqual(['1000: ping a', '2000: ping a', '3000: ping a']);
  });

  it('expel a member that does not answer, and nobody who does', () => {
    const membership = open('local', 'a', 'b');
    expect(pass(membership, 0, 20_000, ['a'])).toEqual(['5250: expel b (silent): nothing was heard for 5.3 s']);
    expect(membership.all.map(({ id }) => id)).toEqual(['local', 'a']);
  });

  it('count anything that is heard as an answer', () => {
    const membership = open('a');
    expect(pass(membership, 0, 4_000, [])).toEqual([]);
    membership.heard(4_000, 'a');
    expect(pass(membership, 4_000, 9_000, [])).toEqual([]);
    expect(pass(membership, 9_000, 9_250, [])).toHaveLength(1);
  });

  it('say how long a message takes', () => {
    const membership = open('a');
    membership.pong(1_030, 'a', 1_000, 0);
    expect(membership.get('a')?.roundTripMs).toBe(30);
    membership.pong(2_000, 'a', 5_000, 0);
    expect(membership.get('a')?.roundTripMs).toBe(30);
  });

  it('say how far their clocks are apart, by the quickest of them', () => {
    const membership = open('a');
    membership.pong(1_040, 'a', 1_000, 120);
    expect(membership.get('a')?.clockOffset).toEqual({ ms: 900, roundTripMs: 40, at: 1_040 });
    membership.pong(2_010, 'a', 2_000, 1_100);
    expect(membership.get('a')?.clockOffset).toEqual({ ms: 905, roundTripMs: 10, at: 2_010 });
    membership.pong(3_200, 'a', 3_000, 2_100);
    expect(membership.get('a')?.clockOffset?.ms).toBe(905);
    // Clocks drift: an old guess is no better than a new one.
    membership.pong(72_200, 'a', 72_000, 71_200);
    expect(membership.get('a')?.clockOffset).toEqual({ ms: 900, roundTripMs: 200, at: 72_200 });
  });

  it('expel nobody for the time in which the coordinator itself was suspended', () => {
    const membership = open('local', 'a', 'b');
    membership.connect(0, 'c', 'remote');
    expect(pass(membership, 0, 2_000, ['a'])).toEqual([]);
    const hourLater = 3_600_000;
    expect(membership.tick(hourLater).map(told)).toEqual(['ping a', 'ping b']);
    membership.heard(hourLater, 'a');
    expect(pass(membership, hourLater, hourLater + 20_000, ['a'])).toEqual([
      `${hourLater + 3_250}: expel b (silent): nothing was heard for 5.3 s`,
      `${hourLater + 8_250}: expel c (late): no hello within 10 s`,
    ]);
  });

  it('expect no less of those who were heard of first when the coordinator woke up', () => {
    const membership = open('a');
    expect(pass(membership, 0, 2_000, ['a'])).toEqual([]);
    const hourLater = 3_600_000;
    membership.heard(hourLater, 'a');
    membership.connect(hourLater, 'b', 'remote');
    expect(pass(membership, hourLater - TICK_MS, hourLater + 20_000, [])).toEqual([
      `${hourLater + 5_250}: expel a (silent): nothing was heard for 5.3 s`,
      `${hourLater + 10_250}: expel b (late): no hello within 10 s`,
    ]);
  });
});

describe('deadlines', () => {
  it('expel a connection that does not say hello in time', () => {
    const membership = open();
    membership.connect(0, 'a', 'remote');
    expect(pass(membership, 0, 60_000, [])).toEqual(['10250: expel a (late): no hello within 10 s']);
  });

  it('expel a member that is not ready in time, however alive it is', () => {
    const membership = open();
    membership.connect(0, 'a', 'remote');
    expect(pass(membership, 0, 4_000, ['a'])).toEqual([]);
    membership.hello(4_000, 'a', info);
    membership.heard(4_000, 'a');
    expect(pass(membership, 4_000, 90_000, ['a'])).toEqual(['64250: expel a (late): not ready within 60 s']);
  });

  it('do not hold for a member that is ready', () => {
    const membership = open('a');
    expect(pass(membership, 0, 200_000, ['a'])).toEqual([]);
  });
});

describe('quarantine', () => {
  it('comes after some strikes, with the reason, and ends after its time', () => {
    const membership = open('a', 'b');
    const sentence = '3 failures, the last: no memory; it gets another chance in 10 s';
    expect(quarantine(membership, 100, 'a')).toEqual([`a quarantined: ${sentence}`]);
    expect(membership.get('a')?.state).toEqual({ name: 'quarantined', until: 10_100, reason: sentence });
    expect(membership.numReady).toBe(1);
    expect(membership.available.map(({ id }) => id)).toEqual(['b']);
    expect(pass(membership, 0, 10_000, ['a', 'b'])).toEqual([]);
    expect(pass(membership, 10_000, 10_250, ['a', 'b'])).toEqual(['10250: a ready: its quarantine is over']);
    expect(membership.numReady).toBe(2);
  });

  it('begins with a clean slate afterwards', () => {
    const membership = open('a');
    quarantine(membership, 0, 'a');
    membership.strike(5_000, 'a', 'late answer');
    membership.tick(10_000);
    expect(nameOf(membership, 'a')).toBe('ready');
    expect(quarantine(membership, 10_000, 'a')).toHaveLength(1);
  });

  it('takes twice as long each time, up to a limit', () => {
    const membership = open('a');
    const lengths: number[] = [];
    let now = 0;
    for (let i = 0; i < 4; i++) {
      quarantine(membership, now, 'a');
      const state = membership.get('a')!.state;
      const until = state.name === 'quarantined' ? state.until : now;
      lengths.push(until - now);
      now = until;
      membership.heard(now, 'a');
      membership.tick(now);
    }
    expect(lengths).toEqual([10_000, 20_000, 35_000, 35_000]);
  });

  it('does not come from strikes that are long past', () => {
    const membership = open('a');
    membership.strike(0, 'a', 'no memory');
    membership.strike(30_000, 'a', 'no memory');
    expect(membership.strike(60_000, 'a', 'no memory')).toEqual([]);
    expect(nameOf(membership, 'a')).toBe('ready');
    expect(membership.strike(60_001, 'a', 'no memory')).toHaveLength(1);
  });

  it('ends early for a member that does not answer', () => {
    const membership = open('a');
    quarantine(membership, 0, 'a');
    expect(pass(membership, 0, 20_000, [])).toEqual(['5250: expel a (silent): nothing was heard for 5.3 s']);
  });

  it('does not end for a member that is sent away at that moment', () => {
    const membership = open('a');
    quarantine(membership, 0, 'a');
    expect(pass(membership, 0, 4_750, [])).toEqual([]);
    membership.heard(4_750, 'a');
    expect(pass(membership, 4_750, 20_000, [])).toEqual(['10000: expel a (silent): nothing was heard for 5.3 s']);
  });

  it('is nothing for the local worker, and nothing for one that has no work yet', () => {
    const membership = open('local');
    membership.connect(0, 'a', 'remote');
    membership.hello(0, 'a', info);
    for (let i = 0; i < 10; i++) {
      expect(membership.strike(0, 'local', 'no memory')).toEqual([]);
      expect(membership.strike(0, 'a', 'not assigned')).toEqual([]);
    }
    expect(nameOf(membership, 'local')).toBe('ready');
    expect(nameOf(membership, 'a')).toBe('joining');
  });
});

describe('speeds', () => {
  it('are learned from measurements', () => {
    const membership = open('a', 'b');
    membership.measured('a', { numShards: 4, numPartials: 1, roundTripMs: 50, computeMs: 40 });
    membership.measured('gone', { numShards: 4, numPartials: 1, roundTripMs: 50, computeMs: 40 });
    expect(membership.get('a')?.speed).toEqual({ overheadMs: 10, msPerShard: 10 });
    expect(membership.get('b')?.speed).toBeUndefined();
  });

  it('are slowly forgotten in favour of members that had no part in a step', () => {
    const membership = open('a', 'b', 'c');
    for (const id of ['a', 'b'])
      membership.measured(id, { numShards: 1, numPartials: 1, roundTripMs: 300, computeMs: 200 });
    const before = membership.get('a')?.speed;
    for (let step = 0; step < 100; step++) membership.stepped(new Set(['a']));
    expect(membership.get('a')?.speed).toEqual(before);
    expect(membership.get('b')!.speed!.msPerShard).toBeGreaterThan(20);
    expect(membership.get('b')!.speed!.msPerShard).toBeLessThan(40);
    expect(membership.get('b')!.speed!.overheadMs).toBeLessThan(20);
    expect(membership.get('c')?.speed).toBeUndefined();
  });
});
