/** The way into a run as a tab: everything from the first dial to the end of the run. */
import type { WebDevice } from '@lockstep/engine/browser';
import type { JoinEvent, RunStatus } from '@lockstep/protocol';
import type { RemoteJob } from '../remote/job.ts';
import type { OpenedPool } from '../remote/roles.ts';
import { SESSION_SETTINGS } from '../remote/session-settings.ts';
import { work } from '../remote/work.ts';
import { dial } from './dial.ts';
import { Lane, type StartLane } from './lane-client.ts';
import { TabPool } from './pool.ts';
import { TabStore } from './store.ts';

export interface TabOptions {
  /** Of the coordinator: http:// or https://, without a path. */
  readonly url: URL;
  readonly token: string | undefined;
  /** What the coordinator calls this worker. */
  readonly name: string;
  /** Engines side by side, where they compute on the processor. */
  readonly numLanes: number;
  readonly device: WebDevice;
  /** How long to look for a coordinator before giving up. */
  readonly patienceMs: number;
  readonly startLane: StartLane;
  readonly onEvent: (event: JoinEvent) => void;
  /** How the run stands, at each dial. */
  readonly onStatus: (status: RunStatus) => void;
}

/**
 * Works for a coordinator until its run is over, dialling again whenever the connection is lost, or until `signal` is
 * aborted.
 * @throws LockstepError `coordinator-refused`, `coordinator-unreachable`, or what keeps the engine from working
 */
export async function joinTab(options: TabOptions, signal: AbortSignal): Promise<void> {
  const { url, token, name, numLanes, patienceMs, onEvent, onStatus } = options;
  const { dialMs, closeMs } = SESSION_SETTINGS;
  const store = new TabStore();
  const { samples, steps, seconds } = await work(
    {
      config: { url, patienceMs, name, numThreads: numLanes, runtime: 'browser' },
      settings: SESSION_SETTINGS,
      dial: (signal) => dial({ url, token, dialMs, closeMs, onStatus }, signal),
      store,
      openPool: async (job, signal) => {
        await store.keepOnly(job.partitions);
        return openPool(job, options, signal);
      },
      emit: onEvent,
    },
    signal,
  );
  if (!signal.aborted) onEvent({ event: 'finished', samples, steps, seconds });
}

/** Opens one engine first: where that computes on a GPU, more would only wait for it. */
async function openPool(
  job: RemoteJob,
  { numLanes, device, startLane }: TabOptions,
  signal: AbortSignal,
): Promise<OpenedPool> {
  const { topology, labelSmoothing, augmentation, reduction, seed, numShards } = job;
  const setup = { topology, labelSmoothing, augmentation, reduction, seed, numShards };
  const lanes = [new Lane(startLane)];
  const close = (): void => {
    for (const lane of lanes) lane.close();
  };
  signal.addEventListener('abort', close, { once: true });
  try {
    const engine = await lanes[0]!.open({ ...setup, device });
    if (engine.device === 'wasm') {
      const others = Array.from({ length: Math.min(numLanes, numShards) - 1 }, () => new Lane(startLane));
      lanes.push(...others);
      await Promise.all(others.map((lane) => lane.open({ ...setup, device: 'wasm' })));
    }
    signal.throwIfAborted();
    return { engine, pool: new TabPool(job, lanes), sketch: engine.sketch };
  } catch (error) {
    close();
    throw error;
  } finally {
    signal.removeEventListener('abort', close);
  }
}
