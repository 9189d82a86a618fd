/**
 * The session of a tab: the Web Worker that talks with the coordinator and gives work to the lanes. All timers are here,
 * since browsers slow down those of a page that nobody looks at.
 */
import { LockstepError } from '@lockstep/core';
import { askStatus, joinTab, type LanePort } from '@lockstep/worker/browser';
import type { FromSession, Outcome, StartOptions, ToSession } from './messages.ts';
import { TabRecord } from './view.ts';

const VIEW_INTERVAL_MS = 250;
const STATUS_MS = 10_000;
/** A phone that was put away for a while should still be there when it is taken out. */
const PATIENCE_MS = 15 * 60_000;

const scope = self as unknown as {
  postMessage(message: FromSession): void;
  onmessage: ((event: MessageEvent<ToSession>) => void) | null;
};
const stop = new AbortController();

const startLane = (): LanePort =>
  new Worker(new URL('./lane.worker.ts', import.meta.url), { type: 'module', name: 'lane' });

async function run({ url, token, ...options }: StartOptions): Promise<void> {
  const coordinator = new URL(url);
  const record = new TabRecord();
  let isChanged = true;
  let epoch = 0;
  const refresh = async (): Promise<void> => {
    const signal = AbortSignal.any([stop.signal, AbortSignal.timeout(STATUS_MS)]);
    record.status(await askStatus({ url: coordinator, token }, signal));
    isChanged = true;
  };
  const timer = setInterval(() => {
    if (isChanged) scope.postMessage({ kind: 'view', view: record.view(performance.now()) });
    isChanged = false;
  }, VIEW_INTERVAL_MS);
  let outcome: Outcome = { kind: 'finished' };
  try {
    await joinTab(
      {
        ...options,
        url: coordinator,
        token,
        patienceMs: PATIENCE_MS,
        startLane,
        onStatus: (status) => {
          record.status(status);
          isChanged = true;
        },
        onEvent: (event) => {
          record.event(event, performance.now());
          isChanged = true;
          if (event.event !== 'step' || event.epoch === epoch) return;
          epoch = event.epoch;
          // Only for display; the next epoch brings the next.
          refresh().catch(() => {});
        },
      },
      stop.signal,
    );
    if (stop.signal.aborted) outcome = { kind: 'stopped' };
    else await refresh().catch(() => {});
  } catch (error) {
    outcome = stop.signal.aborted ? { kind: 'stopped' } : failure(error);
  }
  clearInterval(timer);
  scope.postMessage({ kind: 'ended', outcome, view: record.view(performance.now()) });
}

function failure(error: unknown): Outcome {
  const { message } = error as Error;
  if (!(error instanceof LockstepError)) return { kind: 'failed', message, nextStep: 'Load the page again.' };
  const { code } = (error.cause ?? {}) as { code?: unknown };
  if (code === 'token') return { kind: 'token' };
  return { kind: 'failed', message, nextStep: error.nextStep };
}

scope.onmessage = ({ data }) => {
  if (data.kind === 'start') void run(data.options);
  else stop.abort();
};
