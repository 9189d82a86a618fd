/** `predict` and `evaluate` as a user meets them. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { predict } from '@lockstep/coordinator';
import { createCanvas, loadImage } from '@napi-rs/canvas';
import { beforeAll, describe, expect, it } from 'vitest';
import { lockstep, offline, temporaryFolder } from '../lockstep.ts';
import { countFor, dataDir, type Trained, trained } from './trained.ts';

let model: Trained;
let folder: string;
beforeAll(async () => {
  model = await trained('mlp');
  folder = temporaryFolder();
}, 600_000);

/** A test picture as a PNG file. @param side its size @param inverted dark on light, as in print */
function pictureFile(index: number, side = 28, inverted = false): string {
  const tile = createCanvas(28, 28);
  const ink = tile.getContext('2d');
  const data = ink.createImageData(28, 28);
  for (let i = 0; i < 784; i++) {
    const value = model.data.test.images[index * 784 + i]!;
    const grey = inverted ? 255 - value : value;
    data.data.set([grey, grey, grey, 255], 4 * i);
  }
  ink.putImageData(data, 0, 0);
  const large = createCanvas(side, side);
  large.getContext('2d').drawImage(tile, 0, 0, side, side);
  const path = join(folder, `${index}-${side}${inverted ? '-print' : ''}.png`);
  writeFileSync(path, large.toBuffer('image/png'));
  return path;
}

describe('predict()', () => {
  it('says of the pictures of the dataset what evaluate() says of them', async () => {
    const count = countFor(model.report.samples, 300);
    const files = Array.from({ length: count }, (_, i) => pictureFile(i));
    const classes: number[] = [];
    for await (const result of predict(files, { run: model.runDir, top: 1 })) {
      if ('error' in result) throw result.error;
      const at = classes.length * 784;
      expect(result.pixels).toEqual(model.data.test.images.slice(at, at + 784));
      classes.push(result.predictions[0]!.class);
    }
    expect(Uint8Array.from(classes)).toEqual(model.report.predictions.subarray(0, count));
  }, 1_800_000);
});

describe('lockstep predict', () => {
  it('shows the most probable classes of each picture', async () => {
    const files = [pictureFile(0), pictureFile(1, 28, true)];
    const { code, stdout, stderr } = await lockstep(['predict', '--run', model.runDir, ...files], offline());
    expect(code, stderr).toBe(0);
    expect(stdout).toMatch(/run .*, mlp, engine (native|onnx) on cpu/);
    expect(stdout).toMatch(/0-28\.png \(on a dark background\)\n(.*\d+\.\d\d % .*\n){3}\n/);
    expect(stdout).toMatch(/1-28-print\.png \(on a light background\)/);
  });

  it('writes one object a picture with --json', async () => {
    const files = [pictureFile(3), pictureFile(3, 28, true)];
    const args = ['predict', '--run', model.runDir, '--top', '10', '--json', ...files];
    const { code, stdout, events } = await lockstep(args, offline());
    expect(code).toBe(0);
    expect(stdout.trim().split('\n')).toHaveLength(2);
    const [dark, light] = events;
    expect(dark).toMatchObject({ event: 'prediction', file: files[0], background: 'dark' });
    expect(light).toEqual({ ...dark, file: files[1], background: 'light' });
    const probabilities: number[] = dark.predictions.map((entry: { probability: number }) => entry.probability);
    expect(probabilities).toEqual([...probabilities].sort((a, b) => b - a));
    expect(probabilities.reduce((sum, value) => sum + value)).toBeCloseTo(1, 5);
    expect(dark.predictions[0].class).toBe(model.report.predictions[3]);
    expect(dark.predictions[0].name).toBe(model.report.classNames[model.report.predictions[3]!]);
  });

  it('goes on behind pictures that it cannot use, and says so in the end', async () => {
    const text = join(folder, 'notes.jpg');
    writeFileSync(text, 'these are notes, and no picture, whatever they are called');
    mkdirSync(join(folder, 'shirts'), { recursive: true });
    const files = [text, join(folder, 'no-such.png'), join(folder, 'shirts'), pictureFile(0, 280, true)];
    const { code, events, stderr } = await lockstep(['predict', '--run', model.runDir, '--json', ...files], offline());
    expect(code).toBe(1);
    const failure = { event: 'error', fatal: false, code: 'image-invalid' };
    expect(events.slice(0, 3)).toEqual([
      expect.objectContaining({ ...failure, file: files[0], message: expect.stringMatching(/no picture/) }),
      expect.objectContaining({ ...failure, file: files[1], message: expect.stringMatching(/does not exist/) }),
      expect.objectContaining({ ...failure, file: files[2], message: expect.stringMatching(/is a folder/) }),
    ]);
    expect(events[3]).toMatchObject({ event: 'prediction', file: files[3], background: 'light' });
    expect(events[4]).toMatchObject({ event: 'error', fatal: true, code: 'image-invalid' });
    expect(stderr).toMatch(/3 of 4 pictures could not be used/);
  });

  it('writes what the model saw with --preview, bright on black', async () => {
    const cwd = temporaryFolder();
    const files = [pictureFile(5, 28, true), pictureFile(6)];
    const args = ['predict', '--run', model.runDir, '--preview', 'seen/preview.png', ...files];
    expect((await lockstep(args, offline(), cwd)).code).toBe(0);
    const image = await loadImage(readFileSync(join(cwd, 'seen/preview.png')));
    const ink = createCanvas(image.width, image.height).getContext('2d');
    ink.drawImage(image, 0, 0);
    for (let i = 0; i < 784; i++) {
      const [x, y] = [32 + 6 * (i % 28) + 3, 32 + 6 * Math.floor(i / 28) + 3];
      expect(ink.getImageData(x, y, 1, 1).data[0]).toBe(model.data.test.images[5 * 784 + i]);
    }
  });

  it('says which run it cannot use', async () => {
    const { code, stderr } = await lockstep(['predict', '--run', folder, pictureFile(0)], offline());
    expect(code).toBe(1);
    expect(stderr).toMatch(/is not the folder of a finished run/);
    const none = await lockstep(['predict', '--run', model.runDir], offline());
    expect(none.code).toBe(2);
    expect(none.stderr).toMatch(/missing required argument 'image'/);
  });
});

describe('lockstep evaluate', () => {
  it('tells how well each class is recognised, and draws which are taken for which', async () => {
    const cwd = temporaryFolder();
    const args = ['evaluate', model.runDir, '--data-dir', dataDir];
    const { code, stdout, stderr } = await lockstep([...args, '--confusion', 'map.png'], offline(), cwd);
    expect(code, stderr).toBe(0);
    expect(stdout).toMatch(/class +precision +recall +F1 +pictures\n/);
    expect(stdout).toMatch(/\nAnkle boot +\d+\.\d\d % +\d+\.\d\d % +\d+\.\d\d % +[\d,]+\n/);
    expect(stdout).toMatch(/\nmean of classes +\d+\.\d\d %/);
    expect(readFileSync(join(cwd, 'map.png')).subarray(1, 4).toString()).toBe('PNG');

    const { events } = await lockstep([...args, '--json'], offline(), cwd);
    const [event] = events;
    expect(event).toMatchObject({ event: 'evaluation', testAccuracy: model.report.testAccuracy });
    expect(event).not.toHaveProperty('predictions');
    const { confusion, classes, macro } = event;
    const hits = classes.map((_: unknown, i: number) => confusion[i][i]);
    expect(hits.reduce((a: number, b: number) => a + b) / event.samples).toBe(event.testAccuracy);
    for (const [i, { precision, recall, support }] of classes.entries()) {
      expect(support).toBe(model.data.test.labels.filter((label) => label === i).length);
      expect(recall).toBeCloseTo(hits[i] / support, 9);
      const predicted = model.report.predictions.filter((prediction) => prediction === i).length;
      expect(precision).toBeCloseTo(predicted === 0 ? 0 : hits[i] / predicted, 9);
    }
    expect(macro.recall).toBeCloseTo(
      classes.reduce((sum: number, { recall }: { recall: number }) => sum + recall, 0) / 10,
      9,
    );
  });
});
