import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createCanvas, loadImage } from '@napi-rs/canvas';
import { describe, expect, it } from 'vitest';
import { type ContactSheetOptions, contactSheet, writeContactSheet } from './contact-sheet.ts';
import { syntheticDataset } from './synthetic.ts';
import { failureOf, temporaryFolder } from './testing/files.ts';

const { train, classNames } = syntheticDataset({ seed: 3, numTrain: 400, numTest: 10 });
const sheet = (count: number, changes: Partial<ContactSheetOptions> = {}): ContactSheetOptions => ({
  split: train,
  classNames,
  indices: Array.from({ length: count }, (_, i) => i),
  columns: undefined,
  title: undefined,
  ...changes,
});

async function decode(png: Uint8Array) {
  const image = await loadImage(Buffer.from(png));
  const ink = createCanvas(image.width, image.height).getContext('2d');
  ink.drawImage(image, 0, 0);
  const { data } = ink.getImageData(0, 0, image.width, image.height);
  const grey = (x: number, y: number): number => data[4 * (y * image.width + x)]!;
  return { width: image.width, height: image.height, grey };
}

describe('contactSheet', () => {
  it('shows twelve images as two rows of six, pixels enlarged six times and inverted', async () => {
    const { width, height, grey } = await decode(await contactSheet(sheet(12)));
    expect(width).toBe(2 * 32 + 6 * 168 + 5 * 20);
    expect(height).toBeLessThan(width / 2);
    expect(grey(1, 1)).toBe(255);
    for (let y = 0; y < 28; y++) {
      for (let x = 0; x < 28; x++) {
        const expected = 255 - train.images[784 + y * 28 + x]!;
        for (const at of [0, 5]) expect(grey(32 + 188 + 6 * x + at, 32 + 6 * y + at)).toBe(expected);
      }
    }
  });

  it('writes names below the pictures', async () => {
    const named = await decode(await contactSheet(sheet(1)));
    const other = await decode(await contactSheet(sheet(1, { classNames: classNames.map(() => '') })));
    const darkBelow = ({ width, height, grey }: typeof named): number => {
      let dark = 0;
      for (let y = 32 + 170; y < height; y++) for (let x = 0; x < width; x++) if (grey(x, y) < 128) dark += 1;
      return dark;
    };
    expect(darkBelow(named)).toBeGreaterThan(40);
    expect(darkBelow(other)).toBe(0);
  });

  it('grows with the number of images, the title and the columns', async () => {
    const twelve = await decode(await contactSheet(sheet(12)));
    const titled = await decode(await contactSheet(sheet(12, { title: 'Fashion-MNIST, train' })));
    expect(titled.height).toBeGreaterThan(twelve.height);
    const many = await decode(await contactSheet(sheet(300)));
    expect(many.width).toBeGreaterThan(many.height);
    expect(many.width).toBeLessThan(3000);
    const tall = await decode(await contactSheet(sheet(12, { columns: 3 })));
    expect(tall.height).toBeGreaterThan(tall.width);
  });

  it('refuses what it cannot draw', async () => {
    const wrong = [sheet(0), sheet(2001), sheet(0, { indices: [0, 400] }), sheet(1, { columns: 0 })];
    for (const options of wrong) expect((await failureOf(contactSheet(options))).code).toBe('usage');
    expect((await failureOf(contactSheet(wrong[2]!))).message).toBe(
      'There is no image 400: the split holds images 0 to 399',
    );
  });
});

describe('writeContactSheet', () => {
  it('creates the folder and leaves one file', async () => {
    const folder = join(await temporaryFolder(), 'a', 'b');
    const path = await writeContactSheet(join(folder, 'sheet.png'), sheet(3));
    expect(path).toBe(join(folder, 'sheet.png'));
    expect(await readdir(folder)).toEqual(['sheet.png']);
    expect((await readFile(path)).subarray(1, 4).toString()).toBe('PNG');
  });

  it('says that the file cannot be written', async () => {
    const file = join(await temporaryFolder(), 'file');
    await writeFile(file, '');
    const error = await failureOf(writeContactSheet(join(file, 'sheet.png'), sheet(3)));
    expect(error.code).toBe('output-unwritable');
    expect(error.message).toContain(join(file, 'sheet.png'));
  });
});
