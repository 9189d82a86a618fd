/** Ctrl-C: the first asks the run to save and stop, the second, or a minute without an answer, ends the process. */
import type { Output } from './output.ts';

export const INTERRUPTED = 130;
const GRACE_MS = 60_000;
/** npm hands on the signal that the terminal or a scheduler has sent already: the second copy is no second wish. */
const ECHO_MS = 1_000;

/** An abort signal that SIGINT and SIGTERM trigger. @param stopping what is said then */
export function interruptible(output: Output, stopping = 'Stopping after this step'): AbortSignal {
  const controller = new AbortController();
  let first: number | undefined;
  const handle = (): void => {
    if (first !== undefined && performance.now() - first < ECHO_MS) return;
    if (first !== undefined) die('SIGINT');
    first = performance.now();
    output.line(`${stopping}; press Ctrl-C again to stop at once.`);
    controller.abort();
    setTimeout(() => die('SIGINT'), GRACE_MS).unref();
  };
  process.on('SIGINT', handle);
  process.on('SIGTERM', handle);
  return controller.signal;
}

/**
 * Ends the process as the system does by default. `process.exit` would first end the threads one by one, and ONNX Runtime
 * cannot be interrupted in the middle of a call. A shell reports 130 for SIGINT.
 */
export function die(signal: 'SIGINT' | 'SIGKILL'): void {
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
}
