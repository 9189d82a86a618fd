/** Runs another program, never without a deadline. */
import { spawn } from 'node:child_process';
import { LockstepError } from '@lockstep/core';

export interface RunOptions {
  readonly deadlineMs: number;
  readonly signal: AbortSignal | undefined;
  readonly env: NodeJS.ProcessEnv;
}

export interface Outcome {
  /** `signal` when it was ended by one; `late` when that was ours, since it took too long. */
  readonly status: number | 'not-found' | 'signal' | 'late';
  readonly stdout: string;
  readonly stderr: string;
}

/** Of each stream the end is kept. */
const MAX_OUTPUT = 1_000_000;

const interrupted = (): LockstepError =>
  new LockstepError('interrupted', 'Interrupted; nothing was changed.', 'Run lockstep setup tensorflow again.');

/** @throws LockstepError `interrupted` once the signal was aborted */
export function throwIfInterrupted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw interrupted();
}

/**
 * Runs `command` to its end and collects what it writes.
 * @throws LockstepError `interrupted` when aborted; the program has ended then
 */
export async function run(command: string, args: readonly string[], options: RunOptions): Promise<Outcome> {
  const { deadlineMs, signal, env } = options;
  throwIfInterrupted(signal);
  const outcome = await new Promise<Outcome>((resolve) => {
    // A group of its own, so that what it has started ends with it.
    const child = spawn(command, args, { env, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
    const output = { stdout: '', stderr: '' };
    let late = false;
    const kill = (): void => {
      if (child.pid === undefined) return;
      try {
        process.kill(-child.pid, 'SIGKILL');
      } catch {
        // It has ended by itself.
      }
    };
    const timer = setTimeout(() => {
      late = true;
      kill();
    }, deadlineMs);
    signal?.addEventListener('abort', kill);
    const finish = (status: Outcome['status']): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', kill);
      resolve({ status: late ? 'late' : status, ...output });
    };
    for (const name of ['stdout', 'stderr'] as const) {
      child[name].setEncoding('utf8').on('data', (text: string) => {
        output[name] = (output[name] + text).slice(-MAX_OUTPUT);
      });
    }
    child.on('error', ({ message }) => {
      output.stderr += message;
      finish('not-found');
    });
    child.on('close', (code) => finish(code ?? 'signal'));
  });
  throwIfInterrupted(signal);
  return outcome;
}

/** How it ended, as the end of a sentence. */
export function howItEnded({ status }: Outcome, deadlineMs: number): string {
  if (status === 'late') return `did not finish within ${deadlineMs / 1000} s`;
  if (status === 'signal') return 'was ended by a signal';
  if (status === 'not-found') return 'could not be started';
  return `ended with code ${status}`;
}

/** The last lines of what a program wrote that are not empty, indented. */
export function lastLines(text: string, count: number): string {
  const lines = text.split('\n').filter((line) => line.trim() !== '');
  return lines
    .slice(-count)
    .map((line) => `\n          ${line}`)
    .join('');
}
