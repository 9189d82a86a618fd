/**
 * Tries an engine out in a process of its own, so that a driver that crashes or hangs takes nothing with it: does it compute
 * what the CPU does, and how fast?
 */
import { fork } from 'node:child_process';
import type { EngineConfig, EngineKind } from '../engine.ts';

/** Processes run the compiled file, also where a test runs this one from source. */
const PROCESS = new URL('../../dist/device/trial-process.js', import.meta.url);

const DEADLINE_MS = 120_000;
/** Kept of what the process says on its standard error. */
const MAX_STDERR = 4_096;

/** What to try. */
export interface TrialOrder {
  readonly kind: EngineKind;
  /** A name for `--device`; `auto` where the kind decides for itself. */
  readonly device: string;
  /** Samples in a micro-batch. */
  readonly microBatch: number;
  /** The most micro-batches in a call. */
  readonly maxGroup: number;
  /** How long to measure, apart from the first call; 0 to measure nothing. */
  readonly seconds: number;
}

/** What a process is told. */
export interface TrialRequest extends TrialOrder {
  readonly topology: unknown;
  readonly labelSmoothing: number;
}

export type TrialResult =
  | {
      readonly works: true;
      /** What the engine says it runs on. */
      readonly device: string;
      /** Samples per second, forward and backward; undefined when nothing was measured. */
      readonly rate: number | undefined;
    }
  /** `reason` is a sentence; `nextStep` what would help. */
  | { readonly works: false; readonly reason: string; readonly nextStep: string };

/** @param signal ends the process */
export function tryEngineApart(
  { network, labelSmoothing }: EngineConfig,
  order: TrialOrder,
  deadlineMs: number = DEADLINE_MS,
  signal?: AbortSignal,
): Promise<TrialResult> {
  const request: TrialRequest = { ...order, topology: network.modelTopology, labelSmoothing };
  return new Promise((resolve) => {
    const child = fork(PROCESS, { execArgv: [], stdio: ['ignore', 'ignore', 'pipe', 'ipc'] });
    let said = '';
    let settled = false;
    const settle = (result: TrialResult): void => {
      if (settled) return;
      settled = true;
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
      child.kill('SIGKILL');
      resolve(result);
    };
    const failed = (reason: string): void =>
      settle({ works: false, reason, nextStep: 'Update its driver, or use another --device.' });
    const timer = setTimeout(() => failed(`it did not answer within ${deadlineMs / 1000} s.`), deadlineMs);
    const abort = (): void => failed('it was interrupted.');
    signal?.addEventListener('abort', abort, { once: true });
    child.stderr?.on('data', (data: Buffer) => {
      said = (said + data.toString()).slice(-MAX_STDERR);
    });
    child.on('error', (error) => failed(`it does not start: ${error.message}`));
    child.on('message', (result) => settle(result as TrialResult));
    child.on('exit', (code, cause) => {
      const lines = said.trim().split('\n');
      const last = lines.findLast((line) => /error/i.test(line)) ?? lines.at(-1)!;
      failed(`its process ended with ${cause ?? `code ${code}`}${last === '' ? '.' : `: ${last}`}`);
    });
    child.send(request, (error) => {
      if (error) failed(`it does not start: ${error.message}`);
    });
  });
}
