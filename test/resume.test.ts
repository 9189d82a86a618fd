/** A run that was ended in any way goes on to the same bits. */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { finished, lockstep, offline, smallDataset, start, temporaryFolder } from './lockstep.ts';

const dataDir = smallDataset(2000, 100);
/** Steps are many and short: the recipe's optimizer would take longer than the gradients of so few pictures. */
const job = ['--model', 'mlp', '--optimizer', 'adam', '--epochs', '6', '--batch-size', '40', '--schedule', 'cosine'];
const begin = ['train', ...job, '--data-dir', dataDir, '--run-dir', 'run', '--checkpoint-every', '7', '--json'];
const goOn = ['train', '--resume', 'run', '--data-dir', dataDir, '--json'];

let quiet: string;
beforeAll(async () => {
  const { events } = await lockstep(begin, offline(), temporaryFolder());
  quiet = events.at(-1).weightsSha256;
});

/** Ends a process when it reports a step at or after the given one. */
async function endAtStep(args: readonly string[], cwd: string, step: number, signal: 'SIGKILL' | 'SIGINT' | 'SIGTERM') {
  const child = start([...args, '--log-every', '1'], offline(), cwd);
  const end = finished(child);
  let sent = false;
  child.stdout?.on('data', (text: string) => {
    const steps = [...text.matchAll(/"runStep":(\d+),"loss"/g)].map(([, runStep]) => Number(runStep));
    if (!sent && steps.some((runStep) => runStep >= step)) sent = child.kill(signal);
  });
  return end;
}

const checkpoints = (cwd: string): string[] => readdirSync(join(cwd, 'run', 'checkpoints')).sort();

describe('lockstep train --resume', () => {
  it('gives the same weights after kill -9, again and again', async () => {
    const cwd = temporaryFolder();
    await endAtStep(begin, cwd, 20, 'SIGKILL');
    await endAtStep(goOn, cwd, 90, 'SIGKILL');
    await endAtStep([...goOn, '--workers', '1'], cwd, 200, 'SIGKILL');
    const { code, events, stderr } = await lockstep([...goOn, '--workers', '3'], offline(), cwd);
    expect(code, stderr).toBe(0);
    const resumed = events.find(({ event }) => event === 'resumed');
    expect(resumed.runStep).toBeGreaterThanOrEqual(7);
    expect(events.at(-1).weightsSha256).toBe(quiet);
    expect(checkpoints(cwd).filter((name) => name.endsWith('.json')).length).toBeLessThanOrEqual(3);
  });

  it.each(['SIGINT', 'SIGTERM'] as const)('goes on at the very step after %s', async (signal) => {
    const cwd = temporaryFolder();
    const { code, events, stderr } = await endAtStep(begin, cwd, 30, signal);
    expect(code).toBe(130);
    expect(stderr).toMatch(/Go on with: lockstep train --resume run/);
    const lastStep = events.filter(({ event }) => event === 'step').at(-1).runStep;
    const rest = await lockstep(goOn, offline(), cwd);
    expect(rest.events.find(({ event }) => event === 'resumed').runStep).toBe(lastStep);
    expect(rest.events.at(-1)).toMatchObject({ event: 'done', weightsSha256: quiet, samples: 12_000 });
  });

  it('takes the checkpoint before a damaged one, and says so', async () => {
    const cwd = temporaryFolder();
    await endAtStep(begin, cwd, 60, 'SIGINT');
    const folder = join(cwd, 'run', 'checkpoints');
    const [truncated, ...older] = checkpoints(cwd)
      .filter((name) => name.endsWith('.safetensors'))
      .reverse();
    const bytes = readFileSync(join(folder, truncated!));
    writeFileSync(join(folder, truncated!), bytes.subarray(0, bytes.length / 2));
    writeFileSync(join(folder, older[0]!.replace('.safetensors', '.json')), '{"job":');
    const { code, events, stderr } = await lockstep(goOn, offline(), cwd);
    expect(code, stderr).toBe(0);
    expect(events.filter(({ event }) => event === 'error')).toHaveLength(2);
    expect(stderr).toMatch(/checksum of .* is wrong/);
    expect(events.at(-1).weightsSha256).toBe(quiet);
  });

  it('begins again when no checkpoint is left', async () => {
    const cwd = temporaryFolder();
    await endAtStep(begin, cwd, 10, 'SIGINT');
    rmSync(join(cwd, 'run', 'checkpoints'), { recursive: true });
    const { events } = await lockstep(goOn, offline(), cwd);
    expect(events.find(({ event }) => event === 'resumed')).toMatchObject({ epoch: 1, step: 0 });
    expect(events.at(-1).weightsSha256).toBe(quiet);
  });

  it('finds the latest run, and refuses a finished one and another recipe', async () => {
    const cwd = temporaryFolder();
    const args = begin.filter((argument) => argument !== '--run-dir' && argument !== 'run');
    await endAtStep(args, cwd, 10, 'SIGINT');
    const resume = ['train', '--resume', 'latest', '--data-dir', dataDir, '--json'];
    const other = await lockstep([...resume, '--learning-rate', '0.1'], offline(), cwd);
    expect(other.code).toBe(2);
    expect(other.stderr).toMatch(/keeps its own learningRate/);
    const { events } = await lockstep(resume, offline(), cwd);
    expect(events.at(-1).weightsSha256).toBe(quiet);
    const again = await lockstep(resume, offline(), cwd);
    expect(again.code).toBe(2);
    expect(again.stderr).toMatch(/is finished/);
  });

  it('does not take a checkpoint of other data', async () => {
    const cwd = temporaryFolder();
    await endAtStep(begin, cwd, 10, 'SIGINT');
    const args = ['train', '--resume', 'run', '--data-dir', smallDataset(1999, 100), '--json'];
    const { events } = await lockstep(args, offline(), cwd);
    expect(events.find(({ event }) => event === 'error').message).toMatch(/belongs to another model, dataset/);
  });
});

describe('checkpoints that cannot be written', () => {
  it('do not stop the training', async () => {
    const cwd = temporaryFolder();
    mkdirSync(join(cwd, 'run'));
    // A file where the folder should be: writing fails whoever runs the test.
    writeFileSync(join(cwd, 'run', 'checkpoints'), '');
    const { code, events } = await lockstep(begin, offline(), cwd);
    expect(code).toBe(0);
    expect(events.find(({ event }) => event === 'error')).toMatchObject({ fatal: false, code: 'checkpoint-failed' });
    expect(events.at(-1).weightsSha256).toBe(quiet);
  });
});
