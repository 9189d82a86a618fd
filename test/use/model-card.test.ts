/** The model card of a run: its command trains the same weights again. */
import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { COMMAND, lockstep, offline, Running, smallDataset, temporaryFolder } from '../lockstep.ts';

/** A folder whose name a shell would take apart. */
function awkwardFolder(): string {
  const folder = join(temporaryFolder(), "it's a $HOME `test`");
  mkdirSync(folder);
  return folder;
}

/** Runs the command that a card names, as a shell does, and returns the hash that it ends with. */
async function again(card: string): Promise<string> {
  const [, command] = card.match(/```sh\n(npx lockstep train .*)\n```/)!;
  const words = command!.replace(/^npx lockstep/, `"${process.execPath}" "${COMMAND}"`);
  const { stdout } = await promisify(execFile)('sh', ['-c', `${words} --json --workers 1`], {
    cwd: temporaryFolder(),
    env: offline(),
    maxBuffer: 2 ** 26,
  });
  return JSON.parse(stdout.trim().split('\n').at(-1)!).weightsSha256;
}

const layers = [
  { class_name: 'Flatten', config: { name: 'f', batch_input_shape: [null, 28, 28, 1] } },
  { class_name: 'Dense', config: { name: 'd|`e`', units: 10, activation: 'softmax' } },
];
const mine = { class_name: 'Sequential', config: { name: 'my | model', layers } };

describe('the model card', () => {
  it('has a command that trains the same weights: every setting another', async () => {
    const cwd = awkwardFolder();
    const data = join(cwd, 'the data');
    renameSync(smallDataset(900, 100), data);
    const settings = ['--epochs', '2', '--batch-size', '60', '--shards', '4', '--seed', '11', '--limit-train', '800'];
    const recipe = ['--optimizer', 'sgd', '--momentum', '0.8', '--learning-rate', '0.05', '--schedule', 'cosine'];
    const more = ['--warmup-steps', '3', '--weight-decay', '0.001', '--clip-norm', '0.7', '--label-smoothing', '0.05'];
    const rounding = ['--wire', 'fp16'];
    const { code, events, stderr } = await lockstep(
      [
        'train',
        '--data-dir',
        'the data',
        ...settings,
        ...recipe,
        ...more,
        ...rounding,
        '--run-dir',
        'my run',
        '--json',
      ],
      offline(),
      cwd,
    );
    expect(code, stderr).toBe(0);
    const { weightsSha256 } = events.at(-1);
    const card = readFileSync(join(cwd, 'my run', 'README.md'), 'utf8');
    expect(card).toContain(weightsSha256);
    expect(await again(card)).toBe(weightsSha256);
  });

  it('has a command that trains the same weights: a model of the user, data from the environment', async () => {
    const cwd = awkwardFolder();
    writeFileSync(join(cwd, 'mine.json'), JSON.stringify(mine));
    const env = { ...offline(), LOCKSTEP_DATA_DIR: smallDataset(300, 50) };
    const { code, events, stderr } = await lockstep(
      ['train', '--model', 'mine.json', '--epochs', '1', '--json'],
      env,
      cwd,
    );
    expect(code, stderr).toBe(0);
    const { weightsSha256, runDir } = events.at(-1);
    const card = readFileSync(join(cwd, runDir, 'README.md'), 'utf8');
    expect(card).toContain('# my \\| model on fashion-mnist');
    expect(card).toContain('**not** the published ones');
    expect(await again(card)).toBe(weightsSha256);
  });

  it('says what was trained, on what, and how well', async () => {
    const cwd = temporaryFolder();
    const data = smallDataset(1000, 100);
    const args = ['train', '--model', 'cnn', '--data-dir', data, '--epochs', '2', '--run-dir', 'run', '--json'];
    const { events } = await lockstep(args, offline(), cwd);
    const card = readFileSync(join(cwd, 'run', 'README.md'), 'utf8');
    const epochs = events.filter(({ event }) => event === 'epoch');
    const percent = (share: number): string => `${(share * 100).toFixed(2)} %`;
    expect(card).toMatch(new RegExp(`^# cnn on fashion-mnist: ${percent(events.at(-1).testAccuracy)}\n`));
    for (const { epoch, trainLoss, trainAccuracy, testLoss, testAccuracy } of epochs) {
      const row = [epoch, trainLoss.toFixed(4), percent(trainAccuracy), testLoss.toFixed(4), percent(testAccuracy)];
      expect(card).toContain(`| ${row.join(' | ')} |`);
    }
    const evaluation = await lockstep(['evaluate', 'run', '--data-dir', data, '--json'], offline(), cwd);
    for (const { name, precision, recall, f1, support } of evaluation.events[0].classes) {
      const shares = [precision, recall, f1].map((share: number) => share.toFixed(3));
      expect(card).toContain(`| ${[name, ...shares, support].join(' | ')} |`);
    }
    expect(card).toContain(events[0].sha256);
    expect(card).toContain('421,930 parameters');
    expect(card).toMatch(/engine (native|onnx) on cpu/);
    expect(card).toMatch(/\| gradients computed by \| (native|onnx) on cpu \|/);
    expect(card).toContain('trains the same weights');
  });

  it('does not promise the same bits where nobody can', async () => {
    const cwd = temporaryFolder();
    const args = ['train', '--data-dir', smallDataset(300, 50), '--epochs', '1', '--run-dir', 'run', '--json'];
    const { code, stderr } = await lockstep([...args, '--reduction', 'fast'], offline(), cwd);
    expect(code, stderr).toBe(0);
    const card = readFileSync(join(cwd, 'run', 'README.md'), 'utf8');
    expect(card).toContain('with other last bits');
    expect(card).toContain('| reduction | fast: the last bits depend on who computed what |');
  });

  it('is whole, with every epoch once, when the run was killed on its way', async () => {
    const cwd = temporaryFolder();
    const data = smallDataset(1000, 100);
    const args = ['train', '--data-dir', data, '--epochs', '6', '--run-dir', 'run', '--json'];
    const first = new Running([...args, '--log-every', '1'], offline(), cwd);
    await first.event(({ event, epoch }) => event === 'epoch' && epoch === 2);
    first.kill('SIGKILL');
    await first.end;
    const resumed = await lockstep(['train', '--resume', 'run', '--json'], offline(), cwd);
    const card = readFileSync(join(cwd, 'run', 'README.md'), 'utf8');
    const rows = [...card.matchAll(/^\| (\d) \| \d\.\d{4} \|/gm)].map(([, epoch]) => Number(epoch));
    expect(rows).toEqual([1, 2, 3, 4, 5, 6]);
    expect(card).toContain(resumed.events.at(-1).weightsSha256);
    expect(await again(card)).toBe(resumed.events.at(-1).weightsSha256);
  });
});
