/** What a benchmark says as it goes; it ends with its report. */
import type { BenchReport, Load, Machine } from './report.ts';

export type BenchEvent<Report extends BenchReport = BenchReport> =
  /** What is measured, on what. */
  | { readonly event: 'bench'; readonly kind: Report['kind']; readonly machine: Machine; readonly load: Load }
  | { readonly event: 'dataset'; readonly name: string; readonly source: string; readonly notice?: string | undefined }
  /** Something that cannot be measured here. */
  | { readonly event: 'skipped'; readonly what: string; readonly reason: string }
  /** A subject is open: blocks of it follow. */
  | { readonly event: 'subject'; readonly subject: string }
  /** A timed block. */
  | {
      readonly event: 'block';
      readonly subject: string;
      readonly round: number;
      readonly rate: number;
      readonly unit: string;
    }
  /** How far it is. */
  | { readonly event: 'progress'; readonly fraction: number; readonly etaSeconds: number; readonly doing: string }
  | { readonly event: 'report'; readonly report: Report };

/** Estimates how much is left, from what opening and measuring took so far. */
export class Progress {
  readonly #openings: { readonly total: number; done: number; ms: number };
  readonly #blocks: { readonly total: number; done: number; ms: number };
  #since = performance.now();

  /** @param blockSeconds until one was measured */
  constructor(numOpenings: number, numBlocks: number, blockSeconds: number) {
    this.#openings = { total: numOpenings, done: 0, ms: 0 };
    this.#blocks = { total: numBlocks, done: 0, ms: 0 };
    this.#guessMs = blockSeconds * 1000;
  }

  readonly #guessMs: number;

  /** A subject was opened and warmed up, or turned out not to work: its blocks will not come. */
  opened(): void {
    this.#count(this.#openings);
  }

  measured(): void {
    this.#count(this.#blocks);
  }

  #count(kind: { done: number; ms: number }): void {
    const now = performance.now();
    kind.done++;
    kind.ms += now - this.#since;
    this.#since = now;
  }

  event(doing: string): Extract<BenchEvent, { event: 'progress' }> {
    const left = (kind: { total: number; done: number; ms: number }, guessMs: number): number =>
      (kind.total - kind.done) * (kind.done > 0 ? kind.ms / kind.done : guessMs);
    // A subject takes a start and a warm-up of a few blocks.
    const leftMs = Math.max(0, left(this.#openings, 2_000 + 2 * this.#guessMs) + left(this.#blocks, this.#guessMs));
    const spentMs = this.#openings.ms + this.#blocks.ms;
    const fraction = spentMs + leftMs > 0 ? spentMs / (spentMs + leftMs) : 0;
    return { event: 'progress', fraction, etaSeconds: leftMs / 1000, doing };
  }
}
