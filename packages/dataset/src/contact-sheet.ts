/** Draws samples of a split as one picture: enlarged, dark on light, with the class name below each. */

import { mkdir } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, resolve } from 'node:path';
import { LockstepError } from '@lockstep/core';
import writeFileAtomic from 'write-file-atomic';
import type { Split } from './dataset.ts';
import { IMAGE_SHAPE } from './fashion-mnist.ts';

const [HEIGHT, WIDTH] = IMAGE_SHAPE;
const FONT = 'Lockstep Sans';
/** Lengths below are in pixels of the picture. */
const MAX_IMAGES = 2_000;
const COLOURS = { page: '#ffffff', frame: '#d5d8dc', title: '#16191d', label: '#3b4149' };

export interface ContactSheetOptions {
  readonly split: Split;
  readonly classNames: readonly string[];
  /** Which images of the split, in reading order. */
  readonly indices: readonly number[];
  /** Undefined: six for up to twelve images (the tutorial's 2 x 6 grid), else a picture a little wider than high. */
  readonly columns: number | undefined;
  /** A line above the grid; undefined for none. */
  readonly title: string | undefined;
}

/**
 * Encodes a contact sheet as PNG.
 *
 * @throws LockstepError `usage` when there is nothing or too much to draw, or an index lies outside of the split.
 */
export async function contactSheet(options: ContactSheetOptions): Promise<Buffer> {
  const { split, classNames, indices, title } = options;
  checkIndices(indices, split.count);
  const columns = numColumns(options);
  const rows = Math.ceil(indices.length / columns);
  const look = lookFor(indices.length);
  const cell = WIDTH * look.zoom;
  const stepX = cell + look.gap;
  const stepY = cell + look.gap + look.font * 1.6;
  const head = title === undefined ? 0 : Math.round(look.font * 2.9);
  // Loaded here, since its native library is of no use to a run that draws nothing.
  const { createCanvas, GlobalFonts } = await import('@napi-rs/canvas');
  if (!GlobalFonts.has(FONT)) {
    const require = createRequire(import.meta.url);
    GlobalFonts.registerFromPath(require.resolve('dejavu-fonts-ttf/ttf/DejaVuSans.ttf'), FONT);
  }
  const width = 2 * look.margin + columns * stepX - look.gap;
  const height = Math.ceil(2 * look.margin + head + rows * stepY - look.gap);
  const page = createCanvas(width, height);
  const ink = page.getContext('2d');
  ink.fillStyle = COLOURS.page;
  ink.fillRect(0, 0, width, height);
  if (title !== undefined) {
    const size = Math.round(look.font * 1.35);
    ink.font = `${size}px "${FONT}"`;
    ink.fillStyle = COLOURS.title;
    ink.textBaseline = 'top';
    ink.fillText(title, look.margin, look.margin, width - 2 * look.margin);
  }
  const tile = createCanvas(WIDTH, HEIGHT);
  const tileInk = tile.getContext('2d');
  const pixels = tileInk.createImageData(WIDTH, HEIGHT);
  ink.imageSmoothingEnabled = false;
  ink.textAlign = 'center';
  ink.textBaseline = 'alphabetic';
  ink.font = `${look.font}px "${FONT}"`;
  ink.lineWidth = 1;
  ink.strokeStyle = COLOURS.frame;
  indices.forEach((index, i) => {
    const x = look.margin + (i % columns) * stepX;
    const y = Math.round(look.margin + head + Math.floor(i / columns) * stepY);
    copyInverted(split.images, index * HEIGHT * WIDTH, pixels.data);
    tileInk.putImageData(pixels, 0, 0);
    ink.drawImage(tile, x, y, cell, cell);
    ink.strokeRect(x - 0.5, y - 0.5, cell + 1, cell + 1);
    const label = split.labels[index]!;
    ink.fillStyle = COLOURS.label;
    ink.fillText(classNames[label] ?? `class ${label}`, x + cell / 2, y + cell + look.font * 1.35, cell + look.gap - 2);
  });
  return page.encode('png');
}

/**
 * Writes a contact sheet to `path` in one piece (temporary file, fsync, rename), creating its folder.
 *
 * @returns the absolute path.
 * @throws LockstepError `output-unwritable` when the file cannot be written, and what {@link contactSheet} throws.
 */
export async function writeContactSheet(path: string, options: ContactSheetOptions): Promise<string> {
  const target = resolve(path);
  const png = await contactSheet(options);
  try {
    await mkdir(dirname(target), { recursive: true });
    await writeFileAtomic(target, png);
  } catch (error) {
    throw new LockstepError(
      'output-unwritable',
      `The picture cannot be written to ${target}: ${(error as Error).message}`,
      'Name a file in a folder that you may write to.',
      { cause: error },
    );
  }
  return target;
}

function checkIndices(indices: readonly number[], count: number): void {
  if (indices.length < 1 || indices.length > MAX_IMAGES) {
    const message = `A contact sheet shows 1 to ${MAX_IMAGES} images; ${indices.length} were asked for`;
    throw new LockstepError('usage', message, 'Ask for another number of images.');
  }
  const outside = indices.find((index) => !Number.isInteger(index) || index < 0 || index >= count);
  if (outside === undefined) return;
  const message = `There is no image ${outside}: the split holds images 0 to ${count - 1}`;
  throw new LockstepError('usage', message, 'Ask for images within the split.');
}

function numColumns({ columns, indices }: ContactSheetOptions): number {
  const num = indices.length;
  if (columns === undefined) return num <= 12 ? Math.min(num, 6) : Math.ceil(Math.sqrt(num * 1.5));
  if (Number.isInteger(columns) && columns >= 1) return Math.min(columns, num);
  throw new LockstepError('usage', `A contact sheet cannot have ${columns} columns`, 'Ask for at least one column.');
}

/** The more images, the smaller each one; the class names must still fit below. */
function lookFor(count: number): { zoom: number; gap: number; margin: number; font: number } {
  if (count <= 24) return { zoom: 6, gap: 20, margin: 32, font: 18 };
  if (count <= 100) return { zoom: 4, gap: 14, margin: 26, font: 14 };
  return { zoom: 3, gap: 10, margin: 22, font: 12 };
}

/** Pixels of a garment are bright on black; the sheet shows them dark on white, as in print. */
function copyInverted(images: Uint8Array, from: number, rgba: Uint8ClampedArray): void {
  for (let i = 0; i < HEIGHT * WIDTH; i++) {
    const value = 255 - images[from + i]!;
    rgba[4 * i] = rgba[4 * i + 1] = rgba[4 * i + 2] = value;
    rgba[4 * i + 3] = 255;
  }
}
