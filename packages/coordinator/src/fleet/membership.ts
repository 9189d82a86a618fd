/**
 * Who takes part in the run, as a state machine without clock and I/O: joining, ready, quarantined, gone; heartbeats;
 * speeds; and whether there are enough. Events go in, actions come out; each change has its reason.
 */
import type { CloseReason } from '@lockstep/protocol';
import { type Candidate, type Measurement, measured, type Speed } from './ranges.ts';

export interface MembershipOptions {
  readonly heartbeatMs: number;
  /** Missing answers after which a member counts as gone. */
  readonly heartbeatMisses: number;
  /** How long a connection may take to say hello, and then to be ready. */
  readonly helloMs: number;
  readonly readyMs: number;
  /** Failures within `strikeMs` that lead to quarantine. */
  readonly maxStrikes: number;
  readonly strikeMs: number;
  /** First quarantine; every further one of the same member takes twice as long. */
  readonly quarantineMs: number;
  readonly maxQuarantineMs: number;
}

export const MEMBERSHIP: MembershipOptions = {
  heartbeatMs: 1_000,
  heartbeatMisses: 5,
  helloMs: 10_000,
  readyMs: 15 * 60_000,
  maxStrikes: 3,
  strikeMs: 5 * 60_000,
  quarantineMs: 30_000,
  maxQuarantineMs: 10 * 60_000,
};

/** A guess about a member's clock is good for so long. */
const CLOCK_MS = 60_000;
/** Without an assignment a member's measured speed is forgotten in its favour: by this factor per step. */
const FORGETTING = 0.98;

export type MemberState =
  /** Connected, has not said who it is. */
  | { readonly name: 'connected' }
  /** Prepares its engine and data. */
  | { readonly name: 'joining' }
  | { readonly name: 'ready' }
  | { readonly name: 'quarantined'; readonly until: number; readonly reason: string };

export interface MemberInfo {
  readonly name: string;
  readonly threads: number;
  readonly engine: string;
  readonly device: string;
  /** What it runs in: `node`, `browser`, … */
  readonly runtime: string;
}

export interface Member {
  readonly id: string;
  readonly kind: 'local' | 'remote';
  readonly since: number;
  info: MemberInfo;
  state: MemberState;
  /** When its state changed. */
  stateSince: number;
  heardAt: number;
  pingedAt: number;
  roundTripMs: number | undefined;
  /** What its clock must be added to for ours, by the quickest ping. */
  clockOffset: { readonly ms: number; readonly roundTripMs: number; readonly at: number } | undefined;
  speed: Speed | undefined;
  /** Shards whose data it holds; undefined: all. */
  held: Set<number> | undefined;
  /** Assignments that it has not answered, of this step or an earlier one. */
  owes: number;
  strikes: { readonly at: number; readonly reason: string }[];
  quarantines: number;
}

export type MembershipAction =
  | { readonly kind: 'ping'; readonly member: string }
  /** End its connection. */
  | { readonly kind: 'expel'; readonly member: string; readonly code: CloseReason; readonly reason: string }
  /** Tell people. */
  | { readonly kind: 'report'; readonly member: Member; readonly state: ReportedState; readonly reason: string };

export type ReportedState = 'joining' | 'ready' | 'quarantined' | 'left';

const NOBODY: MemberInfo = { name: '', threads: 0, engine: '', device: '', runtime: 'node' };

export class Membership {
  readonly #options: MembershipOptions;
  readonly #members = new Map<string, Member>();
  #generation = 0;
  #tickedAt: number | undefined;

  constructor(options: MembershipOptions) {
    this.#options = options;
  }

  /** Version of the set of members that may be given work. */
  get generation(): number {
    return this.#generation;
  }

  get all(): readonly Member[] {
    return [...this.#members.values()];
  }

  get(id: string): Member | undefined {
    return this.#members.get(id);
  }

  get numReady(): number {
    return this.all.filter(({ state }) => state.name === 'ready').length;
  }

  /** Ready members that owe nothing, in the order in which they came. */
  get available(): Member[] {
    return this.all.filter(({ state, owes }) => state.name === 'ready' && owes === 0);
  }

  connect(now: number, id: string, kind: Member['kind']): void {
    this.#members.set(id, {
      id,
      kind,
      since: now,
      info: NOBODY,
      state: { name: 'connected' },
      stateSince: now,
      heardAt: now,
      pingedAt: now,
      roundTripMs: undefined,
      clockOffset: undefined,
      speed: undefined,
      held: kind === 'local' ? undefined : new Set(),
      owes: 0,
      strikes: [],
      quarantines: 0,
    });
  }

  hello(now: number, id: string, info: MemberInfo): MembershipAction[] {
    const member = this.#change(now, id, { name: 'joining' });
    if (!member) return [];
    member.info = info;
    return [{ kind: 'report', member, state: 'joining', reason: `${info.name} prepares its engine and data` }];
  }

  ready(now: number, id: string, info: MemberInfo, reason: string): MembershipAction[] {
    const member = this.#change(now, id, { name: 'ready' });
    if (!member) return [];
    member.info = info;
    this.#generation++;
    return [{ kind: 'report', member, state: 'ready', reason }];
  }

  left(now: number, id: string, reason: string): MembershipAction[] {
    const member = this.#members.get(id);
    if (!member) return [];
    this.#members.delete(id);
    if (member.state.name === 'ready') this.#generation++;
    member.stateSince = now;
    return member.state.name === 'connected' ? [] : [{ kind: 'report', member, state: 'left', reason }];
  }

  /** Something came from a member. */
  heard(now: number, id: string): void {
    const member = this.#members.get(id);
    if (member) member.heardAt = now;
  }

  /** @param at the member's own clock when it answered */
  pong(now: number, id: string, sentAt: number, at: number): void {
    const member = this.#members.get(id);
    if (!member || sentAt > now) return;
    const roundTripMs = now - sentAt;
    member.roundTripMs = roundTripMs;
    // Half of the way is a better guess the shorter the way (Cristian, 1989); but clocks drift.
    const known = member.clockOffset;
    if (!known || roundTripMs <= known.roundTripMs || now - known.at > CLOCK_MS) {
      member.clockOffset = { ms: (sentAt + now) / 2 - at, roundTripMs, at: now };
    }
  }

  measured(id: string, measurement: Measurement): void {
    const member = this.#members.get(id);
    if (member) member.speed = measured(member.speed, measurement);
  }

  /** A step was committed: members that had no part in it are slowly given another chance. */
  stepped(busy: ReadonlySet<string>): void {
    for (const member of this.#members.values()) {
      if (busy.has(member.id) || !member.speed) continue;
      const { overheadMs, msPerShard } = member.speed;
      member.speed = { overheadMs: overheadMs * FORGETTING, msPerShard: msPerShard * FORGETTING };
    }
  }

  /** A member has failed in a way that counts against it. */
  strike(now: number, id: string, reason: string): MembershipAction[] {
    const member = this.#members.get(id);
    // Without the local worker there may be nobody left, and a fault of its own ends the run anyway.
    if (!member || member.kind === 'local') return [];
    // In quarantine nothing more can happen to it, and a flood of bad answers would be a long list to go through.
    if (member.state.name !== 'ready') return [];
    const { maxStrikes, strikeMs, quarantineMs, maxQuarantineMs } = this.#options;
    member.strikes = [...member.strikes.filter(({ at }) => now - at < strikeMs), { at: now, reason }];
    if (member.strikes.length < maxStrikes) return [];
    const ms = Math.min(maxQuarantineMs, quarantineMs * 2 ** member.quarantines++);
    const sentence = `${maxStrikes} failures, the last: ${reason}; it gets another chance in ${Math.round(ms / 1000)} s`;
    this.#change(now, id, { name: 'quarantined', until: now + ms, reason: sentence });
    this.#generation++;
    return [{ kind: 'report', member, state: 'quarantined', reason: sentence }];
  }

  /** Time has passed: pings, silent and late members, ends of quarantines. To be called every quarter of a heartbeat. */
  tick(now: number): MembershipAction[] {
    const { heartbeatMs } = this.#options;
    // When this process itself was suspended, nobody's silence during that time counts.
    const gap = this.#tickedAt === undefined ? 0 : now - this.#tickedAt;
    this.#tickedAt = now;
    const actions: MembershipAction[] = [];
    for (const member of this.#members.values()) {
      if (member.kind === 'local') continue;
      if (gap > heartbeatMs * 2) {
        member.heardAt = Math.min(now, member.heardAt + gap);
        member.stateSince = Math.min(now, member.stateSince + gap);
      }
      const { id } = member;
      const fault = this.#faultOf(member, now);
      if (fault) {
        actions.push({ kind: 'expel', member: id, ...fault });
        continue;
      }
      if (member.state.name !== 'connected' && now - member.pingedAt >= heartbeatMs) {
        member.pingedAt = now;
        actions.push({ kind: 'ping', member: id });
      }
      if (member.state.name === 'quarantined' && now >= member.state.until) {
        member.strikes = [];
        this.#change(now, id, { name: 'ready' });
        this.#generation++;
        actions.push({ kind: 'report', member, state: 'ready', reason: 'its quarantine is over' });
      }
    }
    return actions;
  }

  /** Why a member's connection is to be ended; undefined when it is not. */
  #faultOf({ state, stateSince, heardAt }: Member, now: number): { code: CloseReason; reason: string } | undefined {
    const { helloMs, readyMs, heartbeatMs, heartbeatMisses } = this.#options;
    if (state.name === 'connected') {
      // Nobody is pinged before its hello.
      return now - stateSince > helloMs ? { code: 'late', reason: `no hello within ${helloMs / 1000} s` } : undefined;
    }
    if (state.name === 'joining' && now - stateSince > readyMs) {
      return { code: 'late', reason: `not ready within ${readyMs / 1000} s` };
    }
    if (now - heardAt <= heartbeatMs * heartbeatMisses) return undefined;
    return { code: 'silent', reason: `nothing was heard for ${((now - heardAt) / 1000).toFixed(1)} s` };
  }

  #change(now: number, id: string, state: MemberState): Member | undefined {
    const member = this.#members.get(id);
    if (!member) return undefined;
    member.state = state;
    member.stateSince = now;
    return member;
  }
}

/** What plans need of a member. */
export const candidateOf = ({ id, speed }: Member): Candidate => ({ id, speed });
