/**
 * The Slurm deployment on a real Slurm: a worker is cancelled, the coordinator put back into the queue, another worker added, and
 * the weights are the same. Skipped where Slurm is not installed (Debian: apt install slurm-wlm munge).
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TrainEvent } from '@lockstep/protocol';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { missingPrograms, Slurm } from './deploy/slurm.ts';
import { lockstep, offline, ROOT, smallDataset } from './lockstep.ts';

const missing = missingPrograms();
const slurm = new Slurm();
const dataDir = smallDataset(1600, 100);
const run = join(slurm.folder, 'run');
// Steps of some length, so that there is time to disturb them.
const NUM_STEPS = 75;
const recipe = ['--model', 'cnn', '--optimizer', 'adam', '--epochs', '3', '--batch-size', '64'];
const job = [...recipe, '--shards', '8', '--data-dir', dataDir];

let failure: string | undefined;
beforeAll(async () => {
  if (missing.length > 0) return;
  await slurm.start().catch((error: Error) => {
    failure = error.message;
  });
});
afterAll(() => slurm.stop());

function events(): TrainEvent[] {
  try {
    const lines = readFileSync(join(run, 'metrics.jsonl'), 'utf8').split('\n');
    // The last line may be on its way.
    return lines.slice(0, -1).map((line) => JSON.parse(line) as TrainEvent);
  } catch {
    return [];
  }
}

const stepsDone = (): number => events().filter(({ event }) => event === 'step').length;

function logs(): string {
  const names = readdirSync(slurm.folder).filter((name) => name.endsWith('.log'));
  return names.map((name) => `${name}:\n${readFileSync(join(slurm.folder, name), 'utf8').slice(-2000)}`).join('\n');
}

/** Waits until something of the run is so; tells what Slurm and Lockstep said when it never is. */
async function until(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
  for (let i = 0; i < 600; i++) {
    if (await isSo()) return;
    await sleep(200);
  }
  throw new Error(`Never came: ${what}\n${logs()}`);
}

/** Whether the run waits for workers because one has left. */
function isPaused(): boolean {
  const left = events().findIndex((event) => event.event === 'worker' && event.state === 'left');
  return left >= 0 && events().some((event, i) => i > left && event.event === 'waiting' && event.ready === 2);
}

/** Submits tasks of the script for the same run. Returns the job. */
const submit = (tasks: string, ...args: readonly string[]): Promise<string> =>
  slurm.run(
    'sbatch',
    [
      '--parsable',
      `--array=${tasks}`,
      '--cpus-per-task=1',
      '--time=10',
      join(ROOT, 'deploy/slurm/lockstep.sbatch'),
      ...args,
    ],
    { ...offline(), LOCKSTEP_HOME: ROOT, LOCKSTEP_RUN: run },
  );

describe.skipIf(missing.length > 0)(`deploy/slurm${missing.length > 0 ? ` (needs ${missing.join(', ')})` : ''}`, () => {
  it('ends with the weights of an undisturbed run', { timeout: 300_000 }, async ({ skip }) => {
    if (failure !== undefined) return skip(`Slurm does not start here: ${failure}`);
    const { events: quiet } = await lockstep(['train', ...job, '--workers', '2', '--json']);

    // Without one of the three it pauses, so nothing here depends on how fast the machine is.
    const array = await submit('0-2', ...job, '--min-workers', '3', '--log-every', '1');
    await until('steps of three', () => stepsDone() > 5);
    await slurm.run('scancel', [`${array}_1`]);
    await until('a pause', isPaused);
    const before = stepsDone();
    await slurm.run('scontrol', ['requeue', `${array}_0`]);
    await until('the resumed run', () => events().some(({ event }) => event === 'resumed'));
    const more = await submit('1');
    await until('the end', () => events().some(({ event }) => event === 'done'));

    expect(events().at(-1)).toMatchObject({ event: 'done', weightsSha256: quiet.at(-1).weightsSha256 });
    // When it was put back it saved what was done: nothing was computed twice.
    expect(before).toBeLessThan(NUM_STEPS);
    expect(stepsDone()).toBe(NUM_STEPS);
    await until('the end of the tasks', async () => (await slurm.run('squeue', ['--noheader'])) === '');
    const tasks = [`${array}_0`, `${array}_1`, `${array}_2`, `${more}_1`];
    const states = await Promise.all(tasks.map((task) => slurm.state(task)));
    expect(states, logs()).toEqual(['COMPLETED', 'CANCELLED', 'COMPLETED', 'COMPLETED']);
  });
});
