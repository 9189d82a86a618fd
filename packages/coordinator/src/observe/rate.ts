/** Averages over what happened lately. */

/** Counts per second over the last few seconds. */
export class Rate {
  readonly #windowMs: number;
  readonly #now: () => number;
  #events: { readonly at: number; readonly count: number }[] = [];

  constructor(windowMs: number, now: () => number = () => performance.now()) {
    this.#windowMs = windowMs;
    this.#now = now;
  }

  add(count: number): void {
    this.#events.push({ at: this.#now(), count });
    this.#forget();
  }

  /** 0 when nothing happened within the window. */
  get perSecond(): number {
    this.#forget();
    const [first, ...rest] = this.#events;
    if (!first || rest.length === 0) return 0;
    // The first marks where counting begins: what it counts happened before.
    return (rest.reduce((sum, { count }) => sum + count, 0) / (this.#now() - first.at)) * 1000;
  }

  #forget(): void {
    const oldest = this.#now() - this.#windowMs;
    const keep = this.#events.findIndex(({ at }) => at >= oldest);
    this.#events = keep < 0 ? [] : this.#events.slice(keep);
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
