/** The way into a run as a remote worker: everything from the first dial to the end of the run, as a stream of events. */
import { LockstepError } from '@lockstep/core';
import type { JoinEvent } from '@lockstep/protocol';
import { PartitionCache } from './cache.ts';
import { dial } from './dial.ts';
import type { RemoteJob } from './job.ts';
import { Mailbox } from './mailbox.ts';
import { openThreadPool } from './open-pool.ts';
import { type JoinConfig, type JoinOptions, resolveJoin } from './options.ts';
import { type JoinSettings, SETTINGS } from './settings.ts';
import { follow } from './within.ts';
import { work } from './work.ts';

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
  const running = run(config, settings, (event) => events.push(event), stop.signal).finally(() => events.end('keep'));
  // It is looked at when the events have ended.
  running.catch(() => {});
  try {
    yield* events;
    await running;
  } finally {
    unfollow();
    stop.abort();
    await running.catch(() => {});
  }
}

async function run(
  config: JoinConfig,
  settings: JoinSettings,
  emit: (event: JoinEvent) => void,
  signal: AbortSignal,
): Promise<void> {
  const notice = (message: string): void => emit({ event: 'notice', message });
  const options = {
    config: { ...config, runtime: 'node' as const },
    settings,
    dial: (signal: AbortSignal) => dial(config, settings, signal),
    // A part that grows is touched at least once in the time that an answer may take.
    store: new PartitionCache(config.cacheDir, 2 * settings.partMs, notice),
    openPool: (job: RemoteJob, signal: AbortSignal) =>
      openThreadPool(job, { config, settings, onRecovery: notice }, signal),
    emit,
  };
  const { samples, steps, seconds } = await work(options, signal);
  if (signal.aborted) throw interrupted(config, samples);
  emit({ event: 'finished', samples, steps, seconds });
}

const interrupted = ({ url }: JoinConfig, samples: number): LockstepError =>
  new LockstepError(
    'interrupted',
    `Left the run after ${samples.toLocaleString('en-US')} samples; it goes on without this worker.`,
    `Join again with: lockstep join ${url.href}`,
  );
