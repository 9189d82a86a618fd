/**
 * Results in the format `topk`, one after the other: what one leaves behind is part of the next, so that is packed when the
 * coordinator has said whether the one before counts.
 */
import { ErrorFeedback, type ParameterLayout } from '@lockstep/core';
import { FrameError } from '@lockstep/protocol';
import type { Connection } from './connection.ts';
import { within } from './within.ts';

export interface SparseResultsOptions {
  readonly layout: ParameterLayout;
  /** Entries of a result. */
  readonly numEntries: number;
  readonly connection: Pick<Connection, 'cut'>;
  /** From a result to what the coordinator says of it. */
  readonly outcomeMs: number;
}

export class SparseResults {
  readonly #options: SparseResultsOptions;
  #feedback: ErrorFeedback | undefined;
  /** The result of which the coordinator has not said yet whether it counts. */
  #open: { readonly assignment: number; readonly outcome: Promise<void>; readonly resolve: () => void } | undefined;

  constructor(options: SparseResultsOptions) {
    this.#options = options;
  }

  /**
   * @param sums of the nodes of a result, float32 @param stepSize samples of the whole step
   * @returns what is to be sent of them
   * @throws the reason of the signal's abort; or Error, when the coordinator says nothing: the connection is ended then
   */
  async pack(
    assignment: number,
    sums: readonly Uint8Array[],
    stepSize: number,
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    await this.#settled(signal);
    const { layout, numEntries } = this.#options;
    this.#feedback ??= new ErrorFeedback(layout, numEntries);
    const bytes = this.#feedback.pack(sums, stepSize);
    let resolve!: () => void;
    const outcome = new Promise<void>((settle) => {
      resolve = settle;
    });
    this.#open = { assignment, outcome, resolve };
    return bytes;
  }

  /** @throws FrameError when it is not what is waited for */
  outcome(assignment: number, taken: boolean): void {
    const open = this.#open;
    if (open?.assignment !== assignment)
      throw new FrameError(`the outcome of ${assignment}, which has none or had one`);
    this.#feedback!.settle(taken);
    this.#open = undefined;
    open.resolve();
  }

  async #settled(signal: AbortSignal): Promise<void> {
    const open = this.#open;
    if (!open) return;
    const { outcomeMs, connection } = this.#options;
    try {
      await within(outcomeMs, signal, (signal) => Promise.race([open.outcome, untilAborted(signal)]));
    } catch (error) {
      if (!signal.aborted)
        connection.cut(`the coordinator has not said for ${outcomeMs / 1000} s whether a result counts`);
      throw error;
    }
  }
}

const untilAborted = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => {
    const abort = (): void => reject(signal.reason);
    // One that is aborted already says so no more.
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
  });
