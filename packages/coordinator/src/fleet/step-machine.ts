/**
 * One step as a state machine without clock and I/O: which member computes which shards, what happens when one is late,
 * fails or leaves, and when all shards are covered exactly once. Events go in, actions come out; each has its reason.
 */
import { coveringNodes, type Range, shardsUnder } from '@lockstep/core';
import { assumedSpeeds, type Candidate, divideBySpeed, expectedMs } from './ranges.ts';

/** When an assignment counts as late. */
export interface Timing {
  /** Past the soft deadline an idle member computes the same shards too: this many times the expected time, at least … */
  readonly softFactor: number;
  readonly softMinMs: number;
  /** … or this long for a member that was never measured. */
  readonly softUnknownMs: number;
  /** Past the hard deadline it counts as failed. */
  readonly hardFactor: number;
  readonly hardMinMs: number;
  readonly hardUnknownMs: number;
}

export const TIMING: Timing = {
  softFactor: 3,
  softMinMs: 200,
  softUnknownMs: 5_000,
  hardFactor: 20,
  hardMinMs: 10_000,
  hardUnknownMs: 60_000,
};

/** Why somebody is given shards. */
export type Cause = 'planned' | 'lost' | 'failed' | 'refused' | 'late' | 'speculated';

export type StepAction<Value> =
  /** Let a member compute shards. */
  | {
      readonly kind: 'assign';
      readonly assignment: number;
      readonly member: string;
      readonly range: Range;
      readonly cause: Cause;
    }
  /** The assignment is not needed any more. */
  | { readonly kind: 'cancel'; readonly assignment: number; readonly member: string }
  /** A partial sum is not needed: it is covered by another one. */
  | { readonly kind: 'discard'; readonly value: Value }
  /** The member has failed in a way that counts against it. */
  | { readonly kind: 'strike'; readonly member: string; readonly reason: string }
  /** Every shard is covered exactly once. */
  | { readonly kind: 'commit' };

interface Assignment {
  readonly id: number;
  readonly member: string;
  readonly range: Range;
  readonly softAt: number;
  readonly hardAt: number;
  /** When it should be done. */
  readonly expectedAt: number;
  /** on time, past the soft deadline, past the hard one */
  state: 'fresh' | 'stale' | 'late';
}

export interface StepMachineOptions {
  readonly numShards: number;
  readonly timing: Timing;
  /** Whether an answer is taken as a whole or not at all: its partial sums say nothing one by one. */
  readonly isWhole: boolean;
  /** Who computes again what a member says is not finite: the coordinator itself, member or not. */
  readonly arbiter: string;
  readonly nextAssignment: () => number;
  /** Time that a member needs before it can begin with these shards, beyond what was measured: to fetch their data. */
  readonly graceMs: (member: string, range: Range) => number;
}

export class StepMachine<Value> {
  readonly #options: StepMachineOptions;
  readonly #members = new Map<string, Candidate>();
  readonly #open = new Map<number, Assignment>();
  readonly #covered: Uint8Array;
  #numCovered = 0;
  /** Partial sums by node. */
  readonly #values = new Map<number, Value>();
  /** Per shard, open assignments that are not late, and those of them that are not stale. */
  readonly #holders: Uint16Array;
  readonly #fresh: Uint16Array;
  /** Some shards may have nobody who computes them in time. */
  #needy = false;
  /** Why, for what is assigned next. */
  #cause: Cause = 'planned';
  #committed = false;
  /** Members that failed in this step: others go before them. */
  readonly #failed = new Set<string>();

  constructor(options: StepMachineOptions) {
    this.#options = options;
    this.#covered = new Uint8Array(options.numShards);
    this.#holders = new Uint16Array(options.numShards);
    this.#fresh = new Uint16Array(options.numShards);
  }

  /** Partial sums that cover every shard once, after `commit`. */
  get values(): ReadonlyMap<number, Value> {
    return this.#values;
  }

  /** When `tick` is next due. */
  get nextDeadline(): number | undefined {
    let next: number | undefined;
    for (const { state, softAt, hardAt } of this.#open.values()) {
      const at = state === 'fresh' ? softAt : state === 'stale' ? hardAt : undefined;
      if (at !== undefined && (next === undefined || at < next)) next = at;
    }
    return next;
  }

  /** Whether shards are missing that nobody computes. */
  get isAbandoned(): boolean {
    return !this.#committed && [...this.#open.values()].every(({ state }) => state === 'late');
  }

  /** Gives out the planned ranges. */
  begin(now: number, ranges: ReadonlyMap<string, Range>, members: readonly Candidate[]): StepAction<Value>[] {
    for (const member of members) this.#members.set(member.id, member);
    const actions: StepAction<Value>[] = [];
    for (const [member, range] of ranges) actions.push(this.#assign(now, member, range, 'planned'));
    return actions;
  }

  /** A member that has nothing to do. */
  add(now: number, member: Candidate): StepAction<Value>[] {
    if (this.#committed) return [];
    this.#members.set(member.id, member);
    return this.#proceed(now);
  }

  /** A member is gone; others do what it owed. */
  remove(now: number, member: string): StepAction<Value>[] {
    if (this.#committed || !this.#members.delete(member)) return [];
    for (const assignment of [...this.#open.values()]) {
      if (assignment.member === member) this.#close(assignment);
    }
    return this.#proceed(now, 'lost');
  }

  /** Whether an answer to this assignment is still of use. */
  isOpen(assignment: number): boolean {
    return !this.#committed && this.#open.has(assignment);
  }

  /** Whether a partial sum of this node is still of use. */
  wants(node: number): boolean {
    return !this.#committed && !this.#isCovered(shardsUnder(node, this.#options.numShards));
  }

  /** Whether an answer over these shards is still of use where answers are whole: nobody else has covered any of them. */
  wantsAll({ from, to }: Range): boolean {
    return !this.#committed && this.#uncovered({ from, to }).length === to - from;
  }

  /** An answer that was checked: the partial sums of all its nodes that are wanted. */
  answer(now: number, assignment: number, values: ReadonlyMap<number, Value>): StepAction<Value>[] {
    const open = this.#open.get(assignment);
    if (!open || this.#committed) return [...values.values()].map((value) => ({ kind: 'discard', value }));
    this.#close(open);
    const actions: StepAction<Value>[] = [];
    if (this.#options.isWhole && !this.wantsAll(open.range)) {
      for (const value of values.values()) actions.push({ kind: 'discard', value });
    } else {
      for (const [node, value] of values) actions.push(...this.#cover(node, value));
    }
    return [...actions, ...this.#proceed(now)];
  }

  /** An assignment came to nothing. */
  fail(
    now: number,
    assignment: number,
    cause: 'failed' | 'refused' | 'not finite',
    reason: string,
  ): StepAction<Value>[] {
    const open = this.#open.get(assignment);
    if (!open || this.#committed) return [];
    this.#close(open);
    const strike = { kind: 'strike', member: open.member, reason } as const;
    this.#failed.add(open.member);
    if (cause !== 'not finite') return [strike, ...this.#proceed(now, cause)];
    const checked = this.#share(
      now,
      this.#uncovered(open.range),
      [{ id: this.#options.arbiter, speed: undefined }],
      'refused',
    );
    return [strike, ...checked, ...this.#proceed(now, 'refused')];
  }

  /** A member has given an assignment up because it was asked to. */
  withdraw(now: number, assignment: number): StepAction<Value>[] {
    const open = this.#open.get(assignment);
    if (!open || this.#committed) return [];
    this.#close(open);
    return this.#proceed(now);
  }

  /** Time has passed. */
  tick(now: number): StepAction<Value>[] {
    if (this.#committed) return [];
    const actions: StepAction<Value>[] = [];
    let cause: Cause | undefined;
    for (const assignment of this.#open.values()) {
      const { id, member, softAt, hardAt, expectedAt } = assignment;
      if (assignment.state === 'fresh' && now >= softAt) this.#turn(assignment, 'stale');
      if (assignment.state === 'stale' && now >= hardAt) {
        this.#turn(assignment, 'late');
        cause = 'late';
        const reason = `no answer ${Math.round(now - expectedAt)} ms after it was expected`;
        actions.push({ kind: 'strike', member, reason }, { kind: 'cancel', assignment: id, member });
      }
    }
    return [...actions, ...this.#proceed(now, cause)];
  }

  #uncovered({ from, to }: Range): number[] {
    return Array.from({ length: to - from }, (_, i) => from + i).filter((shard) => this.#covered[shard] === 0);
  }

  #isCovered({ from, to }: Range): boolean {
    for (let shard = from; shard < to; shard++) if (this.#covered[shard] === 0) return false;
    return true;
  }

  /** Takes a partial sum in. Nodes are disjoint or nested: what lies under a new one gives way to it. */
  #cover(node: number, value: Value): StepAction<Value>[] {
    const range = shardsUnder(node, this.#options.numShards);
    if (this.#isCovered(range)) return [{ kind: 'discard', value }];
    const actions: StepAction<Value>[] = [];
    for (const [other, replaced] of this.#values) {
      const under = shardsUnder(other, this.#options.numShards);
      if (under.from < range.from || under.to > range.to) continue;
      this.#values.delete(other);
      actions.push({ kind: 'discard', value: replaced });
    }
    this.#values.set(node, value);
    for (let shard = range.from; shard < range.to; shard++) {
      if (this.#covered[shard] === 0) this.#numCovered++;
      this.#covered[shard] = 1;
    }
    return actions;
  }

  /** Commits when all is covered; else finds somebody for shards that need it. */
  #proceed(now: number, cause?: Cause): StepAction<Value>[] {
    if (this.#numCovered === this.#options.numShards) {
      this.#committed = true;
      const cancels = [...this.#open.values()].map(({ id, member }): StepAction<Value> => {
        return { kind: 'cancel', assignment: id, member };
      });
      return [...cancels, { kind: 'commit' }];
    }
    if (cause !== undefined && this.#needy) this.#cause = cause;
    return this.#needy ? this.#provide(now) : [];
  }

  /** Gives out shards that nobody computes, and again those whose members are past the soft deadline. */
  #provide(now: number): StepAction<Value>[] {
    const orphans: number[] = [];
    const stale: number[] = [];
    for (let shard = 0; shard < this.#options.numShards; shard++) {
      if (this.#covered[shard] === 1) continue;
      if (this.#holders[shard] === 0) orphans.push(shard);
      else if (this.#fresh[shard] === 0) stale.push(shard);
    }
    if (orphans.length === 0 && stale.length === 0) {
      this.#needy = false;
      return [];
    }
    const able = this.#able();
    const idle = able.filter(({ id }) => !this.#isBusy(id));
    const actions: StepAction<Value>[] = [];
    if (orphans.length > 0) {
      // A fast member that is soon done may be sooner than an idle one, but not when it is overdue.
      const punctual = able.filter(({ id }) => !this.#isBusy(id) || this.#busyMs(now, id) > 0);
      actions.push(...this.#share(now, orphans, this.#reliable(punctual.length > 0 ? punctual : able), this.#cause));
    }
    const rest = idle.filter(({ id }) => !this.#isBusy(id));
    if (stale.length > 0) actions.push(...this.#share(now, stale, this.#reliable(rest), 'speculated'));
    // What found nobody is looked at again with the next event.
    const found = actions.reduce((sum, action) => sum + (action.kind === 'assign' ? size(action.range) : 0), 0);
    this.#needy = found < orphans.length + stale.length;
    return actions;
  }

  /** Members that may be given more: those without a late assignment. */
  #able(): Candidate[] {
    const stuck = new Set(
      [...this.#open.values()].filter(({ state }) => state !== 'fresh').map(({ member }) => member),
    );
    return [...this.#members.values()].filter(({ id }) => !stuck.has(id));
  }

  /** Those that have not failed in this step, if there are any. */
  #reliable(members: readonly Candidate[]): readonly Candidate[] {
    const reliable = members.filter(({ id }) => !this.#failed.has(id));
    return reliable.length > 0 ? reliable : members;
  }

  #isBusy(member: string): boolean {
    for (const open of this.#open.values()) if (open.member === member) return true;
    return false;
  }

  /** Divides shards among members by speed, in contiguous runs. */
  #share(now: number, shards: readonly number[], members: readonly Candidate[], cause: Cause): StepAction<Value>[] {
    if (members.length === 0) return [];
    const actions: StepAction<Value>[] = [];
    const speeds = assumedSpeeds(members).map((speed, i) => {
      return { ...speed, overheadMs: speed.overheadMs + this.#busyMs(now, members[i]!.id) };
    });
    let next = 0;
    for (const [i, count] of divideBySpeed(speeds, shards.length).entries()) {
      const end = next + count;
      while (next < end) {
        const from = shards[next]!;
        let to = from + 1;
        while (++next < end && shards[next] === to) to++;
        actions.push(this.#assign(now, members[i]!.id, { from, to }, cause));
      }
    }
    return actions;
  }

  /** How long a member is expected to be busy with what it has. */
  #busyMs(now: number, member: string): number {
    let until = now;
    for (const open of this.#open.values()) if (open.member === member) until = Math.max(until, open.expectedAt);
    return until - now;
  }

  #assign(now: number, member: string, range: Range, cause: Cause): StepAction<Value> {
    const { timing, nextAssignment, graceMs, numShards } = this.#options;
    const speed = this.#members.get(member)?.speed;
    const startsAt = now + this.#busyMs(now, member) + graceMs(member, range);
    const numPartials = coveringNodes(range, numShards).length;
    const ms = speed ? expectedMs(speed, size(range), numPartials) : undefined;
    const [soft, hard] =
      ms === undefined
        ? [timing.softUnknownMs, timing.hardUnknownMs]
        : [Math.max(timing.softMinMs, timing.softFactor * ms), Math.max(timing.hardMinMs, timing.hardFactor * ms)];
    const assignment: Assignment = {
      id: nextAssignment(),
      member,
      range,
      softAt: startsAt + soft,
      hardAt: startsAt + Math.max(soft, hard),
      expectedAt: startsAt + (ms ?? 0),
      state: 'fresh',
    };
    this.#open.set(assignment.id, assignment);
    for (let shard = range.from; shard < range.to; shard++) {
      this.#holders[shard]!++;
      this.#fresh[shard]!++;
    }
    return { kind: 'assign', assignment: assignment.id, member, range, cause };
  }

  #turn(assignment: Assignment, state: 'stale' | 'late'): void {
    const { from, to } = assignment.range;
    for (let shard = from; shard < to; shard++) {
      if (assignment.state === 'fresh') this.#fresh[shard]!--;
      if (state === 'late') this.#holders[shard]!--;
    }
    assignment.state = state;
    this.#needy = true;
  }

  /** Forgets an assignment: it is answered, failed or its member is gone. */
  #close(assignment: Assignment): void {
    if (assignment.state !== 'late') this.#turn(assignment, 'late');
    this.#open.delete(assignment.id);
    // Answered or not, it may leave shards behind that nobody computes.
    this.#needy = true;
  }
}

const size = ({ from, to }: Range): number => to - from;
