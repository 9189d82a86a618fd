/** What makes models more accurate keeps the promise: the same bits whoever computes them, and after an interruption. */
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { TrainEvent } from '@lockstep/protocol';
import { describe, expect, it } from 'vitest';
import { lockstep, offline, smallDataset, temporaryFolder } from './lockstep.ts';
import { Ways } from './ways.ts';

const dataDir = smallDataset(600, 100);
const flags = ['--model', 'mlp', '--optimizer', 'adam', '--epochs', '2', '--batch-size', '64'];
const job = [...flags, '--data-dir', dataDir];
const ways = new Ways(flags, dataDir);

const mechanisms = [['--flip'], ['--shift', '2'], ['--erase', '0.5'], ['--ema', '0.9'], ['--validation', '100']];

describe('weightsSha256', () => {
  it('is the same for 1, 2 and 3 workers, a remote one, and when it is resumed', async () => {
    const all = mechanisms.flat();
    const hashes = await Promise.all([
      ...[1, 2, 3].map((workers) => ways.local(all, workers)),
      ways.remote(all),
      ways.resumed(all, 13),
    ]);
    expect(hashes).toEqual(hashes.map(() => hashes[0]));
  });

  it('depends on each of the mechanisms', async () => {
    const hashes = await Promise.all([[], ...mechanisms].map((args) => ways.local([...args, '--epochs', '1'], 1)));
    expect(new Set(hashes).size).toBe(hashes.length);
  });
});

describe('--test-flip and --test-shift', () => {
  it('changes what is measured, not what is trained, then and later', async () => {
    const cwd = temporaryFolder();
    const train = (run: string, ...args: string[]) =>
      lockstep(['train', ...job, '--run-dir', run, '--json', ...args], offline(), cwd);
    const evaluate = async (run: string, ...args: string[]) => {
      const { events } = await lockstep(['evaluate', run, '--data-dir', dataDir, '--json', ...args], offline(), cwd);
      return [events[0].testLoss, events[0].testAccuracy];
    };
    const ends = await Promise.all([
      // What is taken back does not count.
      train('plain', '--flip', '--no-flip'),
      train('flipped', '--test-flip', '--workers', '1'),
      train('other', '--test-flip', '--workers', '3'),
      train('moved', '--test-flip', '--test-shift', '1'),
    ]);
    const [plain, flipped, other, moved] = ends.map(({ events }) => events.at(-1));
    expect(flipped.weightsSha256).toBe(plain.weightsSha256);
    expect(flipped.testLoss).not.toBe(plain.testLoss);
    expect(other.testLoss).toBe(flipped.testLoss);
    expect(moved.weightsSha256).toBe(plain.weightsSha256);
    expect(moved.testLoss).not.toBe(flipped.testLoss);
    expect(await evaluate('moved')).toEqual([moved.testLoss, moved.testAccuracy]);
    expect(await evaluate('moved', '--test-shift', '0')).toEqual([flipped.testLoss, flipped.testAccuracy]);
    expect(await evaluate('flipped')).toEqual([flipped.testLoss, flipped.testAccuracy]);
    expect(await evaluate('flipped', '--no-test-flip')).toEqual([plain.testLoss, plain.testAccuracy]);
    expect(await evaluate('plain', '--test-flip')).toEqual([flipped.testLoss, flipped.testAccuracy]);
    expect(readFileSync(join(cwd, 'flipped', 'README.md'), 'utf8')).toMatch(/each picture and its mirror image;/);
    expect(readFileSync(join(cwd, 'moved', 'README.md'), 'utf8')).toMatch(/, also moved by a pixel;/);
  });

  it('is for the last epoch and for those that may have reached the target', async () => {
    const args = ['--target-accuracy', '0.6', '--epochs', '12', '--json'];
    const train = async (...views: string[]): Promise<TrainEvent[]> =>
      (await lockstep(['train', ...job, ...args, ...views], offline(), temporaryFolder())).events;
    const [plain, flipped] = await Promise.all([train(), train('--test-flip')]);
    const scores = (events: TrainEvent[]) =>
      events.flatMap((event) =>
        event.event === 'epoch' ? [{ plain: event.plain ?? false, loss: event.testLoss, is: event.testAccuracy }] : [],
      );
    const [ofPictures, ofBoth] = [scores(plain), scores(flipped)];
    expect(ofPictures.map((epoch) => epoch.plain)).not.toContain(true);
    const shared = ofBoth.slice(0, Math.min(ofBoth.length, ofPictures.length));
    expect(shared.length).toBeGreaterThan(1);
    shared.forEach(({ plain: isPlain, loss }, i) => {
      const { loss: ofPicture, is } = ofPictures[i]!;
      // A run's last epoch counts, and so do those close to the target.
      expect(isPlain).toBe(i + 1 < 12 && is < 0.59);
      if (isPlain) expect(loss).toBe(ofPicture);
      else expect(loss).not.toBe(ofPicture);
    });
    expect(shared[0]!.plain).toBe(true);
    expect(ofBoth.at(-1)!.plain).toBe(false);
  });
});

describe('--validation', () => {
  it('is what the run is measured by, until the test pictures come at the end', async () => {
    const cwd = temporaryFolder();
    const args = ['--validation', '100', '--target-accuracy', '0.5', '--epochs', '9', '--run-dir', 'run', '--json'];
    const { events } = await lockstep(['train', ...job, ...args], offline(), cwd);
    expect(events[0]).toMatchObject({ event: 'dataset', trainSamples: 500, validationSamples: 100, testSamples: 100 });
    const epochs = events.filter(({ event }) => event === 'epoch');
    expect(epochs.every(({ samples, evaluatedOn }) => samples === 500 && evaluatedOn === 'validation')).toBe(true);
    const last = epochs.at(-1);
    expect(last.testAccuracy).toBeGreaterThanOrEqual(0.5);
    const done = events.at(-1);
    const { testLoss: validationLoss, testAccuracy: validationAccuracy } = last;
    expect(done).toMatchObject({ targetReached: true, validationLoss, validationAccuracy });
    expect(done.testLoss).not.toBe(validationLoss);
    const { events: evaluations } = await lockstep(
      ['evaluate', 'run', '--data-dir', dataDir, '--json'],
      offline(),
      cwd,
    );
    const { testLoss, testAccuracy } = done;
    expect(evaluations[0]).toMatchObject({ testLoss, testAccuracy });
  });

  it('is said in the table, and leaves something to train on', async () => {
    const { stdout } = await lockstep(['train', ...job, '--validation', '100', '--epochs', '1']);
    expect(stdout).toMatch(
      /500 training, 100 validation and 100 test pictures[\s\S]*accuracy {2}validation loss {2}accuracy/,
    );
    const { code, stderr } = await lockstep(['train', ...job, '--validation', '600']);
    expect(code).toBe(2);
    expect(stderr).toMatch(/--validation 600 leaves nothing of 600 training pictures/);
  });
});

describe('--target-accuracy', () => {
  const patient = ['train', ...job, '--epochs', '50', '--target-accuracy', '0.75', '--run-dir', 'run', '--json'];

  it('ends the run at the first epoch that reaches it, and again there when its end was lost', async () => {
    const cwd = temporaryFolder();
    const { code, events } = await lockstep(patient, offline(), cwd);
    expect(code).toBe(0);
    const epochs = events.filter(({ event }) => event === 'epoch');
    const done = events.at(-1);
    expect(epochs.length).toBeGreaterThan(1);
    expect(epochs.length).toBeLessThan(50);
    expect(epochs.map(({ testAccuracy }) => testAccuracy >= 0.75)).toEqual(
      epochs.map((_, i) => i === epochs.length - 1),
    );
    expect(done).toMatchObject({ event: 'done', targetReached: true, samples: 600 * epochs.length });
    expect(done.secondsToTarget).toBeGreaterThan(0);
    expect(done.secondsToTarget).toBeLessThan(done.seconds);

    rmSync(join(cwd, 'run', 'weights.safetensors'));
    const again = await lockstep(['train', '--resume', 'run', '--data-dir', dataDir, '--json'], offline(), cwd);
    const { targetReached, secondsToTarget, weightsSha256, testAccuracy, samples } = done;
    const same = { targetReached, secondsToTarget, weightsSha256, testAccuracy, samples };
    expect(again.events.at(-1)).toMatchObject(same);
    expect(again.events.filter(({ event }) => event === 'epoch')).toEqual([]);
  });

  it('says when it was not reached, and exits with 0', async () => {
    const { code, stdout } = await lockstep(['train', ...job, '--target-accuracy', '1']);
    expect(code).toBe(0);
    expect(stdout).toMatch(/target NOT reached/);
  });
});

describe('the flags', () => {
  it('are refused with what they should be', async () => {
    const wrong = ['--shift', '28', '--ema', '1', '--target-accuracy', '94', '--erase', '2', '--validation', '0.1'];
    const { code, stderr } = await lockstep(['train', ...job, ...wrong]);
    expect(code).toBe(2);
    expect(stderr).toMatch(/--shift 28: a picture of 28 pixels/);
    expect(stderr).toMatch(/--ema 1: a decay is below 1/);
    expect(stderr).toMatch(/--target-accuracy 94: a share of at most 1/);
    expect(stderr).toMatch(/--erase 2: a probability is at most 1/);
    expect(stderr).toMatch(/--validation 0.1:/);
  });
});
