/** The step under thousands of random orders of events: what must hold after each of them, and that it comes to an end. */
import { coveringNodes, purposes, RandomStream, type Range, shardsUnder } from '@lockstep/core';
import { expect, it } from 'vitest';
import { type Candidate, planRanges } from './ranges.ts';
import { type StepAction, StepMachine, type Timing } from './step-machine.ts';

const NUM_SCHEDULES = 4_000;
const MAX_EVENTS = 60;
/** What may come when the step is complete. */
const NUM_EVENTS_BEHIND = 5;
const ARBITER = 'local';
const HONEST = 'honest';

/** Whatever the speeds below, the soft deadline is between these two, and the hard one behind them. */
const SOFT_MS = { least: 100, most: 3_000 };
const timing: Timing = {
  softFactor: 3,
  softMinMs: SOFT_MS.least,
  softUnknownMs: 500,
  hardFactor: 5,
  hardMinMs: 5_000,
  hardUnknownMs: 5_000,
};

interface Value {
  numDiscards: number;
}

interface Given {
  readonly id: number;
  readonly member: string;
  readonly range: Range;
  readonly at: number;
  cancelled: boolean;
}

/** A step, what is done to it, and what can be known of it from outside. */
class Schedule {
  readonly #seed: number;
  readonly #random: RandomStream;
  readonly #numShards: number;
  readonly #machine: StepMachine<Value>;
  readonly #isWhole: boolean;
  /** Handed in with the latest answer. */
  #latest: ReadonlySet<Value> = new Set();
  readonly #present = new Set<string>();
  readonly #open = new Map<number, Given>();
  readonly #handedIn: Value[] = [];
  #now = 0;
  #tickedAt = 0;
  #numMembers = 0;
  #numAssignments = 0;
  #numCommits = 0;

  constructor(seed: number) {
    this.#isWhole = seed % 2 === 1;
    const random = new RandomStream(seed, purposes.jitter, 0, 0, 0);
    this.#seed = seed;
    this.#random = random;
    this.#numShards = 2 ** random.below(5);
    this.#machine = new StepMachine<Value>({
      numShards: this.#numShards,
      timing,
      isWhole: this.#isWhole,
      arbiter: ARBITER,
      nextAssignment: () => ++this.#numAssignments,
      graceMs: () => random.below(2) * random.below(200),
    });
    const members = Array.from({ length: 1 + random.below(5) }, () => this.#candidate());
    if (random.below(2) === 0) members.push({ id: ARBITER, speed: undefined });
    for (const { id } of members) this.#present.add(id);
    this.#carryOut(this.#machine.begin(0, planRanges(members, this.#numShards), members));
  }

  get isComplete(): boolean {
    return this.#numCommits > 0;
  }

  /** Something happens. */
  disturb(): void {
    const given = this.#any([...this.#open.values()]);
    const kind = this.#random.below(12);
    if (kind === 0) this.#add(this.#candidate());
    else if (kind === 1) this.#remove(this.#any([...this.#present].filter((id) => id !== ARBITER)));
    else if (kind === 2) this.#pass(Math.max(0, (this.#machine.nextDeadline ?? 0) - this.#now));
    else if (kind <= 5) this.#pass(this.#random.below(800));
    else if (kind === 6) this.#pass(this.#random.below(8_000));
    else if (kind === 7) this.#answer(this.#random.below(this.#numAssignments + 2));
    else if (given && kind === 8) this.#withdraw(given);
    else if (given && kind === 9) this.#fail(given);
    else if (given) this.#answer(given.id);
    this.#check();
  }

  /** From now on all are silent but one more member, who does what it is told. */
  finish(): void {
    this.#add({ id: HONEST, speed: undefined });
    for (let rounds = 0; !this.isComplete; rounds++) {
      this.#check();
      this.#hold(rounds < 100, 'one member is enough to complete the step');
      const given = [...this.#open.values()].find(({ member }) => member === HONEST);
      const { nextDeadline } = this.#machine;
      if (given) this.#answer(given.id);
      else {
        this.#hold(nextDeadline !== undefined && nextDeadline > this.#now, 'something is waited for');
        this.#pass(nextDeadline! - this.#now);
      }
    }
    this.#check();
  }

  #hold(condition: boolean, what: string): void {
    if (!condition) throw new Error(`seed ${this.#seed}, at ${this.#now} ms: it does not hold that ${what}`);
  }

  #any<Thing>(things: readonly Thing[]): Thing | undefined {
    return things[this.#random.below(things.length)];
  }

  #candidate(): Candidate {
    const speed = { overheadMs: this.#random.below(20), msPerShard: 1 + this.#random.below(10) };
    return { id: `m${++this.#numMembers}`, speed: this.#random.below(3) === 0 ? undefined : speed };
  }

  #add(candidate: Candidate): void {
    if (!this.isComplete) this.#present.add(candidate.id);
    this.#carryOut(this.#machine.add(this.#now, candidate));
  }

  #remove(id: string | undefined): void {
    if (id === undefined || this.isComplete) return;
    this.#present.delete(id);
    for (const given of this.#owedBy(id)) this.#open.delete(given.id);
    this.#carryOut(this.#machine.remove(this.#now, id));
  }

  #pass(ms: number): void {
    this.#now += ms;
    this.#tickedAt = this.#now;
    this.#carryOut(this.#machine.tick(this.#now));
  }

  #withdraw({ id }: Given): void {
    if (!this.isComplete) this.#open.delete(id);
    this.#carryOut(this.#machine.withdraw(this.#now, id));
  }

  #fail({ id }: Given): void {
    const cause = this.#any(['failed', 'refused', 'not finite'] as const)!;
    if (!this.isComplete) this.#open.delete(id);
    this.#carryOut(this.#machine.fail(this.#now, id, cause, cause));
  }

  #answer(assignment: number): void {
    const isOpen = !this.isComplete && this.#open.has(assignment);
    const { from, to } = this.#open.get(assignment)?.range ?? { from: 0, to: this.#numShards };
    this.#hold(this.#machine.isOpen(assignment) === isOpen, 'an assignment is open until it has ended');
    // Several threads may leave their sums finer than need be.
    const middle = from + this.#random.below(2) * this.#random.below(to - from);
    const parts = [
      { from, to: middle },
      { from: middle, to },
    ];
    const isChecked = this.#random.below(2) === 0;
    const nodes = parts.flatMap((part) => coveringNodes(part, this.#numShards));
    const wanted = nodes.filter((node) => !isChecked || this.#machine.wants(node));
    const values = new Map(wanted.map((node) => [node, { numDiscards: 0 }]));
    this.#handedIn.push(...values.values());
    this.#latest = new Set(values.values());
    if (isOpen) this.#open.delete(assignment);
    this.#carryOut(this.#machine.answer(this.#now, assignment, values));
  }

  #carryOut(actions: readonly StepAction<Value>[]): void {
    for (const action of actions) {
      if (action.kind === 'discard') {
        action.value.numDiscards++;
        // Whoever sent it was told that it counts.
        const isLatest = this.#latest.has(action.value);
        this.#hold(isLatest || !this.#isWhole, 'where answers are whole, what was taken is not given back');
      } else this.#hold(!this.isComplete, `there is no ${action.kind} behind the end`);
      if (action.kind === 'commit') this.#numCommits++;
      if (action.kind === 'cancel') this.#open.get(action.assignment)!.cancelled = true;
      if (action.kind !== 'assign') continue;
      const { assignment: id, member, range } = action;
      this.#open.set(id, { id, member, range, at: this.#now, cancelled: false });
    }
  }

  #owedBy(id: string): Given[] {
    return [...this.#open.values()].filter(({ member }) => member === id);
  }

  #check(): void {
    const open = [...this.#open.values()];
    const covered = this.#covered();
    const kept = new Set(this.#machine.values.values());
    for (const value of this.#handedIn) {
      this.#hold(value.numDiscards === (kept.has(value) ? 0 : 1), 'a sum is either kept or given back once');
    }
    this.#hold(Math.max(...covered) <= 1, 'no shard counts twice');
    this.#hold(this.isComplete === covered.every((count) => count === 1), 'it is complete when all shards are covered');
    const isNeeded = open.some(({ cancelled }) => !cancelled);
    if (this.isComplete) {
      this.#hold(!isNeeded && !this.#machine.isAbandoned, 'at the end all is called off');
      return;
    }
    this.#hold(this.#machine.isAbandoned === !isNeeded, 'it is abandoned when nobody computes');
    for (const [shard, count] of covered.entries()) if (count === 0) this.#checkMissing(shard, open);
  }

  /** How often each shard is covered. */
  #covered(): Uint8Array {
    const covered = new Uint8Array(this.#numShards);
    for (const node of this.#machine.values.keys()) {
      const { from, to } = shardsUnder(node, this.#numShards);
      for (let shard = from; shard < to; shard++) covered[shard]!++;
    }
    return covered;
  }

  #checkMissing(shard: number, open: readonly Given[]): void {
    const holders = open.filter(({ range, cancelled }) => !cancelled && range.from <= shard && shard < range.to);
    const isThere = ({ member }: Given): boolean => this.#present.has(member) || member === ARBITER;
    this.#hold(holders.every(isThere), 'whoever computes a shard is there');
    const all = [...this.#present];
    const isPunctual = (id: string): boolean => this.#owedBy(id).every(({ at }) => this.#tickedAt < at + SOFT_MS.least);
    this.#hold(holders.length > 0 || !all.some(isPunctual), 'a shard that nobody computes is given to somebody');
    const isLate = holders.every(({ at }) => this.#tickedAt > at + SOFT_MS.most);
    const isIdle = (id: string): boolean => this.#owedBy(id).length === 0;
    this.#hold(!isLate || !all.some(isIdle), 'nobody is idle while somebody is late');
  }
}

it('any order of events leaves no shard to nobody and no sum unaccounted for, and one honest member brings it to its end', () => {
  let numComplete = 0;
  for (let seed = 0; seed < NUM_SCHEDULES; seed++) {
    const schedule = new Schedule(seed);
    for (let event = 0; event < seed % MAX_EVENTS && !schedule.isComplete; event++) schedule.disturb();
    if (schedule.isComplete) numComplete++;
    else schedule.finish();
    for (let event = 0; event < NUM_EVENTS_BEHIND; event++) schedule.disturb();
  }
  // Both ends were really seen.
  expect(numComplete).toBeGreaterThan(NUM_SCHEDULES / 10);
  expect(numComplete).toBeLessThan((NUM_SCHEDULES * 9) / 10);
});
