/** A failure injector: makes a chosen share fail at a chosen step, a given number of times. For tests of recovery. */

export interface Fault {
  readonly share: number;
  /** Step in the run. */
  readonly runStep: number;
  /** `exit`: the thread ends, as when it runs out of memory; `throw`: its engine fails; `hang`: it never answers. */
  readonly kind: 'exit' | 'throw' | 'hang';
  /** Over shared memory, [1]: how often it is still to happen. */
  readonly remaining: Int32Array;
}

export const fault = (share: number, runStep: number, kind: Fault['kind'], times = 1): Fault => {
  const remaining = new Int32Array(new SharedArrayBuffer(4));
  remaining[0] = times;
  return { share, runStep, kind, remaining };
};

/** Lets a fault happen that is due here. */
export async function inject(faults: readonly Fault[], share: number, runStep: number): Promise<void> {
  for (const { kind, remaining, ...at } of faults) {
    if (at.share !== share || at.runStep !== runStep || Atomics.sub(remaining, 0, 1) <= 0) continue;
    if (kind === 'throw') throw new Error(`injected failure of share ${share} at step ${runStep}`);
    // In a worker thread this ends the thread, not the process.
    if (kind === 'exit') process.exit(1);
    await new Promise(() => {});
  }
}
