/** What a sweep over numbers of workers measures, and what it is called. Pure functions. */
import type { BenchConfig } from './options.ts';
import type { Place } from './report.ts';

/** One number of workers in one place, with one batch. */
export interface Case {
  readonly place: Place;
  readonly workers: number;
  /** Weak: batch and shards grew with the workers. The case of one worker is both. */
  readonly scaling: 'strong' | 'weak';
  readonly batchSize: number;
  readonly shards: number;
}

const nextPowerOfTwo = (value: number): number => 2 ** Math.ceil(Math.log2(value));

function caseOf(place: Place, workers: number, scaling: Case['scaling'], batchSize: number, shards: number): Case {
  if (scaling === 'strong') return { place, workers, scaling, batchSize, shards };
  return { place, workers, scaling, batchSize: batchSize * workers, shards: shards * nextPowerOfTwo(workers) };
}

/** Numbers of workers, by place. */
type Sweep = Pick<BenchConfig, 'joined' | 'scaling' | 'shards'> & {
  readonly workers: readonly number[];
  readonly remote: readonly number[];
};

/** @param batchSize samples per step with one worker */
export function casesOf(config: Sweep, batchSize: number): Case[] {
  const { workers, remote, joined, scaling, shards } = config;
  const places: readonly (readonly [Place, readonly number[]])[] = [
    ['local', workers],
    ['remote', remote],
    ['joined', joined === undefined ? [] : [joined]],
  ];
  return places.flatMap(([place, counts]) =>
    counts.flatMap((count) => {
      if (count === 1) return [caseOf(place, 1, 'strong', batchSize, shards)];
      const kinds = scaling === 'both' ? (['strong', 'weak'] as const) : [scaling];
      return kinds.map((kind) => caseOf(place, count, kind, batchSize, shards));
    }),
  );
}

const PLACE_WORDS: Readonly<Record<Place, (count: number) => string>> = {
  local: (count) => (count === 1 ? 'thread' : 'threads'),
  remote: (count) => (count === 1 ? 'process on loopback' : 'processes on loopback'),
  joined: (count) => (count === 1 ? 'joined worker' : 'joined workers'),
};

/** For people: `2 threads, batch 1024`. */
export const nameOf = ({ place, workers, batchSize }: Case): string =>
  `${workers} ${PLACE_WORDS[place](workers)}, batch ${batchSize}`;
