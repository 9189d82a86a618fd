/** What all drawn pictures share: canvas and font, colours, and how they get into a file. */
import { mkdir } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, resolve } from 'node:path';
import { LockstepError } from '@lockstep/core';
import writeFileAtomic from 'write-file-atomic';

const FONT = 'Lockstep Sans';

export const COLOURS = { page: '#ffffff', frame: '#d5d8dc', title: '#16191d', label: '#3b4149' };

/** A font of so many pixels, for a canvas of {@link openCanvas}. */
export const font = (size: number): string => `${size}px "${FONT}"`;

/** Loaded when something is drawn, since the native library is of no use to a run that draws nothing. */
export async function openCanvas() {
  const { createCanvas, GlobalFonts } = await import('@napi-rs/canvas');
  if (!GlobalFonts.has(FONT)) {
    const require = createRequire(import.meta.url);
    GlobalFonts.registerFromPath(require.resolve('dejavu-fonts-ttf/ttf/DejaVuSans.ttf'), FONT);
  }
  return createCanvas;
}

/**
 * Writes a picture in one piece (temporary file, fsync, rename), creating its folder.
 * @returns the absolute path
 * @throws LockstepError `output-unwritable`
 */
export async function writePicture(path: string, png: Buffer): Promise<string> {
  const target = resolve(path);
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
