/**
 * A deadline that does not pass while the whole process stands still: stopped by Ctrl-Z, in a paused container, on a machine
 * that was suspended. Work has had no chance to go on then.
 */

/** A deadline is awaited in so many parts, one after the other: of a standstill no more than one of them counts. */
const PARTS = 20;

export class AwakeTimer {
  readonly #partMs: number;
  #numPassed = 0;
  #partStarted = performance.now();
  #timer: NodeJS.Timeout | undefined;

  /** @param action called once when the time is over */
  constructor(ms: number, action: () => void) {
    this.#partMs = ms / PARTS;
    this.#wait(action);
  }

  #wait(action: () => void): void {
    this.#timer = setTimeout(() => {
      this.#numPassed++;
      this.#partStarted = performance.now();
      if (this.#numPassed < PARTS) this.#wait(action);
      else action();
    }, this.#partMs);
  }

  /** Time since the start, without standstills. */
  get elapsedMs(): number {
    return this.#numPassed * this.#partMs + Math.min(this.#partMs, performance.now() - this.#partStarted);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }
}
