/** Ctrl-C: the first asks the run to save and stop, the second, or a minute without an answer, ends the process. */
import type { Output } from './output.ts';

export const INTERRUPTED = 130;
const GRACE_MS = 60_000;

/** An abort signal that SIGINT and SIGTERM trigger. */
export function interruptible(output: Output): AbortSignal {
  const controller = new AbortController();
  const handle = (): void => {
    if (controller.signal.aborted) process.exit(INTERRUPTED);
    output.line('Stopping after this step; press Ctrl-C again to stop at once.');
    controller.abort();
    setTimeout(() => process.exit(INTERRUPTED), GRACE_MS).unref();
  };
  process.on('SIGINT', handle);
  process.on('SIGTERM', handle);
  return controller.signal;
}
