import { createCanvas } from '@napi-rs/canvas';
import { describe, expect, it } from 'vitest';
import { syntheticDataset } from '../synthetic.ts';
import { failureOf } from '../testing/files.ts';
import type { Photo } from './background.ts';
import { preparePicture } from './prepare.ts';
import { readPhoto } from './read.ts';
import { fileOf, greyPng, picture } from './testing/pictures.ts';

const { test } = syntheticDataset({ seed: 5, numTrain: 1, numTest: 80 });
const garment = (i: number): Uint8Array => test.images.slice(784 * i, 784 * (i + 1));
/** Dim ones drown in a grey background, as they do for people. */
const brightGarments = Array.from({ length: test.count }, (_, i) => garment(i))
  .filter((pixels) => pixels.filter((value) => value > 150).length > 100)
  .slice(0, 6);

type Colour = readonly [number, number, number];
interface Scene {
  readonly ground: Colour;
  /** What the brightest parts of the garment become. */
  readonly cloth: Colour;
  readonly size: readonly [width: number, height: number];
  /** Left, top and side of the garment's square. */
  readonly place: readonly [number, number, number];
  readonly noise?: number;
  readonly transparent?: boolean;
}

const onWhite: Scene = { ground: [255, 255, 255], cloth: [0, 0, 0], size: [420, 300], place: [90, 20, 250] };

/** A picture of a garment as a camera, or a shop, would make it. */
function photograph(pixels: Uint8Array, scene: Scene): Photo {
  const { ground, cloth, size, place, noise = 0, transparent = false } = scene;
  const tile = createCanvas(28, 28);
  const tileInk = tile.getContext('2d');
  const data = tileInk.createImageData(28, 28);
  pixels.forEach((value, i) => {
    const mix = (channel: 0 | 1 | 2): number => ground[channel] + ((cloth[channel] - ground[channel]) * value) / 255;
    data.data.set(transparent ? [...cloth, value > 0 ? 255 : 0] : [mix(0), mix(1), mix(2), 255], 4 * i);
  });
  tileInk.putImageData(data, 0, 0);
  const [width, height] = size;
  const ink = createCanvas(width, height).getContext('2d');
  ink.fillStyle = `rgb(${ground.join()})`;
  if (!transparent) ink.fillRect(0, 0, width, height);
  ink.imageSmoothingQuality = 'high';
  ink.drawImage(tile, place[0], place[1], place[2], place[2]);
  const { data: rgba } = ink.getImageData(0, 0, width, height);
  let random = 1;
  if (noise > 0) {
    for (let i = 0; i < rgba.length; i++) {
      random = (Math.imul(random, 1_664_525) + 1_013_904_223) >>> 0;
      if (i % 4 < 3) rgba[i]! += (random / 2 ** 31 - 1) * noise;
    }
  }
  return { width, height, rgba };
}

const prepare = (photo: Photo) => preparePicture(photo, 'the picture');

/** Cosine of the angle between two pictures: 1 when they show the same, whatever the contrast. */
function likeness(a: Uint8Array, b: Uint8Array): number {
  let [ab, aa, bb] = [0, 0, 0];
  a.forEach((value, i) => {
    ab += value * b[i]!;
    aa += value * value;
    bb += b[i]! * b[i]!;
  });
  return ab / Math.sqrt(aa * bb);
}

/** The garment as the originals have it: cut to its edges, in the middle, its longer side 28 pixels. */
function framed(pixels: Uint8Array): Uint8Array {
  return prepare(photograph(pixels, { ...onWhite, size: [28 * 16 + 40, 28 * 16 + 40], place: [20, 20, 28 * 16] }))
    .pixels;
}

function box(pixels: Uint8Array): { width: number; height: number; left: number; top: number } {
  const lit = [...pixels.keys()].filter((i) => pixels[i]! > 0);
  const xs = lit.map((i) => i % 28);
  const ys = lit.map((i) => Math.floor(i / 28));
  const [left, top] = [Math.min(...xs), Math.min(...ys)];
  return { left, top, width: Math.max(...xs) - left + 1, height: Math.max(...ys) - top + 1 };
}

describe('a picture in the format of the dataset', () => {
  it('goes through untouched, bit by bit, also garments that fill the edge', async () => {
    for (let i = 0; i < test.count; i++) {
      const photo = await readPhoto(await fileOf('x.png', greyPng(28, 28, garment(i))));
      expect(prepare(photo)).toEqual({ pixels: garment(i), background: 'dark' });
    }
    const full = new Uint8Array(784).fill(180);
    for (let i = 0; i < 28; i++) full[i] = full[756 + i] = full[28 * i] = 0;
    expect(prepare(await readPhoto(await fileOf('full.png', greyPng(28, 28, full)))).pixels).toEqual(full);
  });

  it('is turned around when it is printed dark on light, and nothing else', async () => {
    for (let i = 0; i < test.count; i++) {
      const printed = garment(i).map((value) => 255 - value);
      const photo = await readPhoto(await fileOf('x.png', greyPng(28, 28, printed)));
      expect(prepare(photo)).toEqual({ pixels: garment(i), background: 'light' });
    }
  });
});

describe('any other picture', () => {
  const scenes: [what: string, scene: Scene, background: 'light' | 'dark'][] = [
    ['on white', onWhite, 'light'],
    ['on black', { ...onWhite, ground: [0, 0, 0], cloth: [255, 255, 255] }, 'dark'],
    ['in colour on cream', { ...onWhite, ground: [240, 225, 200], cloth: [60, 10, 60] }, 'light'],
    ['in colour on navy', { ...onWhite, ground: [16, 26, 64], cloth: [250, 200, 180] }, 'dark'],
    ['dark on grey', { ...onWhite, ground: [115, 115, 115] }, 'light'],
    ['light on grey', { ...onWhite, ground: [140, 140, 140], cloth: [255, 255, 255] }, 'dark'],
    ['with noise', { ...onWhite, ground: [225, 225, 225], noise: 20 }, 'light'],
    ['far off the middle', { ...onWhite, size: [900, 1400], place: [5, 1100, 220] }, 'light'],
    ['small', { ...onWhite, size: [70, 60], place: [9, 2, 56] }, 'light'],
  ];

  it.each(scenes)('becomes a garment that is bright on black, in the middle: %s', (_, scene, background) => {
    expect(brightGarments).toHaveLength(6);
    for (const pixels of brightGarments) {
      const prepared = prepare(photograph(pixels, scene));
      expect(prepared.background).toBe(background);
      const { width, height, left, top } = box(prepared.pixels);
      expect(Math.max(width, height)).toBeGreaterThanOrEqual(27);
      expect(Math.abs(left - (28 - width) / 2)).toBeLessThanOrEqual(1);
      expect(Math.abs(top - (28 - height) / 2)).toBeLessThanOrEqual(1);
      expect(likeness(prepared.pixels, framed(pixels))).toBeGreaterThan(0.93);
    }
  });

  it('keeps its aspect', async () => {
    const wide = await picture(300, 200, (ink) => {
      ink.fillStyle = '#fff';
      ink.fillRect(0, 0, 300, 200);
      ink.fillStyle = '#222';
      ink.fillRect(40, 60, 200, 100);
    });
    const { pixels } = prepare(await readPhoto(await fileOf('wide.png', wide)));
    expect(box(pixels)).toEqual({ left: 0, top: 7, width: 28, height: 14 });
  });

  it('is seen before what stands out more, when it was cut out', () => {
    const scene: Scene = { ...onWhite, transparent: true };
    for (const [cloth, background] of [
      [[20, 30, 60], 'light'],
      [[250, 230, 240], 'dark'],
    ] as const) {
      const { pixels, background: said } = prepare(photograph(garment(3), { ...scene, cloth }));
      expect(said).toBe(background);
      expect(likeness(pixels, framed(garment(3).map((value) => (value > 0 ? 255 : 0))))).toBeGreaterThan(0.95);
    }
  });

  it('may have transparent corners', () => {
    const photo = photograph(garment(0), onWhite);
    const expected = prepare(photo);
    for (let y = 0; y < 12; y++)
      for (let x = 0; x < 12; x++) photo.rgba.fill(0, 4 * (y * 420 + x), 4 * (y * 420 + x) + 4);
    expect(prepare(photo)).toEqual(expected);
  });

  it('is not thrown off by specks', () => {
    const photo = photograph(garment(0), onWhite);
    const expected = prepare(photo);
    for (const at of [420 * 3 + 3, 420 * 290 + 410]) photo.rgba.set([0, 0, 0], 4 * at);
    expect(prepare(photo)).toEqual(expected);
  });

  it('gains contrast when it has little, but not all', () => {
    const bright = (scene: Scene): number => Math.max(...prepare(photograph(garment(0), scene)).pixels);
    const faint = bright({ ...onWhite, cloth: [180, 180, 180] });
    expect(faint).toBeGreaterThan(150);
    expect(faint).toBeLessThan(bright(onWhite));
    expect(bright({ ...onWhite, cloth: [220, 220, 220] })).toBeLessThan(100);
  });

  it('must show something', async () => {
    for (const colour of ['#fff', '#000', '#789']) {
      const empty = await picture(90, 60, (ink) => {
        ink.fillStyle = colour;
        ink.fillRect(0, 0, 90, 60);
      });
      const photo = await readPhoto(await fileOf('empty.png', empty));
      const error = await failureOf((async () => preparePicture(photo, 'empty.png'))());
      expect(error).toMatchObject({
        code: 'image-invalid',
        message: expect.stringContaining('empty.png shows nothing'),
      });
    }
  });
});
