/** Draws samples of a split as one picture: enlarged, dark on light as in print, with the class name below each. */
import { LockstepError } from '@lockstep/core';
import type { Split } from './dataset.ts';
import { writePicture } from './drawing.ts';
import { IMAGE_SHAPE } from './fashion-mnist.ts';
import { pictureSheet } from './picture-sheet.ts';

const NUM_PIXELS = IMAGE_SHAPE[0] * IMAGE_SHAPE[1];

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
export async function contactSheet({
  split,
  classNames,
  indices,
  columns,
  title,
}: ContactSheetOptions): Promise<Buffer> {
  const outside = indices.find((index) => !Number.isInteger(index) || index < 0 || index >= split.count);
  if (outside !== undefined) {
    const message = `There is no image ${outside}: the split holds images 0 to ${split.count - 1}`;
    throw new LockstepError('usage', message, 'Ask for images within the split.');
  }
  const pictures = indices.map((index) => {
    const label = split.labels[index]!;
    const pixels = split.images.subarray(index * NUM_PIXELS, (index + 1) * NUM_PIXELS);
    return { pixels, captions: [classNames[label] ?? `class ${label}`] };
  });
  return pictureSheet({ pictures, columns, title, shades: 'inverted' });
}

/**
 * Writes a contact sheet to `path` in one piece (temporary file, fsync, rename), creating its folder.
 *
 * @returns the absolute path.
 * @throws LockstepError `output-unwritable` when the file cannot be written, and what {@link contactSheet} throws.
 */
export async function writeContactSheet(path: string, options: ContactSheetOptions): Promise<string> {
  return writePicture(path, await contactSheet(options));
}
