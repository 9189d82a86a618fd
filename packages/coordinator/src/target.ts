/** The accuracy at which a run stops, and how long it took to reach it. */
import { z } from 'zod';

/** What a checkpoint keeps of it. */
export const targetState = z.object({
  /** Of training so far, evaluation included, in all parts of a run that was resumed. */
  seconds: z.number(),
  /** When the target was reached; the run is at its end then. */
  reachedAfter: z.number().optional(),
});
export type TargetState = z.infer<typeof targetState>;

/** More than a mean over several views of each picture adds to the accuracy. */
const NEAR = 0.01;

export class Target {
  readonly #accuracy: number | undefined;
  readonly #secondsBefore: number;
  readonly #started = performance.now();
  #reachedAfter: number | undefined;

  /** The clock begins to run. @param accuracy undefined when the run has none @param saved where it goes on */
  constructor(accuracy: number | undefined, saved: TargetState | undefined) {
    this.#accuracy = accuracy;
    this.#secondsBefore = saved?.seconds ?? 0;
    this.#reachedAfter = saved?.reachedAfter;
  }

  get isReached(): boolean {
    return this.#reachedAfter !== undefined;
  }

  get state(): TargetState {
    const seconds = this.#secondsBefore + (performance.now() - this.#started) / 1000;
    return { seconds, reachedAfter: this.#reachedAfter };
  }

  /** Whether it may be reached where pictures as they are had this accuracy. */
  isNear(accuracy: number): boolean {
    return this.#accuracy !== undefined && accuracy >= this.#accuracy - NEAR;
  }

  /** An epoch was trained and evaluated. */
  evaluated(accuracy: number): void {
    if (this.#accuracy === undefined || this.isReached || accuracy < this.#accuracy) return;
    this.#reachedAfter = this.state.seconds;
  }

  /** What the end of a run says about it. */
  get outcome(): { readonly targetReached?: boolean; readonly secondsToTarget?: number } {
    if (this.#accuracy === undefined) return {};
    return {
      targetReached: this.isReached,
      ...(this.#reachedAfter === undefined ? {} : { secondsToTarget: this.#reachedAfter }),
    };
  }
}
