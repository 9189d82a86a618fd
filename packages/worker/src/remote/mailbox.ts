/** A queue with one reader who waits: between what sockets call and what loops read. */

export class Mailbox<T> implements AsyncIterable<T> {
  #items: T[] = [];
  #state: 'open' | 'ended' = 'open';
  #wake: (() => void) | undefined;

  get size(): number {
    return this.#items.length;
  }

  /** Ignored after the end. */
  push(...items: readonly T[]): void {
    if (this.#state === 'ended') return;
    this.#items.push(...items);
    this.#wake?.();
  }

  /** These come next. */
  pushFirst(...items: readonly T[]): void {
    if (this.#state === 'ended') return;
    this.#items.unshift(...items);
    this.#wake?.();
  }

  /** Takes out what was not read yet. @param inRow looks only at the row of items of this kind that stands at the end */
  remove(matches: (item: T) => boolean, inRow: (item: T) => boolean = () => true): T[] {
    const before = this.#items.findLastIndex((item) => !inRow(item));
    const removed: T[] = [];
    this.#items = this.#items.filter((item, i) => {
      if (i <= before || !matches(item)) return true;
      removed.push(item);
      return false;
    });
    return removed;
  }

  /** Nothing comes any more. @param unread what happens to what was not read yet */
  end(unread: 'keep' | 'discard'): void {
    this.#state = 'ended';
    if (unread === 'discard') this.#items = [];
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, void> {
    for (;;) {
      while (this.#items.length > 0) yield this.#items.shift()!;
      if (this.#state === 'ended') return;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = undefined;
    }
  }
}
