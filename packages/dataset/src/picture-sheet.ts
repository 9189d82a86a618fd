/** Draws small grey pictures in a grid: enlarged, each with a few words below it. */
import { LockstepError } from '@lockstep/core';
import { COLOURS, font, openCanvas, writePicture } from './drawing.ts';
import { IMAGE_SHAPE } from './fashion-mnist.ts';

const [HEIGHT, WIDTH] = IMAGE_SHAPE;
/** Lengths below are in pixels of the picture. */
const MAX_IMAGES = 2_000;

export interface SheetPicture {
  /** [28, 28] grey values. */
  readonly pixels: Uint8Array;
  /** Lines of text below it. */
  readonly captions: readonly string[];
}

export interface PictureSheetOptions {
  readonly pictures: readonly SheetPicture[];
  /** Undefined: six for up to twelve images, else a picture a little wider than high. */
  readonly columns: number | undefined;
  /** A line above the grid; undefined for none. */
  readonly title: string | undefined;
  /** Garments are bright on black; `inverted` shows them dark on white, as in print. */
  readonly shades: 'as they are' | 'inverted';
}

/**
 * Encodes a sheet as PNG.
 * @throws LockstepError `usage` when there is nothing or too much to draw
 */
export async function pictureSheet(options: PictureSheetOptions): Promise<Buffer> {
  const { pictures, title, shades } = options;
  if (pictures.length < 1 || pictures.length > MAX_IMAGES) {
    const message = `A contact sheet shows 1 to ${MAX_IMAGES} images; ${pictures.length} were asked for`;
    throw new LockstepError('usage', message, 'Ask for another number of images.');
  }
  const columns = numColumns(options.columns, pictures.length);
  const rows = Math.ceil(pictures.length / columns);
  const look = lookFor(pictures.length);
  const cell = WIDTH * look.zoom;
  const lines = Math.max(...pictures.map(({ captions }) => captions.length));
  const stepX = cell + look.gap;
  const stepY = cell + look.gap + look.font * (0.25 + 1.35 * lines);
  const head = title === undefined ? 0 : Math.round(look.font * 2.9);
  const createCanvas = await openCanvas();
  const width = 2 * look.margin + columns * stepX - look.gap;
  const height = Math.ceil(2 * look.margin + head + rows * stepY - look.gap);
  const page = createCanvas(width, height);
  const ink = page.getContext('2d');
  ink.fillStyle = COLOURS.page;
  ink.fillRect(0, 0, width, height);
  if (title !== undefined) {
    ink.font = font(Math.round(look.font * 1.35));
    ink.fillStyle = COLOURS.title;
    ink.textBaseline = 'top';
    ink.fillText(title, look.margin, look.margin, width - 2 * look.margin);
  }
  const tile = createCanvas(WIDTH, HEIGHT);
  const tileInk = tile.getContext('2d');
  const tilePixels = tileInk.createImageData(WIDTH, HEIGHT);
  ink.imageSmoothingEnabled = false;
  ink.textAlign = 'center';
  ink.textBaseline = 'alphabetic';
  ink.font = font(look.font);
  ink.lineWidth = 1;
  ink.strokeStyle = COLOURS.frame;
  ink.fillStyle = COLOURS.label;
  pictures.forEach(({ pixels, captions }, i) => {
    const x = look.margin + (i % columns) * stepX;
    const y = Math.round(look.margin + head + Math.floor(i / columns) * stepY);
    copyGrey(pixels, shades === 'inverted', tilePixels.data);
    tileInk.putImageData(tilePixels, 0, 0);
    ink.drawImage(tile, x, y, cell, cell);
    ink.strokeRect(x - 0.5, y - 0.5, cell + 1, cell + 1);
    captions.forEach((caption, line) => {
      ink.fillText(caption, x + cell / 2, y + cell + look.font * 1.35 * (line + 1), cell + look.gap - 2);
    });
  });
  return page.encode('png');
}

/**
 * Writes a sheet to `path` in one piece, creating its folder.
 * @returns the absolute path
 * @throws LockstepError `output-unwritable` when the file cannot be written, and what {@link pictureSheet} throws
 */
export async function writePictureSheet(path: string, options: PictureSheetOptions): Promise<string> {
  return writePicture(path, await pictureSheet(options));
}

function numColumns(columns: number | undefined, count: number): number {
  if (columns === undefined) return count <= 12 ? Math.min(count, 6) : Math.ceil(Math.sqrt(count * 1.5));
  if (Number.isInteger(columns) && columns >= 1) return Math.min(columns, count);
  throw new LockstepError('usage', `A contact sheet cannot have ${columns} columns`, 'Ask for at least one column.');
}

/** The more images, the smaller each one; the class names must still fit below. */
function lookFor(count: number): { zoom: number; gap: number; margin: number; font: number } {
  if (count <= 24) return { zoom: 6, gap: 20, margin: 32, font: 18 };
  if (count <= 100) return { zoom: 4, gap: 14, margin: 26, font: 14 };
  return { zoom: 3, gap: 10, margin: 22, font: 12 };
}

function copyGrey(pixels: Uint8Array, inverted: boolean, rgba: Uint8ClampedArray): void {
  for (let i = 0; i < HEIGHT * WIDTH; i++) {
    const value = inverted ? 255 - pixels[i]! : pixels[i]!;
    rgba[4 * i] = rgba[4 * i + 1] = rgba[4 * i + 2] = value;
    rgba[4 * i + 3] = 255;
  }
}
