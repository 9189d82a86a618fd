/**
 * Makes of any picture what the models were trained on: 28 x 28 grey values, a light garment on black that fills the
 * picture, as the authors of Fashion-MNIST made theirs from photographs on light ground (Xiao, Rasul and Vollgraf, 2017).
 */
import { LockstepError } from '@lockstep/core';
import { IMAGE_SHAPE } from '../fashion-mnist.ts';
import { type Colour, commonColour, distance, edgePixels, flatten, luminance, type Photo } from './background.ts';
import { type Box, type Plane, resample } from './resample.ts';

const [HEIGHT, WIDTH] = IMAGE_SHAPE;
/** Empty pixels around the garment: 94 % of the originals have none. */
const MARGIN = 0;

export interface PreparedPicture {
  /** [28, 28] */
  readonly pixels: Uint8Array;
  /** Of the picture as it was; a light one is turned around. */
  readonly background: 'dark' | 'light';
}

/** Colours that differ by less are background, however quiet it is. */
const LEAST_TOLERANCE = 16;
/** Colours that differ by more are not, however restless it is. */
const MOST_TOLERANCE = 48;
/** A row or column is part of the garment when this share of the picture's length along it is no background. */
const LEAST_SHARE = 0.01;
/** Between these, a background is dark or light as compared with what is in front of it. */
const MIDDLE_GREY = [96, 160] as const;

/** The brightest parts of the originals: the value that 98 % of a garment's pixels do not exceed is less in 8 % of them. */
const BRIGHT = 200;
/** Gently: what was dim stays dimmer than most. */
const MOST_GAIN = 2.5;

/** @throws LockstepError `image-invalid` when there is nothing in front of the background */
export function preparePicture(photo: Photo, source: string): PreparedPicture {
  return original(photo) ?? prepared(flatten(photo), source);
}

/** A picture in the dataset's own format is taken as it is, or turned around when it is printed dark on light. */
function original({ width, height, rgba }: Photo): PreparedPicture | undefined {
  if (width !== WIDTH || height !== HEIGHT) return undefined;
  const pixels = new Uint8Array(WIDTH * HEIGHT);
  for (let i = 0; i < pixels.length; i++) {
    const [red, green, blue, opacity] = rgba.subarray(4 * i, 4 * i + 4);
    if (red !== green || green !== blue || opacity !== 255) return undefined;
    pixels[i] = red!;
  }
  const [grey] = commonColour(rgba, edgePixels({ width, height, rgba }));
  if (grey < 128) return { pixels, background: 'dark' };
  return { pixels: pixels.map((value) => 255 - value), background: 'light' };
}

function prepared(photo: Photo, source: string): PreparedPicture {
  const { width, height, rgba } = photo;
  const edge = edgePixels(photo);
  const ground = commonColour(rgba, edge);
  const tolerance = toleranceOf(rgba, edge, ground);
  // Loops instead of callbacks here and below: a picture has a million pixels.
  const differs = new Uint8Array(width * height);
  for (let i = 0; i < differs.length; i++) differs[i] = distance(rgba, 4 * i, ground) > tolerance ? 1 : 0;
  const box = boxAround(differs, width, height);
  if (!box) {
    const message = `${source} shows nothing but an even background.`;
    throw new LockstepError('image-invalid', message, 'Give a picture of one garment in front of an even background.');
  }
  const background = isLight(rgba, differs, ground) ? 'light' : 'dark';
  const garment = brightness(photo, differs, ground, background);
  const scale = (Math.max(WIDTH, HEIGHT) - 2 * MARGIN) / Math.max(box.right - box.left, box.bottom - box.top);
  const size = (length: number): number => Math.max(1, Math.round(length * scale));
  const small = resample(garment, box, size(box.right - box.left), size(box.bottom - box.top));
  return { pixels: centred(small), background };
}

/** Wider where the edge itself is restless: noise, shadow, folds of the cloth that the garment lies on. */
function toleranceOf(rgba: ArrayLike<number>, edge: readonly number[], ground: Colour): number {
  const near = edge.map((at) => distance(rgba, at, ground)).filter((apart) => apart <= MOST_TOLERANCE);
  const spread = near.sort((a, b) => a - b)[Math.floor(near.length * 0.995)] ?? 0;
  return Math.min(MOST_TOLERANCE, Math.max(LEAST_TOLERANCE, 1.3 * spread));
}

/** The rows and columns in which enough differs; specks do not count. */
function boxAround(differs: Uint8Array, width: number, height: number): Box | undefined {
  const rows = new Uint32Array(height);
  const columns = new Uint32Array(width);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      rows[y]! += differs[y * width + x]!;
      columns[x]! += differs[y * width + x]!;
    }
  }
  const range = (counts: Uint32Array, across: number): [number, number] | undefined => {
    const enough = (count: number): boolean => count > 0 && count >= LEAST_SHARE * across;
    const first = counts.findIndex(enough);
    return first < 0 ? undefined : [first, counts.findLastIndex(enough) + 1];
  };
  const vertical = range(rows, width);
  const horizontal = range(columns, height);
  if (!vertical || !horizontal) return undefined;
  return { left: horizontal[0], right: horizontal[1], top: vertical[0], bottom: vertical[1] };
}

function isLight(rgba: ArrayLike<number>, differs: Uint8Array, ground: Colour): boolean {
  const level = luminance(...ground);
  if (level < MIDDLE_GREY[0]) return false;
  if (level > MIDDLE_GREY[1]) return true;
  let [sum, count] = [0, 0];
  for (let i = 0; i < differs.length; i++) {
    if (differs[i] === 0) continue;
    sum += luminance(rgba[4 * i]!, rgba[4 * i + 1]!, rgba[4 * i + 2]!);
    count++;
  }
  return sum < level * count;
}

/** How far each pixel is from the background, on the scale on which black is from white: 0..255. */
function brightness(
  { width, height, rgba }: Photo,
  differs: Uint8Array,
  ground: Colour,
  background: PreparedPicture['background'],
): Plane {
  const level = luminance(...ground);
  const [sign, range] = background === 'light' ? [-1, level] : [1, 255 - level];
  const values = new Float32Array(width * height);
  for (let i = 0; i < values.length; i++) {
    if (differs[i] === 0) continue;
    const above = sign * (luminance(rgba[4 * i]!, rgba[4 * i + 1]!, rgba[4 * i + 2]!) - level);
    values[i] = Math.max(0, (above * 255) / range);
  }
  return { width, height, values };
}

/** In the middle of the picture, and no dimmer than the originals are. */
function centred({ width, height, values }: Plane): Uint8Array {
  const lit = values.filter((value) => value > LEAST_TOLERANCE).sort();
  const bright = lit[Math.floor(lit.length * 0.98)] ?? BRIGHT;
  const gain = Math.min(MOST_GAIN, Math.max(1, BRIGHT / bright));
  const [left, top] = [Math.floor((WIDTH - width) / 2), Math.floor((HEIGHT - height) / 2)];
  const pixels = new Uint8Array(WIDTH * HEIGHT);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      pixels[(top + y) * WIDTH + left + x] = Math.min(255, Math.round(values[y * width + x]! * gain));
    }
  }
  return pixels;
}
