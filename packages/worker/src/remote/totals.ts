/** What a worker has done, over all its connections. */

export class Totals {
  samples = 0;
  steps = 0;
  #lastRunStep: number | undefined;
  readonly #started = performance.now();

  /** Several assignments may belong to one step. */
  add(runStep: number, samples: number): void {
    this.samples += samples;
    if (runStep !== this.#lastRunStep) this.steps++;
    this.#lastRunStep = runStep;
  }

  get seconds(): number {
    return (performance.now() - this.#started) / 1000;
  }
}
