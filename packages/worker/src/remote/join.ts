/** The way into a run as a remote worker: everything from the first dial to the end of the run, as a stream of events. */
import { LockstepError } from '@lockstep/core';
import type { JoinEvent } from '@lockstep/protocol';
import { PartitionCache } from './cache.ts';
import { Mailbox } from './mailbox.ts';
import { type JoinConfig, type JoinOptions, resolveJoin } from './options.ts';
import { JobKeeper } from './prepared-job.ts';
import { connections } from './reconnect.ts';
import { serve } from './session.ts';
import { type JoinSettings, SETTINGS } from './settings.ts';
import { Totals } from './totals.ts';
import { follow } from './within.ts';

export interface JoinContext {
  readonly signal: AbortSignal | undefined;
}

/**
 * Works for a coordinator until its run is over, dialling again whenever the connection is lost. Work goes on while an
 * event is looked at. Leaving the loop, or aborting `context.signal`, ends the worker and its threads.
 *
 * @throws LockstepError with a code and a next step: `coordinator-refused`, `coordinator-unreachable`, `interrupted`
 *   when aborted, or what keeps the engine or the pool from working
 */
export async function* join(
  options: JoinOptions,
  context: JoinContext,
  settings: JoinSettings = SETTINGS,
): AsyncGenerator<JoinEvent, void, void> {
  const config = await resolveJoin(options);
  const events = new Mailbox<JoinEvent>();
  const stop = new AbortController();
  const unfollow = follow(context.signal, stop);
  const work = run(config, settings, (event) => events.push(event), stop.signal).finally(() => events.end('keep'));
  // It is looked at when the events have ended.
  work.catch(() => {});
  try {
    yield* events;
    await work;
  } finally {
    unfollow();
    stop.abort();
    await work.catch(() => {});
  }
}

async function run(
  config: JoinConfig,
  settings: JoinSettings,
  emit: (event: JoinEvent) => void,
  signal: AbortSignal,
): Promise<void> {
  const notice = (message: string): void => emit({ event: 'notice', message });
  // A part that grows is touched at least once in the time that an answer may take.
  const cache = new PartitionCache(config.cacheDir, 2 * settings.partMs, notice);
  const jobs = new JobKeeper({ config, settings, cache, onRecovery: notice, signal });
  const totals = new Totals();
  try {
    for await (const connection of connections(config, settings, emit, signal)) {
      await serve(connection, { config, settings, cache, jobs, totals, emit }, signal);
    }
  } catch (error) {
    // What an abort leads to is told below.
    if (!signal.aborted || error instanceof LockstepError) throw error;
  } finally {
    await jobs.close();
  }
  const { samples, steps, seconds } = totals;
  if (signal.aborted) throw interrupted(config, samples);
  emit({ event: 'finished', samples, steps, seconds });
}

const interrupted = ({ url }: JoinConfig, samples: number): LockstepError =>
  new LockstepError(
    'interrupted',
    `Left the run after ${samples.toLocaleString('en-US')} samples; it goes on without this worker.`,
    `Join again with: lockstep join ${url.href}`,
  );
