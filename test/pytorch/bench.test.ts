/** `lockstep bench accuracy` with PyTorch beside it, as a user runs it. No test looks at how fast anything is. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { benchReport } from '@lockstep/bench';
import { loadModel, type TrainOptions } from '@lockstep/coordinator';
import { describe, expect, it } from 'vitest';
import { torchJob } from '../../packages/bench/src/torch-job.ts';
import { type TorchEvent, trainWithTorch } from '../../packages/bench/src/torch-run.ts';
import { lockstep, offline, ROOT, Running, smallDataset, temporaryFolder } from '../lockstep.ts';
import { missing, torchPython } from './python.ts';

const env = { ...offline(), LOCKSTEP_DATA_DIR: smallDataset(1000, 200) };
const PATIENTLY = { timeout: 240_000 };
const benchOf = (...args: string[]): string[] => ['bench', 'accuracy', '--json', '--pytorch', torchPython!, ...args];

/** Processes that were started by `parent` and run the program that trains in PyTorch. */
function trainersOf(parent: number | undefined): string[] {
  return readdirSync('/proc').filter((pid) => {
    try {
      const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
      const ppid = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ')[1];
      return command.includes('train_recipe.py') && ppid === String(parent);
    } catch {
      return false;
    }
  });
}

describe.skipIf(!torchPython)(`lockstep bench accuracy with PyTorch (${missing})`, PATIENTLY, () => {
  it('trains the same recipe with both, in turns, and learns with both', async () => {
    const cwd = temporaryFolder();
    const size = ['--models', 'mlp', '--seeds', '2', '--epochs', '4', '--limit-train', '600', '--limit-test', '100'];
    const { code, stderr, events } = await lockstep(benchOf(...size, '--targets', '0.3,1', '--out', 'out'), env, cwd);
    expect(code, stderr).toBe(0);
    const report = benchReport.parse(events.at(-1).report);
    if (report.kind !== 'accuracy') throw new Error(report.kind);
    const order = report.runs.map(({ framework, seed }) => [framework, seed]);
    expect(order).toEqual([
      ['lockstep', 0],
      ['pytorch', 0],
      ['pytorch', 1],
      ['lockstep', 1],
    ]);
    expect(report.skipped).toEqual([]);
    expect(report.pytorch).toMatchObject({ version: expect.stringMatching(/^\d/), layouts: { mlp: ['contiguous'] } });
    for (const { framework, epochs, accuracy, seconds, reached, weightsSha256, data } of report.runs) {
      expect(epochs).toHaveLength(4);
      expect(epochs.at(-1)).toEqual({ seconds, accuracy });
      expect(epochs.map((epoch) => epoch.seconds)).toEqual(epochs.map((epoch) => epoch.seconds).sort((a, b) => a - b));
      // Of ten classes, and drawn so that they are easily told apart.
      expect(accuracy).toBeGreaterThan(0.3);
      expect(reached).toEqual([epochs.find((epoch) => epoch.accuracy >= 0.3)!.seconds, null]);
      expect(weightsSha256 === null).toBe(framework === 'pytorch');
      expect(data).toBe('fashion-mnist');
    }
    expect(readFileSync(join(cwd, 'out/bench.md'), 'utf8')).toContain('mlp in PyTorch');
    // Beside the sources nothing is left.
    expect(readdirSync(join(ROOT, 'packages/bench/python'))).not.toContain('__pycache__');
  });

  async function trained(model: string, options: TrainOptions): Promise<TorchEvent[]> {
    const data = { folder: env.LOCKSTEP_DATA_DIR, numTrain: 1000 };
    const job = torchJob(await loadModel(model), { model, limitTest: 100, ...options }, data);
    const events: TorchEvent[] = [];
    for await (const event of trainWithTorch(torchPython!, job, undefined)) events.push(event);
    return events;
  }

  it.each(['sgd', 'adam', 'adamw', 'muon'] as const)(
    'learns with everything that a recipe can ask for, and %s',
    async (name) => {
      const extras = {
        flip: true,
        shift: 2,
        erase: 0.5,
        ema: 0.9,
        testFlip: true,
        testShift: 1,
        labelSmoothing: 0.1,
        weightDecay: 0.01,
      };
      const learningRate = name === 'sgd' ? 0.1 : 0.005;
      const events = await trained('mlp', { optimizer: name, ...extras, learningRate, epochs: 5, batchSize: 64 });
      expect(events.map(({ event }) => event)).toEqual(['ready', ...Array(5).fill('epoch')]);
      expect((events.at(-1) as Extract<TorchEvent, { event: 'epoch' }>).accuracy).toBeGreaterThan(0.3);
    },
  );

  it('takes one of the memory layouts for a net with convolutions', async () => {
    const events = await trained('cnn', { limitTrain: 64, batchSize: 16, epochs: 1 });
    expect(events[0]).toMatchObject({ layout: expect.stringMatching(/^(contiguous|channels_last)$/) });
    expect(events).toHaveLength(2);
  });

  it.skipIf(!existsSync('/proc/self/stat')).each(['SIGINT', 'SIGKILL'] as const)(
    'leaves no process behind after %s (skipped where there is no /proc)',
    async (signal) => {
      const cwd = temporaryFolder();
      const run = new Running(benchOf('--models', 'mlp', '--epochs', '1', '--out', 'out'), env, cwd);
      await run.event(({ event, subject }) => event === 'subject' && subject.includes('PyTorch'));
      let trainers: string[] = [];
      while (trainers.length === 0) {
        await sleep(20);
        trainers = trainersOf(run.child.pid);
      }
      run.kill(signal);
      const { code } = await run.end;
      expect(code).toBe(signal === 'SIGINT' ? 130 : null);
      for (const pid of trainers) {
        for (let i = 0; i < 2000 && existsSync(`/proc/${pid}`); i++) await sleep(50);
        expect(existsSync(`/proc/${pid}`)).toBe(false);
      }
      expect(readdirSync(cwd)).toEqual([]);
    },
  );
});
