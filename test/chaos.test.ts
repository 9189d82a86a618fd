/** Real processes that are killed, stopped and replaced at random moments of a run: the weights stay the same. */
import { setTimeout as sleep } from 'node:timers/promises';
import { purposes, RandomStream } from '@lockstep/core';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { lockstep, offline, Running, smallDataset, temporaryFolder } from './lockstep.ts';

const NUM_DISTURBANCES = 10;
const dataDir = smallDataset(2000, 100);
const job = ['--model', 'cnn', '--epochs', '2', '--batch-size', '40', '--shards', '8', '--data-dir', dataDir];
/** Shared, so that new workers find the data. */
const env = offline();

const running: Running[] = [];
afterEach(async () => {
  for (const process of running) process.kill('SIGKILL');
  await Promise.all(running.splice(0).map(({ end }) => end));
});

function run(args: readonly string[], cwd = temporaryFolder()): Running {
  const process = new Running(args, env, cwd);
  running.push(process);
  return process;
}

let quiet: string;
beforeAll(async () => {
  const { events } = await lockstep(['train', ...job, '--workers', '1', '--json'], env);
  quiet = events.at(-1).weightsSha256;
});

const isStepFrom =
  (first: number) =>
  ({ event, runStep }: { event: string; runStep: number }): boolean =>
    event === 'step' && runStep >= first;

/** Kills or stops workers at random and starts others, at ten moments of the run. */
async function disturb(coordinator: Running, url: string, random: RandomStream): Promise<string[]> {
  const start = (): Running => run(['join', url, '--workers', '1', '--json']);
  const workers = [start(), start(), start()];
  const done: string[] = [];
  for (let i = 0; i < NUM_DISTURBANCES; i++) {
    await coordinator.event(isStepFrom(4 + i * 9));
    await sleep(random.below(60));
    const [worker] = workers.splice(random.below(workers.length), 1);
    workers.push(start());
    if (i % 2 === 0) {
      worker!.kill('SIGKILL');
      done.push('killed');
    } else {
      worker!.kill('SIGSTOP');
      done.push('stopped');
      // It may wake up when nobody counts on it any more, or still in time.
      setTimeout(() => worker!.kill('SIGCONT'), 200 + random.below(9_000)).unref();
    }
  }
  return done;
}

describe('a run whose workers are killed and stopped at random moments', () => {
  it.each([1, 2])(
    'gives the weights of a quiet one (%i)',
    async (seed) => {
      const args = ['--workers', '0', '--min-workers', '2', '--port', '0', '--log-every', '1', '--json'];
      const coordinator = run(['train', ...job, ...args]);
      const { url } = await coordinator.event(({ event }) => event === 'listening');
      const done = await disturb(coordinator, url, new RandomStream(seed, purposes.jitter, 0, 0, 0));
      expect(done).toHaveLength(NUM_DISTURBANCES);
      const { code, events, stderr } = await coordinator.end;
      expect(code, stderr).toBe(0);
      expect(events.at(-1)).toMatchObject({ event: 'done', weightsSha256: quiet, samples: 4000 });
      expect(events.filter(({ event }) => event === 'step').map(({ runStep }) => runStep)).toEqual(
        Array.from({ length: 100 }, (_, i) => i + 1),
      );
      expect(events.filter(({ event, state }) => event === 'worker' && state === 'left').length).toBeGreaterThan(4);
    },
    180_000,
  );

  it('does so too when the coordinator is killed and resumed', async () => {
    const cwd = temporaryFolder();
    // A port of its own: whoever starts without one while the coordinator is down may take the usual one.
    const places = ['--workers', '0', '--min-workers', '2', '--port', '0'];
    const settings = [...places, '--checkpoint-every', '3', '--run-dir', 'run'];
    const told = ['--log-every', '1', '--json'];
    let coordinator = run(['train', ...job, ...settings, ...told], cwd);
    const { url } = await coordinator.event(({ event }) => event === 'listening');
    const start = (): Running => run(['join', url, '--workers', '1', '--json']);
    const workers = [start(), start(), start()];
    for (const step of [10, 45, 70]) {
      await coordinator.event(isStepFrom(step));
      coordinator.kill('SIGKILL');
      workers.pop()!.kill('SIGKILL');
      await coordinator.end;
      workers.push(start());
      coordinator = run(['train', '--resume', 'run', '--data-dir', dataDir, ...told], cwd);
    }
    const { code, events, stderr } = await coordinator.end;
    expect(code, stderr).toBe(0);
    expect(events.at(-1)).toMatchObject({ event: 'done', weightsSha256: quiet });
  }, 180_000);
});
