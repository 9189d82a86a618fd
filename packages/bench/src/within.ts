/** No wait is without an end. */
import { LockstepError } from '@lockstep/core';

export const interrupted = (): LockstepError =>
  new LockstepError('interrupted', 'Interrupted; nothing was written.', 'Measure again, perhaps with --quick.');

/** @throws LockstepError `interrupted` once the signal was aborted */
export function throwIfInterrupted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw interrupted();
}

/**
 * The result of some work, unless it takes too long or the user does not want it any more; the work itself goes on then.
 * @throws LockstepError `worker-timeout`, `interrupted`
 */
export async function within<Result>(
  ms: number,
  signal: AbortSignal | undefined,
  what: string,
  work: Promise<Result>,
): Promise<Result> {
  let timer: NodeJS.Timeout | undefined;
  let abort: (() => void) | undefined;
  try {
    return await Promise.race([
      work,
      new Promise<never>((_, reject) => {
        timer = setTimeout(() => reject(late(what, ms)), ms);
        abort = () => reject(interrupted());
        signal?.addEventListener('abort', abort);
        if (signal?.aborted) abort();
      }),
    ]);
  } finally {
    clearTimeout(timer);
    if (abort) signal?.removeEventListener('abort', abort);
  }
}

const late = (what: string, ms: number): LockstepError =>
  new LockstepError(
    'worker-timeout',
    `There was no answer within ${Math.round(ms / 1000)} s: ${what}.`,
    'Try fewer --workers, or shorter --seconds; nothing was written.',
  );
