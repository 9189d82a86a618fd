/** How fast this machine copies memory: what sums and updates are held against. */
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import type { MemoryRate } from './report.ts';
import { median } from './statistics.ts';
import { within } from './within.ts';

/** Threads run the compiled file, also where a test runs this one from source. */
const THREAD = new URL('../dist/memory-thread.js', import.meta.url);
const DEADLINE_MS = 60_000;

/** What a thread is asked for. */
export interface CopyOrder {
  readonly seconds: number;
  readonly numBytes: number;
}

/** More than the caches of a core, and of most processors. */
const NUM_BYTES = 64 * 2 ** 20;

/** @param seconds that each of the two measurements takes, about */
export async function measureMemory(seconds: number, signal: AbortSignal | undefined): Promise<MemoryRate> {
  const oneThread = await copyWith(1, seconds, signal);
  const numThreads = availableParallelism();
  return { oneThread, allThreads: numThreads === 1 ? oneThread : await copyWith(numThreads, seconds, signal) };
}

async function copyWith(numThreads: number, seconds: number, signal: AbortSignal | undefined): Promise<number> {
  const order: CopyOrder = { seconds, numBytes: NUM_BYTES };
  const threads = Array.from({ length: numThreads }, () => new Worker(THREAD, { workerData: order, execArgv: [] }));
  try {
    const rates = threads.map(
      (thread) =>
        new Promise<number>((resolve, reject) => {
          thread.once('message', (rates: number[]) => resolve(median(rates)));
          thread.once('error', reject);
        }),
    );
    const each = await within(DEADLINE_MS, signal, 'copying memory', Promise.all(rates));
    return each.reduce((sum, rate) => sum + rate, 0);
  } finally {
    await Promise.all(threads.map((thread) => thread.terminate()));
  }
}
