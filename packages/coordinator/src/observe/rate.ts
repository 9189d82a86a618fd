/** Averages over what happened lately. */

/** What happens closer together counts as one moment, such as steps that are reported in one go. */
const MOMENT_MS = 10;

interface Moment {
  readonly at: number;
  count: number;
}

/** Counts per second over the last few seconds, and over the last two moments when they are further apart. */
export class Rate {
  readonly #windowMs: number;
  readonly #now: () => number;
  #moments: Moment[] = [];
  #beforePause = 0;

  constructor(windowMs: number, now: () => number = () => performance.now()) {
    this.#windowMs = windowMs;
    this.#now = now;
  }

  add(count: number): void {
    const now = this.#now();
    // After a pause it begins anew: what was before says nothing about now.
    if (this.#isOver(now)) this.#moments = [];
    const last = this.#moments.at(-1);
    if (last && now - last.at < MOMENT_MS) last.count += count;
    else this.#moments.push({ at: now, count });
    this.#forget(now);
  }

  /** A pause follows that is not to count: the rate before it stands until there is a new one. */
  pause(): void {
    this.#beforePause = this.perSecond;
    this.#moments = [];
  }

  /** 0 when nothing happens any more. */
  get perSecond(): number {
    const now = this.#now();
    this.#forget(now);
    if (this.#moments.length < 2) return this.#beforePause;
    this.#beforePause = 0;
    if (this.#isOver(now)) return 0;
    // The first marks where counting begins: what it counts happened before.
    const [first, ...rest] = this.#moments as [Moment, ...Moment[]];
    const spanMs = rest.at(-1)!.at - first.at;
    // The next may be on its way: the time since the last counts once that is late.
    const ms = Math.max(spanMs, now - first.at - spanMs / rest.length);
    return (rest.reduce((sum, { count }) => sum + count, 0) / ms) * 1000;
  }

  /** Nothing happened for much longer than usual. */
  #isOver(now: number): boolean {
    const [before, last] = this.#moments.slice(-2);
    return before && last ? now - last.at > Math.max(this.#windowMs, 3 * (last.at - before.at)) : false;
  }

  #forget(now: number): void {
    const keep = this.#moments.findIndex(({ at }) => at >= now - this.#windowMs);
    this.#moments = this.#moments.slice(Math.min(keep < 0 ? Infinity : keep, Math.max(0, this.#moments.length - 2)));
  }
}

/** An exponential average. */
export class Average {
  #value: number | undefined;
  readonly #smoothing: number;

  constructor(smoothing = 0.1) {
    this.#smoothing = smoothing;
  }

  get value(): number | undefined {
    return this.#value;
  }

  add(value: number): void {
    this.#value = this.#value === undefined ? value : this.#value + this.#smoothing * (value - this.#value);
  }
}
