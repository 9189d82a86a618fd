/**
 * Which range each member has from step to step. A member that is gone is replaced at once; better ranges are first
 * announced, so that members fetch their data while the old ranges go on, and taken when all hold it.
 */
import type { Range } from '@lockstep/core';
import { candidateOf, type Member } from './membership.ts';
import { makespanMs, planRanges } from './ranges.ts';

/** Speeds are looked at again after so many steps, and sooner when a change of the ranges may have been a mistake. */
const REVIEW_STEPS = 16;
const FIRST_REVIEW_STEPS = 2;
/** A member that was asked for data so many steps ago, and does not hold it, is planned without. */
const PATIENCE_STEPS = 64;
/** Ranges change when that makes a step faster by this factor. */
const WORTHWHILE = 1.1;

type Ranges = ReadonlyMap<string, Range>;

export class RangePlanner {
  readonly #numShards: number;
  /** Asks a member to fetch shards' data. */
  readonly #announce: (member: Member, shards: readonly number[]) => void;
  #ranges: Ranges = new Map();
  #desired: Ranges | undefined;
  /** The members that the ranges were planned for. */
  #roster = '';
  /** How many more of them until then. */
  #stepsToReview = REVIEW_STEPS;
  #numSteps = 0;
  /** Members that were asked for data, and when. */
  readonly #askedAt = new Map<string, number>();

  constructor(numShards: number, announce: (member: Member, shards: readonly number[]) => void) {
    this.#numShards = numShards;
    this.#announce = announce;
  }

  /** The ranges of the latest step. */
  get current(): Ranges {
    return this.#ranges;
  }

  /** The ranges of the next step. @param members that are available, at least one */
  next(members: readonly Member[]): Ranges {
    this.#numSteps++;
    const roster = members.map(({ id }) => id).join(' ');
    const present = new Set(members.map(({ id }) => id));
    for (const id of this.#askedAt.keys()) if (!present.has(id)) this.#askedAt.delete(id);
    const complete = this.#ranges.size > 0 && [...this.#ranges.keys()].every((id) => present.has(id));
    if (!complete) {
      this.#take(planRanges(members.map(candidateOf), this.#numShards), roster);
      return this.#ranges;
    }
    if (this.#desired && [...this.#desired.keys()].some((id) => !present.has(id))) this.#desired = undefined;
    if (roster !== this.#roster || --this.#stepsToReview <= 0) this.#review(members, roster);
    if (this.#desired && members.every((member) => missing(member, this.#desired!).length === 0)) {
      this.#take(this.#desired, roster);
    }
    return this.#ranges;
  }

  #review(members: readonly Member[], roster: string): void {
    const changed = roster !== this.#roster;
    this.#roster = roster;
    this.#stepsToReview = REVIEW_STEPS;
    const best = this.#plan(members);
    const candidates = members.map(candidateOf);
    const ms = (ranges: Ranges): number => makespanMs(ranges, candidates, this.#numShards);
    if (!changed && ms(this.#ranges) < WORTHWHILE * ms(best)) return;
    this.#desired = best;
    for (const member of members) {
      const shards = missing(member, best);
      if (shards.length === 0) continue;
      if (!this.#askedAt.has(member.id)) this.#askedAt.set(member.id, this.#numSteps);
      this.#announce(member, shards);
    }
  }

  /** The best ranges. Whoever is waited for too long gets none until it holds what it was asked for. */
  #plan(members: readonly Member[]): Ranges {
    const ideal = planRanges(members.map(candidateOf), this.#numShards);
    const prompt = members.filter((member) => {
      const askedAt = this.#askedAt.get(member.id);
      if (askedAt === undefined) return true;
      if (missing(member, ideal).length > 0) return this.#numSteps - askedAt < PATIENCE_STEPS;
      this.#askedAt.delete(member.id);
      return true;
    });
    if (prompt.length === members.length || prompt.length === 0) return ideal;
    return planRanges(prompt.map(candidateOf), this.#numShards);
  }

  #take(ranges: Ranges, roster: string): void {
    this.#ranges = ranges;
    this.#desired = undefined;
    this.#roster = roster;
    this.#stepsToReview = FIRST_REVIEW_STEPS;
  }
}

/** Shards of a member's range whose data it does not hold. */
function missing(member: Member, ranges: Ranges): number[] {
  const range = ranges.get(member.id);
  return range ? missingShards(member, range) : [];
}

export function missingShards({ held }: Member, { from, to }: Range): number[] {
  if (!held) return [];
  return Array.from({ length: to - from }, (_, i) => from + i).filter((shard) => !held.has(shard));
}
