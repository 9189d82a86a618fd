/** What tests begin with: a coordinator and a worker that dials it; both are gone after the test. */
import { afterEach } from 'vitest';
import { ScriptedCoordinator, type ScriptedPeer } from './coordinator.ts';
import { positionOf } from './job.ts';
import { TestWorker, type TestWorkerOptions } from './worker.ts';

const open: { close(): unknown }[] = [];
afterEach(async () => {
  for (const each of open.splice(0).reverse()) await each.close();
});

/** Closes it after the test. */
export function opened<T extends { close(): unknown }>(each: T): T {
  open.push(each);
  return each;
}

export const openWorker = (url: string, options?: TestWorkerOptions): TestWorker =>
  opened(new TestWorker(url, options));

export async function pair(options?: TestWorkerOptions) {
  const coordinator = opened(await ScriptedCoordinator.open());
  return { coordinator, worker: openWorker(coordinator.url, options) };
}

let assignments = 0;

/** Sends work at a step, on the shards [from, to). @param slices of its result */
export function assign(peer: ScriptedPeer, runStep: number, from: number, to: number, slices?: number): number {
  const assignment = ++assignments;
  const work = { type: 'work', assignment, generation: 7, ...positionOf(runStep), from, to } as const;
  peer.send(slices === undefined ? work : { ...work, slices });
  return assignment;
}

export const sendParameters = (peer: ScriptedPeer, runStep: number, parameters: Uint8Array): void =>
  peer.send({ type: 'parameters', runStep }, parameters);
