/** The command as a user meets it: what it says, what it leaves behind, how it ends. */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { decodeSafetensors } from '@lockstep/core';
import { runEvent } from '@lockstep/protocol';
import { describe, expect, it } from 'vitest';
import { finished, lockstep, offline, smallDataset, start, temporaryFolder } from './lockstep.ts';

/** Command lines of the processes that name something: from /proc, or from ps where there is none. */
function processesNaming(name: string): string[] {
  if (!existsSync('/proc/self/cmdline')) {
    const lines = execFileSync('ps', ['-eo', 'args'], { encoding: 'utf8' }).split('\n');
    return lines.filter((line) => line.includes(name));
  }
  const commandOf = (pid: string): string => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
    } catch {
      return ''; // It ended meanwhile.
    }
  };
  const pids = readdirSync('/proc').filter((entry) => /^\d+$/.test(entry));
  return pids.map(commandOf).filter((command) => command.includes(name));
}

const dataDir = smallDataset(1000, 100);
const small = ['--data-dir', dataDir, '--epochs', '2', '--batch-size', '100'];

describe('lockstep train', () => {
  it('writes events that keep the contract, and nothing else, with --json', async () => {
    const { code, stdout, stderr, events } = await lockstep(['train', ...small, '--json', '--log-every', '5']);
    expect(code, stderr).toBe(0);
    expect(stdout.trim().split('\n')).toHaveLength(events.length);
    for (const event of events) expect(runEvent.parse(event)).toEqual(event);
    expect(events.map(({ event }) => event)).toEqual([
      ...['dataset', 'listening', 'worker', 'model'],
      ...['step', 'step', 'epoch', 'step', 'step', 'epoch', 'done'],
    ]);
    expect(events.at(-1)).toMatchObject({ samples: 2000, testAccuracy: events.at(-2).testAccuracy });
    expect(stderr).toContain('found in the folder given by --data-dir');
  });

  it('says everything that a person wants to know', async () => {
    const { code, stdout } = await lockstep(['train', ...small, '--workers', '2']);
    expect(code).toBe(0);
    expect(stdout).toMatch(/data .*1,000 training and 100 test pictures: found in the folder given by --data-dir/);
    expect(stdout).toMatch(/worker .*2 threads, engine (native|onnx) on cpu: .*fastest/);
    // The recipe's 0.014 is for batches of 2048.
    expect(stdout).toMatch(/model .*mlp, 203,530 parameters; muon, learning rate 0\.00309 \(one-cycle\)/);
    expect(stdout).toMatch(/^2\/2 +\d\.\d{4} +\d+\.\d\d % +\d\.\d{4} +\d+\.\d\d % +[\d,]+ +\d+\.\d s$/m);
    expect(stdout).toMatch(/done .*test accuracy \d+\.\d\d %/);
    expect(stdout).toMatch(/saved in runs\/.*-mlp/);
  });

  it('keeps the run in its folder, from which it can be evaluated', async () => {
    const cwd = temporaryFolder();
    const { events } = await lockstep(['train', ...small, '--json'], offline(), cwd);
    const done = events.at(-1);
    const folder = join(cwd, done.runDir);
    expect(readdirSync(folder).sort()).toEqual([
      'README.md',
      'checkpoints',
      'config.json',
      'metrics.jsonl',
      'model.json',
      'weights.safetensors',
    ]);
    const config = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8'));
    expect(config).toMatchObject({ config: { batchSize: 100, seed: 0 }, dataset: { name: 'fashion-mnist' } });
    const metrics = readFileSync(join(folder, 'metrics.jsonl'), 'utf8').trim().split('\n');
    expect(metrics.map((line) => JSON.parse(line).event)).toEqual(events.map(({ event }) => event));
    const weights = decodeSafetensors(readFileSync(join(folder, 'weights.safetensors')), 'weights');
    expect(weights.tensors.map(({ name, shape }) => [name, shape])).toContainEqual(['dense/kernel', [784, 256]]);

    const evaluation = await lockstep(['evaluate', '--data-dir', dataDir, '--json'], offline(), cwd);
    expect(evaluation.code, evaluation.stderr).toBe(0);
    expect(evaluation.events[0]).toMatchObject({
      testAccuracy: done.testAccuracy,
      testLoss: done.testLoss,
      weightsSha256: done.weightsSha256,
    });
  });

  it('trains a model of the user', async () => {
    const cwd = temporaryFolder();
    const layers = [
      { class_name: 'Flatten', config: { name: 'f', batch_input_shape: [null, 28, 28, 1] } },
      { class_name: 'Dense', config: { name: 'd', units: 10, activation: 'softmax' } },
    ];
    const topology = { class_name: 'Sequential', config: { name: 'linear', layers } };
    writeFileSync(join(cwd, 'mine.json'), JSON.stringify({ modelTopology: topology }));
    const { code, events, stderr } = await lockstep(
      ['train', '--model', 'mine.json', ...small, '--json'],
      offline(),
      cwd,
    );
    expect(code, stderr).toBe(0);
    expect(events.find(({ event }) => event === 'model')).toMatchObject({ name: 'linear', numParameters: 7850 });
  });

  it('falls back to synthetic data, loudly, when there is no other', async () => {
    const { code, events, stderr } = await lockstep(['train', '--limit-train', '500', '--epochs', '1', '--json']);
    expect(code).toBe(0);
    expect(events[0]).toMatchObject({ event: 'dataset', name: 'synthetic' });
    expect(events[0].notice).toMatch(/SYNTHETIC/);
    expect(stderr).toMatch(/! {2}.*SYNTHETIC/);
  });

  it('stops cleanly on Ctrl-C: saves, says so, leaves no process, exits with 130', async () => {
    const runDir = join(temporaryFolder(), 'run');
    const args = [
      'train',
      '--data-dir',
      dataDir,
      '--epochs',
      '100000',
      '--json',
      '--log-every',
      '1',
      '--run-dir',
      runDir,
    ];
    const child = start(args);
    const end = finished(child);
    await new Promise<void>((resolve) => {
      child.stdout?.on('data', (text: string) => text.includes('"step"') && resolve());
    });
    expect(processesNaming(runDir)).toHaveLength(1);
    child.kill('SIGINT');
    // npm hands the signal of the terminal on: it comes twice.
    await sleep(20);
    child.kill('SIGINT');
    const { code, events, stderr } = await end;
    expect(code, stderr).toBe(130);
    expect(events.at(-1)).toMatchObject({ event: 'error', code: 'interrupted' });
    expect(stderr).toMatch(/Interrupted in epoch \d+ after \d+ of \d+ steps/);
    expect(readdirSync(join(runDir, 'checkpoints')).length).toBeGreaterThan(0);
    expect(processesNaming(runDir)).toEqual([]);
  });

  it('ends at once on a second Ctrl-C', async () => {
    const child = start([
      'train',
      '--data-dir',
      dataDir,
      '--model',
      'resnet',
      // Steps long enough for two signals.
      '--engine',
      'onnx',
      '--batch-size',
      '1000',
      '--workers',
      '1',
    ]);
    const end = finished(child);
    await new Promise<void>((resolve) =>
      child.stdout?.on('data', (text: string) => text.includes('epoch') && resolve()),
    );
    child.kill('SIGINT');
    await new Promise<void>((resolve) =>
      child.stdout?.on('data', (text: string) => text.includes('again') && resolve()),
    );
    // One that follows at once is the first, handed on by npm.
    await sleep(1_100);
    child.kill('SIGINT');
    await end;
    expect(child.signalCode).toBe('SIGINT');
  });
});

describe('mistakes', () => {
  const mistakes: [what: string, args: string[], code: number, message: RegExp, nextStep: RegExp][] = [
    ['an unknown flag', ['train', '--epoch', '3'], 2, /unknown option '--epoch'/, /Did you mean --epochs/],
    ['an unknown command', ['trian'], 2, /unknown command 'trian'/, /Did you mean train/],
    ['a value that is no number', ['train', '--epochs', 'ten'], 2, /--epochs ten: not a number/, /--help/],
    ['a value out of range', ['train', '--batch-size', '0'], 2, /--batch-size 0/, /--help/],
    [
      'a choice that is none',
      ['train', '--engine', 'cuda'],
      2,
      /cuda.*Allowed choices are auto, native, onnx/,
      /--help/,
    ],
    ['shards that are no power of two', ['train', ...small, '--shards', '6'], 2, /power of two.*got 6/, /nearest/],
    [
      'a batch below the shards',
      ['train', ...small, '--batch-size', '4'],
      2,
      /4 cannot give each of 8/,
      /fewer --shards/,
    ],
    ['an unknown model', ['train', '--model', 'vgg'], 2, /neither a known model nor a file/, /mlp, cnn, resnet/],
    ['a folder without data', ['train', '--data-dir', '/nonexistent'], 1, /nonexistent/, /./],
    [
      'an engine that is not installed',
      ['train', ...small, '--engine', 'tensorflow'],
      1,
      /tfjs-node/,
      /lockstep setup tensorflow/,
    ],
    ['a device that the engine lacks', ['train', ...small, '--device', 'cuda'], 1, /not on cuda/, /npm ci|--device/],
    ['an evaluation of nothing', ['evaluate'], 1, /no finished run/, /lockstep train/],
    [
      'a learning rate that is far too high',
      ['train', ...small, '--optimizer', 'sgd', '--learning-rate', '1e30'],
      1,
      /loss became NaN/,
      /smaller --learning-rate/,
    ],
  ];

  it.each(mistakes)('are explained: %s', async (_, args, expectedCode, message, nextStep) => {
    const { code, stdout, stderr, events } = await lockstep([...args, '--json']);
    expect(code, stderr).toBe(expectedCode);
    expect(events.at(-1)).toMatchObject({ event: 'error', message: expect.stringMatching(message) });
    expect(stderr).toMatch(message);
    expect(stderr).toMatch(nextStep);
    expect(stderr).not.toMatch(/\n\s+at /);
    expect(stdout).not.toMatch(/"event":"done"/);
  });

  it('never write over a run', async () => {
    const cwd = temporaryFolder();
    const args = ['train', ...small, '--limit-train', '100', '--run-dir', 'run'];
    expect((await lockstep(args, offline(), cwd)).code).toBe(0);
    const before = readFileSync(join(cwd, 'run', 'weights.safetensors'));
    const second = await lockstep(args, offline(), cwd);
    expect(second.code).toBe(2);
    expect(second.stderr).toMatch(/holds a run already/);
    expect(readFileSync(join(cwd, 'run', 'weights.safetensors'))).toEqual(before);
  });

  it('in a saved run are noticed', async () => {
    const cwd = temporaryFolder();
    await lockstep(['train', ...small, '--limit-train', '100', '--run-dir', 'run'], offline(), cwd);
    const path = join(cwd, 'run', 'weights.safetensors');
    writeFileSync(path, readFileSync(path).subarray(0, 5000));
    const { code, stderr } = await lockstep(['evaluate', 'run', '--data-dir', dataDir], offline(), cwd);
    expect(code).toBe(1);
    expect(stderr).toMatch(/weights\.safetensors is no valid safetensors file: .*cut off/);
  });
});

describe('lockstep dataset', () => {
  it('shows samples as a picture and counts the classes', async () => {
    const cwd = temporaryFolder();
    const args = ['dataset', 'show', '--data-dir', dataDir, '--split', 'test', '--out', 'pictures/test.png'];
    const { code, stdout } = await lockstep(args, offline(), cwd);
    expect(code).toBe(0);
    expect(stdout).toMatch(/Ankle boot +\d+/);
    expect(stdout).toMatch(/total +100/);
    expect(readFileSync(join(cwd, 'pictures/test.png')).subarray(1, 4).toString()).toBe('PNG');
  });

  it('verifies files against the published sums', async () => {
    const { code, stdout, stderr } = await lockstep(['dataset', 'verify', '--data-dir', dataDir]);
    expect(code).toBe(1);
    expect(stdout).toMatch(/✗ .*train-images/);
    expect(stderr).toMatch(/4 of 4 files .* are not the originals/);
  });

  it('says what it tried when nothing can be fetched', async () => {
    const { code, stderr } = await lockstep(['dataset', 'fetch']);
    expect(code).toBe(1);
    expect(stderr).toMatch(/127\.0\.0\.1:9/);
  });

  it.skipIf(!existsSync(process.env.LOCKSTEP_DATA_DIR ?? ''))(
    'accepts the originals (where LOCKSTEP_DATA_DIR has them)',
    async () => {
      const { code, stdout } = await lockstep(['dataset', 'verify', '--data-dir', process.env.LOCKSTEP_DATA_DIR!]);
      expect(code).toBe(0);
      expect(stdout.match(/✓/g)).toHaveLength(4);
    },
  );
});
