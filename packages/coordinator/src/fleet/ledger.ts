/** Who owes which answer, of this step or an earlier one, and what answers say about speed. */
import type { Range } from '@lockstep/core';
import type { PartialSum } from '@lockstep/worker';
import type { Crew } from './crew.ts';
import { expectedMs } from './ranges.ts';

/** An assignment that was not answered yet. */
export interface Owed<Step> {
  readonly assignment: number;
  readonly member: string;
  readonly step: Step;
  readonly range: Range;
  /** Sums that its answer has. */
  readonly numPartials: number;
  /** Of the membership, when it was given out. */
  readonly generation: number;
  readonly sentAt: number;
  /** Whether the member had all data, so that the time it takes says how fast it is. */
  readonly isMeasure: boolean;
  cancelled: boolean;
  /** Its first slices, when it comes in several. */
  arrived?: Arrived | undefined;
}

/** What has come of an answer: elements of its sums up to, without it, `to`. */
export interface Arrived {
  /** By node, those that are of use. */
  readonly values: Map<number, PartialSum>;
  readonly to: number;
}

export class Ledger<Step> {
  readonly #crew: Crew;
  readonly #owed = new Map<number, Owed<Step>>();
  /** When each member answered last. */
  readonly #answeredAt = new Map<string, number>();
  /** Members that have computed before. */
  readonly #warm = new Set<string>();
  /** Assignments of which a slice was refused, and up to where their answers have come. */
  readonly #spent = new Map<number, { readonly member: string; readonly to: number }>();

  constructor(crew: Crew) {
    this.#crew = crew;
  }

  get all(): Owed<Step>[] {
    return [...this.#owed.values()];
  }

  /** When anybody answered last. */
  get lastAnswerAt(): number {
    return Math.max(0, ...this.#answeredAt.values());
  }

  get(assignment: number): Owed<Step> | undefined {
    return this.#owed.get(assignment);
  }

  add(owed: Owed<Step>): void {
    this.#owed.set(owed.assignment, owed);
    const member = this.#crew.get(owed.member);
    if (member) member.owes++;
  }

  /** A member has answered, in whatever way. Returns how long it took. */
  settle(now: number, { assignment, member: id, sentAt }: Owed<Step>): number {
    this.#owed.delete(assignment);
    const member = this.#crew.get(id);
    if (member) member.owes--;
    // What was sent while it was busy began when it had answered the one before.
    const began = Math.max(sentAt, this.#answeredAt.get(id) ?? 0);
    this.#answeredAt.set(id, now);
    return now - began;
  }

  /** A slice was refused, and so is what follows: up to `to` has come. */
  spend({ assignment, member }: Owed<Step>, to: number): void {
    this.#spent.set(assignment, { member, to });
  }

  /** Whether a slice is of an answer of which one before it was refused. @param isLast nothing of it follows */
  isSpent(assignment: number, member: string, { from, to }: Range, isLast: boolean): boolean {
    const spent = this.#spent.get(assignment);
    if (spent?.member !== member || spent.to !== from || to <= from) return false;
    if (isLast) this.#spent.delete(assignment);
    else this.#spent.set(assignment, { member, to });
    return true;
  }

  /** Learns from an answer that was taken. A member's first one says little: its engine was not warm. */
  measure({ member, range, numPartials, isMeasure }: Owed<Step>, roundTripMs: number, computeMs: number): void {
    const numShards = range.to - range.from;
    const isWarm = this.#warm.has(member);
    this.#warm.add(member);
    if (isMeasure && isWarm) this.#crew.measured(member, { numShards, numPartials, roundTripMs, computeMs });
  }

  /** Learns from an assignment that was called off: it would have taken longer than that. */
  measureAtLeast({ member, range, numPartials, isMeasure }: Owed<Step>, ms: number): void {
    const numShards = range.to - range.from;
    const speed = this.#crew.get(member)?.speed;
    if (isMeasure && (!speed || ms > expectedMs(speed, numShards, numPartials))) {
      this.#crew.measured(member, { numShards, numPartials, roundTripMs: ms, computeMs: ms });
    }
  }

  /** A member is gone: it answers nothing any more. @returns what it owed */
  forget(member: string): Owed<Step>[] {
    this.#answeredAt.delete(member);
    this.#warm.delete(member);
    const owed = this.all.filter((one) => one.member === member);
    for (const { assignment } of owed) this.#owed.delete(assignment);
    for (const [assignment, spent] of this.#spent) if (spent.member === member) this.#spent.delete(assignment);
    return owed;
  }
}
