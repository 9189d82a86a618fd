/** Events that happen while something else is under way. */

export class Inbox<Event> {
  #events: Event[] = [];
  #wake: (() => void) | undefined;

  push(event: Event): void {
    this.#events.push(event);
    this.#wake?.();
  }

  /** Takes out what is there. */
  drain(): Event[] {
    return this.#events.splice(0);
  }

  /** Yields events as they happen until `work` is done, and returns its result. */
  async *during<Result>(work: Promise<Result>): AsyncGenerator<Event, Result, void> {
    let isDone = false;
    const end = (): void => {
      isDone = true;
      this.#wake?.();
    };
    work.then(end, end);
    for (;;) {
      yield* this.drain();
      if (isDone) return work;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        // Something may have happened while the events before were being looked at.
        if (isDone || this.#events.length > 0) resolve();
      });
      this.#wake = undefined;
    }
  }
}
