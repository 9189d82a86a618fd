/** How fast a tab is, over its latest seconds. */

const WINDOW_MS = 10_000;
/** Less time than this says nothing. */
const LEAST_MS = 1000;

interface Work {
  readonly at: number;
  readonly samples: number;
  readonly computeMs: number;
}

export class Rate {
  #works: Work[] = [];
  /** When the first work was begun. */
  #since: number | undefined;

  /** Some samples are done. @param now milliseconds */
  add(now: number, samples: number, computeMs: number): void {
    this.#since ??= now - computeMs;
    this.#works.push({ at: now, samples, computeMs });
    this.#forget(now);
  }

  /** Samples per second of the latest seconds, and of those of them in which it computed; 0 when there are none. */
  at(now: number): { readonly samplesPerSecond: number; readonly whileComputing: number } {
    this.#forget(now);
    const samples = this.#works.reduce((sum, work) => sum + work.samples, 0);
    const computeMs = this.#works.reduce((sum, work) => sum + work.computeMs, 0);
    const wallMs = Math.min(WINDOW_MS, Math.max(LEAST_MS, now - (this.#since ?? now)));
    // The work that was begun before them counts as if it was done within.
    const samplesPerSecond = (samples / Math.max(wallMs, computeMs)) * 1000;
    return { samplesPerSecond, whileComputing: computeMs > 0 ? (samples / computeMs) * 1000 : 0 };
  }

  #forget(now: number): void {
    const isOld = ({ at }: Work): boolean => at < now - WINDOW_MS;
    if (this.#works[0] && isOld(this.#works[0])) this.#works = this.#works.filter((work) => !isOld(work));
  }
}
