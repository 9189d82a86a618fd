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
    const roster = members.map(({ id }) => id).join(' ');
    const present = new Set(members.map(({ id }) => id));
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
    const candidates = members.map(candidateOf);
    const best = planRanges(candidates, this.#numShards);
    if (!changed && makespanMs(this.#ranges, candidates) < WORTHWHILE * makespanMs(best, candidates)) return;
    this.#desired = best;
    for (const member of members) {
      const shards = missing(member, best);
      if (shards.length > 0) this.#announce(member, shards);
    }
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
