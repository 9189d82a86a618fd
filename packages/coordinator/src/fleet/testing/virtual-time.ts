/** A clock whose time passes only when everything that is due has happened. */
import type { Clock } from '../clock.ts';

interface Due {
  readonly at: number;
  readonly order: number;
  readonly action: () => void;
}

export class VirtualClock implements Clock {
  readonly origin = 0;
  #now = 0;
  #order = 0;
  /** Ascending by time, then by the order in which they were asked for. */
  readonly #due: Due[] = [];

  now(): number {
    return this.#now;
  }

  after(ms: number, action: () => void): () => void {
    const due: Due = { at: this.#now + Math.max(0, ms), order: this.#order++, action };
    let low = 0;
    let high = this.#due.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#due[middle]!.at <= due.at) low = middle + 1;
      else high = middle;
    }
    this.#due.splice(low, 0, due);
    return () => {
      const index = this.#due.indexOf(due);
      if (index >= 0) this.#due.splice(index, 1);
    };
  }

  /** Lets time pass until `work` is done. @throws Error when it takes longer than `limitMs` */
  async until<Result>(work: Promise<Result>, limitMs: number): Promise<Result> {
    let outcome: { readonly value: Result } | { readonly error: unknown } | undefined;
    work.then(
      (value) => {
        outcome = { value };
      },
      (error: unknown) => {
        outcome = { error };
      },
    );
    for (;;) {
      // Everything that follows from the last event by promises happens before the next one.
      await new Promise((resolve) => setImmediate(resolve));
      if (outcome) break;
      const next = this.#due.shift();
      if (!next) throw new Error(`at ${this.#now} ms nothing is left that could happen`);
      if (next.at > limitMs) throw new Error(`not done at ${limitMs} ms`);
      this.#now = next.at;
      next.action();
    }
    if ('error' in outcome) throw outcome.error;
    return outcome.value;
  }
}
