/** Where the page's data lives. Tells its listeners of changes, but no oftener than people can read. */
import type { Connection } from './stream.ts';
import { RunView } from './view.ts';

const MIN_INTERVAL_MS = 250;

export class Store {
  readonly view = new RunView();
  connection: Connection = { state: 'connecting' };
  readonly #listeners = new Set<() => void>();
  #isDue = false;
  #toldAt = Number.NEGATIVE_INFINITY;

  /** Changes the data; listeners hear of it soon. */
  update(change: (store: Store) => void): void {
    change(this);
    if (this.#isDue) return;
    this.#isDue = true;
    const wait = Math.max(0, this.#toldAt + MIN_INTERVAL_MS - performance.now());
    // A page that nobody looks at is given no frames, and so draws nothing.
    setTimeout(() => requestAnimationFrame(() => this.#tell()), wait);
  }

  #tell(): void {
    this.#isDue = false;
    this.#toldAt = performance.now();
    for (const listener of this.#listeners) listener();
  }

  /** @returns what ends the subscription */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}
