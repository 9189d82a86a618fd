import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { failureOf, temporaryFolder } from '../testing/files.ts';
import { readPhoto } from './read.ts';
import { chunk, type Encoding, fileOf, greyBmp, greyPng, picture, withOrientation } from './testing/pictures.ts';

const ramp = Uint8Array.from({ length: 256 }, (_, i) => i);
const greyOf = (rgba: Uint8ClampedArray): Uint8Array => Uint8Array.from(rgba.filter((_, i) => i % 4 === 0));
/** Left half red, right half white. */
const halves = (encoding: Encoding, width = 40, height = 20) =>
  picture(
    width,
    height,
    (ink) => {
      ink.fillStyle = '#fff';
      ink.fillRect(0, 0, width, height);
      ink.fillStyle = '#f00';
      ink.fillRect(0, 0, width / 2, height);
    },
    encoding,
  );

describe('readPhoto', () => {
  it.each<Encoding>(['png', 'jpeg', 'webp', 'gif', 'avif'])('decodes %s', async (encoding) => {
    const { width, height, rgba } = await readPhoto(await fileOf('x', await halves(encoding)));
    expect([width, height]).toEqual([40, 20]);
    const near = (at: number, wanted: readonly number[]) =>
      wanted.forEach((value, i) => {
        expect(Math.abs(rgba[at + i]! - value)).toBeLessThan(24);
      });
    near(4 * (10 * 40 + 5), [255, 0, 0, 255]);
    near(4 * (10 * 40 + 35), [255, 255, 255, 255]);
  });

  it('decodes bmp', async () => {
    const { rgba } = await readPhoto(await fileOf('x.bmp', greyBmp(9, 5, 77)));
    expect(rgba.subarray(0, 4)).toEqual(new Uint8ClampedArray([77, 77, 77, 255]));
  });

  it('takes grey values as they are stored, whatever the file says about colour', async () => {
    const gamma = (value: number): Buffer => {
      const data = Buffer.alloc(4);
      data.writeUInt32BE(value);
      return chunk('gAMA', data);
    };
    for (const extra of [[], [gamma(45_455)], [gamma(100_000)], [chunk('sRGB', Buffer.from([0]))]]) {
      const { rgba } = await readPhoto(await fileOf('ramp.png', greyPng(16, 16, ramp, extra)));
      expect(greyOf(rgba)).toEqual(ramp);
    }
  });

  it('turns a picture as its camera was turned', async () => {
    const { width, height, rgba } = await readPhoto(await fileOf('x.jpg', withOrientation(await halves('jpeg'), 6)));
    expect([width, height]).toEqual([20, 40]);
    // A quarter turn clockwise: what was on the left is on top.
    expect(rgba[1]).toBeLessThan(24);
    expect(rgba[4 * (39 * 20) + 1]).toBeGreaterThan(230);
  });

  it('scales a large picture down evenly', async () => {
    const stripes = await picture(3000, 1500, (ink) => {
      ink.fillStyle = '#fff';
      for (let x = 0; x < 3000; x += 2) ink.fillRect(x, 0, 1, 1500);
      ink.globalCompositeOperation = 'destination-over';
      ink.fillStyle = '#000';
      ink.fillRect(0, 0, 3000, 1500);
    });
    const { width, height, rgba } = await readPhoto(await fileOf('x.png', stripes));
    expect([width, height]).toEqual([1024, 512]);
    const grey = greyOf(rgba);
    expect(Math.min(...grey.subarray(0, 1024))).toBeGreaterThan(110);
    expect(Math.max(...grey.subarray(0, 1024))).toBeLessThan(145);
  });
});

describe('what is no picture', () => {
  const failing = async (name: string, content: Uint8Array | string) => {
    const path = await fileOf(name, content);
    const error = await failureOf(readPhoto(path));
    expect(error.code).toBe('image-invalid');
    expect(error.message).toContain(path);
    return error.message;
  };

  it('is named: nothing, a folder, another kind of file', async () => {
    const folder = await temporaryFolder();
    await mkdir(join(folder, 'shirts'));
    expect((await failureOf(readPhoto(join(folder, 'shirts')))).message).toMatch(/shirts is a folder/);
    expect((await failureOf(readPhoto(join(folder, 'no.png')))).message).toMatch(/no\.png does not exist/);
    expect(await failing('text.png', 'this is a text, however it is called, and a long one')).toMatch(/no picture/);
    expect(await failing('empty.png', '')).toMatch(/no picture/);
    const svg = '<svg xmlns="http://www.w3.org/2000/svg" width="28" height="28"></svg>';
    expect(await failing('drawing.svg', svg)).toMatch(/PNG, JPEG/);
  });

  it('is refused by its header when it is too large, without being decoded', async () => {
    const png = greyPng(1, 1, [0]);
    png.writeUInt32BE(50_000, 16);
    png.writeUInt32BE(2_001, 20);
    expect(await failing('huge.png', png)).toMatch(/50000 x 2001 pixels, 101 megapixels; at most 100 are decoded/);
    png.writeUInt32BE(2_000, 20);
    expect(await failing('just.png', png)).toMatch(/damaged/);
  });

  it.each<Encoding>(['png', 'jpeg', 'webp'])('is recognised when %s is cut off', async (encoding) => {
    const whole = await picture(
      300,
      300,
      (ink) => {
        for (let i = 0; i < 900; i++) {
          ink.fillStyle = `rgb(${i % 255}, ${(i * 7) % 255}, 90)`;
          ink.fillRect((i * 37) % 300, (i * 91) % 300, 60, 60);
        }
        ink.globalCompositeOperation = 'destination-over';
        ink.fillRect(0, 0, 300, 300);
      },
      encoding,
    );
    await readPhoto(await fileOf('whole', whole));
    expect(await failing('half', whole.subarray(0, whole.length / 2))).toMatch(/cut off/);
  });

  it('is recognised when its data is damaged', async () => {
    const png = greyPng(16, 16, ramp);
    const data = png.indexOf('IDAT') + 4;
    png.fill(0x55, data, data + 12);
    expect(await failing('bad.png', png)).toMatch(/damaged/);
  });
});
