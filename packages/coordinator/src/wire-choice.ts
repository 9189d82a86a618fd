/** Which format gradients travel in; with `auto`, the one that trains fastest over the connections that are there. */
import { LockstepError, numEntries, type SumFormat, type WireFormat, wireFormats } from '@lockstep/core';
import { z } from 'zod';

const TOPK = 'topk:';

/** A format, or how it is found; `topk:` is followed by the share of the weights whose gradients a worker sends. */
export type WireSetting = WireFormat | 'auto' | `${typeof TOPK}${string}`;

export const wireSetting = z.string().transform((text, context): WireSetting => {
  const plain = [...wireFormats, 'auto'] as const;
  const found = plain.find((name) => name === text);
  if (found !== undefined) return found;
  if (isTopk(text)) {
    const share = text.slice(TOPK.length);
    if (share.trim() !== '' && Number(share) > 0 && Number(share) < 1) return text;
  }
  const problem = isTopk(text) ? 'has no share above 0 and below 1' : 'is no format';
  context.addIssue({
    code: 'custom',
    message: `"${text}" ${problem}: give ${plain.join(', ')} or ${TOPK}<share>, such as ${TOPK}0.01`,
  });
  return z.NEVER;
});

export const isTopk = (text: string): text is `${typeof TOPK}${string}` => text.startsWith(TOPK);

/** How many entries of its sum a worker sends; undefined where it sends all. */
export const entriesOf = (setting: WireSetting, numWeights: number): number | undefined =>
  isTopk(setting) ? numEntries(Number(setting.slice(TOPK.length)), numWeights) : undefined;

/** @throws LockstepError `usage` when a worker would have to keep a part of sums that are to be the same whoever computes them */
export function checkWire({ wire, reduction }: { readonly wire: WireSetting; readonly reduction: string }): void {
  if (!isTopk(wire) || reduction === 'fast') return;
  throw new LockstepError(
    'usage',
    `--wire ${wire} needs --reduction fast: a worker holds back the rest of its gradients for later steps, so the weights depend on who computed what.`,
    'Add --reduction fast; or take --wire int8, which gives the same bits whoever computes them.',
  );
}

/** What a checkpoint keeps of it: the format that was found fastest, or that was asked for. */
export const wireState = z.enum([...wireFormats, 'topk']);

/** What is looked at of a step. */
export interface StepTime {
  readonly wire: SumFormat;
  readonly totalMs: number;
  /** Whether other machines had a part in it. */
  readonly isShared: boolean;
}

/** What `auto` has found. */
export interface WireDecision {
  readonly format: WireFormat;
  readonly reason: string;
}

/** Steps in which each format is tried, after those that are not measured: the first one sends whole parameters. */
const NUM_MEASURED = 8;
const NUM_SKIPPED = 2;
/** A format that rounds more must take at most this share of a step's time to be preferred. */
const WORTHWHILE = 0.9;

const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1]!;

export class WireChoice {
  readonly #times = new Map<WireFormat, number[]>();
  #format: SumFormat;
  #isOpen: boolean;

  constructor(setting: WireSetting) {
    this.#isOpen = setting === 'auto';
    this.#format = setting === 'auto' ? 'fp32' : isTopk(setting) ? 'topk' : setting;
  }

  /** A run goes on that had decided. */
  resume(saved: SumFormat): void {
    if (!this.#isOpen) return;
    this.#format = saved;
    this.#isOpen = false;
  }

  /** Of the next step. */
  get format(): SumFormat {
    return this.#format;
  }

  /** The format that is kept from now on; undefined while they are tried. */
  get state(): SumFormat | undefined {
    return this.#isOpen ? undefined : this.#format;
  }

  /**
   * A step was done. Steps without other machines say nothing.
   * @returns which format it is from now on, and why: once, when the choice is made
   */
  observe({ wire, totalMs, isShared }: StepTime): WireDecision | undefined {
    if (!this.#isOpen || !isShared || wire !== this.#format || wire === 'topk') return undefined;
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

  #decide(): WireDecision {
    const measured = wireFormats.map((format) => {
      return { format, ms: median(this.#times.get(format)!.slice(NUM_SKIPPED)) };
    });
    let best = measured[0]!;
    for (const candidate of measured) if (candidate.ms < best.ms * WORTHWHILE) best = candidate;
    this.#format = best.format;
    this.#isOpen = false;
    const list = measured.map(({ format, ms }) => `${format} ${ms.toPrecision(3)} ms`).join(', ');
    return { format: best.format, reason: `a step took ${list} (medians of ${NUM_MEASURED})` };
  }
}
