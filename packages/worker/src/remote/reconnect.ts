/** The connections of a worker, one after the other, until its run is over. */
import { LockstepError } from '@lockstep/core';
import { closeCodes, type JoinEvent, shouldRetry } from '@lockstep/protocol';
import { pauseMs } from './backoff.ts';
import type { Connection, Ending } from './connection.ts';
import { DialFailure } from './refusal.ts';
import type { SessionSettings } from './session-settings.ts';
import { sleep } from './within.ts';

export interface ReconnectConfig {
  /** Of the coordinator. */
  readonly url: URL;
  /** How long to look for it before giving up. */
  readonly patienceMs: number;
}

/** One attempt. @throws DialFailure when another try may succeed, else LockstepError */
export type Dial = (signal: AbortSignal) => Promise<Connection>;

/**
 * Yields each connection that opens, and dials again once it has ended. Ends when the run is over, or the signal was aborted.
 * @throws LockstepError `coordinator-refused`, or `coordinator-unreachable` when there was no welcome for too long
 */
export async function* connections(
  dial: Dial,
  config: ReconnectConfig,
  settings: SessionSettings,
  emit: (event: JoinEvent) => void,
  signal: AbortSignal,
): AsyncGenerator<Connection, void, void> {
  let failures = 0;
  let welcomedAt = performance.now();
  while (!signal.aborted) {
    emit({ event: 'connecting', url: config.url.href, attempt: failures + 1 });
    let failure: DialFailure;
    try {
      const connection = await dial(signal);
      yield connection;
      const ending = await connection.closed;
      if (connection.reached !== 'open') welcomedAt = performance.now();
      if (connection.reached === 'ready') failures = 0;
      if (isOver(ending, config.url)) return;
      failure = new DialFailure(ending.reason);
    } catch (error) {
      if (!(error instanceof DialFailure)) throw error;
      failure = error;
    }
    if (signal.aborted) return;
    failures++;
    const leftMs = welcomedAt + config.patienceMs - performance.now();
    if (leftMs <= 0) throw unreachable(config, failure);
    const { firstPauseMs, longestPauseMs } = settings;
    const jitterMs = pauseMs(failures, firstPauseMs, longestPauseMs, Math.random());
    const retryInMs = Math.min(leftMs, failure.retryAfterMs + jitterMs);
    emit({ event: 'waiting', reason: failure.message, retryInMs });
    await sleep(retryInMs, signal);
  }
}

/** Whether the run is over. @throws LockstepError when it goes on without this worker */
function isOver(ending: Ending, url: URL): boolean {
  if (ending.kind === 'dropped' || shouldRetry(ending.code)) return false;
  if (ending.code === closeCodes.finished) return true;
  throw new LockstepError(
    'coordinator-refused',
    `The coordinator at ${url.host} sent this worker away: ${ending.reason}`,
    'Install the same version of Lockstep on both machines.',
  );
}

function unreachable({ url, patienceMs }: ReconnectConfig, failure: DialFailure): LockstepError {
  return new LockstepError(
    'coordinator-unreachable',
    `No coordinator answered at ${url.href} for ${patienceMs / 1000} s; the last attempt: ${failure.message}.`,
    'Look whether it runs, whether this machine reaches its port, and whether the URL is the one that it shows.',
    { cause: failure },
  );
}
