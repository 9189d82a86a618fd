/**
 * Where the threads of a pool wait for each other: a counter in shared memory, so that a step needs no message and no
 * turn of an event loop.
 */

/** Places in the control block, 32-bit integers. */
const ARRIVED = 0;
const STOPPED = 1;
const COMMITTED = 2;
const CANCELLED = 3;
export const CONTROL_BYTES = 4 * 4;

/** Loads before a thread goes to sleep: waking it again takes longer than most waits last. */
const SPINS = 2000;
/** A sleeping thread looks around at least this often. */
const NAP_MS = 100;

/** The pool's side and the threads' side of the control block. */
export class Barrier {
  readonly #control: Int32Array;

  constructor(memory: WebAssembly.Memory, at: number) {
    this.#control = new Int32Array(memory.buffer, at, CONTROL_BYTES / 4);
  }

  /** Before a task, while no thread is at work. */
  reset(): void {
    this.#control.fill(0);
  }

  /** Lets every thread that waits, or will wait, give up: one of them will never arrive. */
  stop(): void {
    Atomics.store(this.#control, STOPPED, 1);
    Atomics.notify(this.#control, ARRIVED);
  }

  /** Asks the threads not to begin with another micro-batch; until the next reset. */
  cancel(): void {
    Atomics.store(this.#control, CANCELLED, 1);
  }

  get cancelled(): boolean {
    return Atomics.load(this.#control, CANCELLED) !== 0;
  }

  /** Steps of the batch that all threads have finished. */
  get committed(): number {
    return Atomics.load(this.#control, COMMITTED);
  }

  commit(steps: number): void {
    Atomics.store(this.#control, COMMITTED, steps);
  }

  /**
   * Arrives and waits until `total` arrivals were counted since the reset.
   * @returns false when the batch was stopped meanwhile
   */
  arrive(total: number): boolean {
    const control = this.#control;
    let arrived = Atomics.add(control, ARRIVED, 1) + 1;
    if (arrived >= total) {
      Atomics.notify(control, ARRIVED);
      return Atomics.load(control, STOPPED) === 0;
    }
    for (let i = 0; arrived < total && i < SPINS; i++) arrived = Atomics.load(control, ARRIVED);
    while (arrived < total) {
      if (Atomics.load(control, STOPPED) !== 0) return false;
      Atomics.wait(control, ARRIVED, arrived, NAP_MS);
      arrived = Atomics.load(control, ARRIVED);
    }
    return true;
  }
}
