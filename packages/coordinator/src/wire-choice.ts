/** Which format gradients travel in; with `auto`, the one that trains fastest over the connections that are there. */
import { type WireFormat, wireFormats } from '@lockstep/core';
import { z } from 'zod';

export const wireSettings = [...wireFormats, 'auto'] as const;
export type WireSetting = (typeof wireSettings)[number];

/** What a checkpoint keeps of it: the format that was found fastest. */
export const wireState = z.enum(wireFormats);

/** What is looked at of a step. */
export interface StepTime {
  readonly wire: WireFormat;
  readonly totalMs: number;
  /** Whether other machines had a part in it. */
  readonly isShared: boolean;
}

/** Steps in which each format is tried, after those that are not measured: the first one sends whole parameters. */
const NUM_MEASURED = 8;
const NUM_SKIPPED = 2;
/** A format that rounds more must take at most this share of a step's time to be preferred. */
const WORTHWHILE = 0.9;

const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1]!;

export class WireChoice {
  readonly #times = new Map<WireFormat, number[]>();
  #format: WireFormat;
  #isOpen: boolean;

  constructor(setting: WireSetting) {
    this.#isOpen = setting === 'auto';
    this.#format = setting === 'auto' ? 'fp32' : setting;
  }

  /** A run goes on that had decided. */
  resume(saved: WireFormat): void {
    if (!this.#isOpen) return;
    this.#format = saved;
    this.#isOpen = false;
  }

  /** Of the next step. */
  get format(): WireFormat {
    return this.#format;
  }

  /** The format that is kept from now on; undefined while they are tried. */
  get state(): WireFormat | undefined {
    return this.#isOpen ? undefined : this.#format;
  }

  /**
   * A step was done. Steps without other machines say nothing.
   * @returns why the format is what it is now, once, when the choice is made
   */
  observe({ wire, totalMs, isShared }: StepTime): string | undefined {
    if (!this.#isOpen || !isShared || wire !== this.#format) return undefined;
    const times = this.#times.get(wire) ?? [];
    this.#times.set(wire, times);
    times.push(totalMs);
    if (times.length < NUM_SKIPPED + NUM_MEASURED) return undefined;
    const next = wireFormats[wireFormats.indexOf(wire) + 1];
    if (next !== undefined) {
      this.#format = next;
      return undefined;
    }
    return this.#decide();
  }

  #decide(): string {
    const measured = wireFormats.map((format) => {
      return { format, ms: median(this.#times.get(format)!.slice(NUM_SKIPPED)) };
    });
    let best = measured[0]!;
    for (const candidate of measured) if (candidate.ms < best.ms * WORTHWHILE) best = candidate;
    this.#format = best.format;
    this.#isOpen = false;
    const list = measured.map(({ format, ms }) => `${format} ${ms.toPrecision(3)} ms`).join(', ');
    return `a step took ${list} (medians of ${NUM_MEASURED})`;
  }
}
