/** A worker from its first dial to the end of the run, wherever it runs. */
import { LockstepError } from '@lockstep/core';
import type { JoinEvent } from '@lockstep/protocol';
import { JobKeeper } from './prepared-job.ts';
import { connections, type Dial, type ReconnectConfig } from './reconnect.ts';
import type { OpenPool, PartitionStore } from './roles.ts';
import { type SessionConfig, serve } from './session.ts';
import type { SessionSettings } from './session-settings.ts';
import { Totals } from './totals.ts';

export interface WorkOptions {
  readonly config: SessionConfig & ReconnectConfig;
  readonly settings: SessionSettings;
  readonly dial: Dial;
  readonly store: PartitionStore;
  readonly openPool: OpenPool;
  readonly emit: (event: JoinEvent) => void;
}

/**
 * Works until the run is over, or `signal` is aborted.
 * @returns what was done
 * @throws LockstepError when this worker can do nothing any more
 */
export async function work(options: WorkOptions, signal: AbortSignal): Promise<Totals> {
  const { config, settings, dial, store, openPool, emit } = options;
  const jobs = new JobKeeper({ openPool, store, signal });
  const totals = new Totals();
  try {
    for await (const connection of connections(dial, config, settings, emit, signal)) {
      await serve(connection, { config, settings, store, jobs, totals, emit }, signal);
    }
  } catch (error) {
    // What an abort leads to is for the caller to tell.
    if (!signal.aborted || error instanceof LockstepError) throw error;
  } finally {
    await jobs.close();
  }
  return totals;
}
