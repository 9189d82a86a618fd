/** A lane as the thread sees it that gives it work. */
import { LockstepError } from '@lockstep/core';
import type { FromLane, GradientTask, LaneEngine, LaneSetup, ToLane } from './lane-messages.ts';

/** What is used of a Web Worker. */
export interface LanePort {
  postMessage(message: ToLane, transfer: Transferable[]): void;
  terminate(): void;
  onmessage: ((event: MessageEvent<FromLane>) => void) | null;
  onerror: ((event: ErrorEvent) => void) | null;
}

/** Starts a Web Worker that serves as a lane. */
export type StartLane = () => LanePort;

/** Seconds that this thread was awake: a tab that was frozen has missed no deadline. */
const BEAT_MS = 1000;
/** To load tens of megabytes of WebAssembly over a slow line, and to compile them. */
const OPEN_SECONDS = 300;
const FIRST_SECONDS = 300;
const LEAST_SECONDS = 60;
const DEADLINE_FACTOR = 10;

export class Lane {
  readonly #port: LanePort;
  #answer: ((message: FromLane | Error) => void) | undefined;
  #broken: Error | undefined;
  #slowestSeconds: number | undefined;

  constructor(start: StartLane) {
    this.#port = start();
    this.#port.onmessage = ({ data }) => this.#answer?.(data);
    this.#port.onerror = (event) => {
      event.preventDefault?.();
      this.#broken = broken(event.message || 'it could not be loaded');
      this.#answer?.(this.#broken);
    };
  }

  async open(setup: LaneSetup): Promise<LaneEngine> {
    const answer = await this.#ask({ kind: 'open', setup }, [], OPEN_SECONDS);
    if (answer.kind !== 'opened') throw broken(`it answered ${answer.kind}`);
    return answer.engine;
  }

  /** @param values are copied */
  parameters(values: Float32Array): void {
    const copy = new Float32Array(values);
    this.#port.postMessage({ kind: 'parameters', values: copy }, [copy.buffer]);
  }

  /** @returns a sum vector per node; undefined when it was cancelled */
  async gradient(task: GradientTask): Promise<readonly Float32Array[] | undefined> {
    const slowest = this.#slowestSeconds;
    const seconds = slowest === undefined ? FIRST_SECONDS : Math.max(LEAST_SECONDS, slowest * DEADLINE_FACTOR);
    const buffers = task.batches.flatMap(({ indices, images, labels }) => [
      indices.buffer,
      images.buffer,
      labels.buffer,
    ]);
    const started = performance.now();
    const answer = await this.#ask({ kind: 'gradient', task }, buffers, seconds);
    this.#slowestSeconds = Math.max(slowest ?? 0, (performance.now() - started) / 1000);
    if (answer.kind === 'cancelled') return undefined;
    if (answer.kind !== 'sums') throw broken(`it answered ${answer.kind}`);
    return answer.sums;
  }

  cancel(): void {
    this.#port.postMessage({ kind: 'cancel' }, []);
  }

  close(): void {
    this.#broken ??= broken('it was closed');
    this.#answer?.(this.#broken);
    this.#port.terminate();
  }

  async #ask(message: ToLane, transfer: Transferable[], seconds: number): Promise<FromLane> {
    if (this.#broken) throw this.#broken;
    let beats = 0;
    let clock: ReturnType<typeof setInterval> | undefined;
    try {
      const answer = await new Promise<FromLane | Error>((resolve) => {
        this.#answer = resolve;
        clock = setInterval(() => {
          if (++beats * BEAT_MS < seconds * 1000) return;
          this.#broken = broken(`it did not answer within ${Math.round(seconds)} s`);
          resolve(this.#broken);
        }, BEAT_MS);
        this.#port.postMessage(message, transfer);
      });
      if (answer instanceof Error) throw answer;
      if (answer.kind === 'failed') throw new LockstepError('engine-failed', answer.message, answer.nextStep);
      return answer;
    } finally {
      clearInterval(clock);
      this.#answer = undefined;
    }
  }
}

/** It will not answer any more. */
const broken = (reason: string): LockstepError =>
  new LockstepError(
    'worker-timeout',
    `A Web Worker of this tab failed: ${reason}.`,
    'Load the page again; if it happens again, take fewer engines, or a device with more memory.',
  );
