/** On what, and beside what, something is measured. */
import { availableParallelism, cpus, loadavg, platform, release, totalmem } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { VERSION } from '@lockstep/coordinator';
import type { Load, Machine } from './report.ts';

/** How long other processes are watched. */
const WATCH_MS = 500;
/** Others may have this share of all cores. */
const MAX_BUSY = 0.1;

export function describeMachine(): Machine {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    platform: `${platform()}-${process.arch}`,
    release: release(),
    node: process.version,
    lockstep: VERSION,
  };
}

/** Processor time of all cores since the start of the system, in milliseconds. */
function processorTimes(): { readonly idle: number; readonly total: number } {
  let idle = 0;
  let total = 0;
  for (const { times } of cpus()) {
    idle += times.idle;
    total += times.user + times.nice + times.sys + times.idle + times.irq;
  }
  return { idle, total };
}

/** Watches for a moment what the machine does while this process does nothing. */
export async function observeLoad(): Promise<Load> {
  const before = processorTimes();
  await sleep(WATCH_MS);
  const after = processorTimes();
  const total = after.total - before.total;
  // Where the system does not tell, it is taken for idle; its load average still stands in the report.
  const busy = total > 0 ? 1 - (after.idle - before.idle) / total : 0;
  const [one = 0, five = 0, fifteen = 0] = loadavg();
  const warning =
    busy > MAX_BUSY
      ? `${Math.round(busy * 100)} % of its processor time went elsewhere before the start; rates are too low by about as much, and intervals wide.`
      : null;
  return { average: [one, five, fifteen], busy, warning };
}
