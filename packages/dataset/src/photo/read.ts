/** Reads a picture of any kind from a file, with bounds on what that may cost. */
import { readFile, stat } from 'node:fs/promises';
import { LockstepError } from '@lockstep/core';
import { isOpaque, type Photo } from './background.ts';
import { type PhotoHeader, photoFormats, readPhotoHeader } from './header.ts';
import { type Checked, CUT_OFF, withoutColourNotes } from './png.ts';

/** Decoded, a picture of this size takes 400 MB. */
const MAX_PIXELS = 100_000_000;
const MAX_BYTES = 256 * 1024 * 1024;
/** A larger picture is scaled down while it is drawn: detail below a thirtieth of the final pixels is of no use. */
const MAX_SIDE = 1024;

const invalid = (message: string, nextStep: string, cause?: unknown): LockstepError =>
  new LockstepError('image-invalid', message, nextStep, cause === undefined ? undefined : { cause });

/** @throws LockstepError `image-invalid` */
async function readBytes(path: string): Promise<Buffer> {
  let bytes: Buffer;
  try {
    const info = await stat(path);
    if (info.isDirectory())
      throw invalid(`${path} is a folder.`, 'Name the pictures in it: lockstep predict folder/*.jpg');
    if (!info.isFile()) throw invalid(`${path} is no file.`, 'Name files that hold pictures.');
    if (info.size > MAX_BYTES) {
      const megabytes = Math.round(info.size / 1024 / 1024);
      throw invalid(
        `${path} has ${megabytes} MB; at most 256 MB are read.`,
        'Scale it down: 28 x 28 pixels are looked at.',
      );
    }
    bytes = await readFile(path);
  } catch (error) {
    if (error instanceof LockstepError) throw error;
    const { code } = error as NodeJS.ErrnoException;
    const why = code === 'ENOENT' ? 'does not exist' : `cannot be read (${code})`;
    throw invalid(`${path} ${why}.`, 'Check the path and its permissions.', error);
  }
  return bytes;
}

/**
 * Decodes a picture; a large one comes out scaled down, its longer side 1024 pixels. Turned as its EXIF orientation says.
 * @throws LockstepError `image-invalid` when there is no such file, it is no picture, too large, or cut off
 */
export async function readPhoto(path: string): Promise<Photo> {
  const bytes = await readBytes(path);
  const header = readPhotoHeader(bytes);
  if (!header) {
    const message = `${path} is no picture in a format that is known here (${photoFormats.join(', ')}).`;
    throw invalid(message, 'Convert it to PNG or JPEG.');
  }
  if (header.width * header.height > MAX_PIXELS) {
    const megapixels = Math.ceil((header.width * header.height) / 1e6);
    const size = `${header.width} x ${header.height}`;
    const message = `${path} has ${size} pixels, ${megapixels} megapixels; at most ${MAX_PIXELS / 1e6} are decoded.`;
    throw invalid(message, 'Scale it down: 28 x 28 pixels are looked at.');
  }
  const photo = await decode(path, bytes, header);
  // The decoder leaves out what is missing; a JPEG has no other way to be transparent.
  if (header.format === 'JPEG' && !isOpaque(photo)) throw broken(path, CUT_OFF);
  return photo;
}

const broken = (path: string, problem: string, cause?: unknown): LockstepError =>
  invalid(`${path} ${problem}.`, 'Copy or download it again.', cause);

/** What is to be decoded, or why not. */
function check(bytes: Buffer, { format }: PhotoHeader): Checked {
  if (format === 'PNG') return withoutColourNotes(bytes);
  const isShort = format === 'WebP' && bytes.readUInt32LE(4) + 8 > bytes.length;
  return isShort ? { ok: false, problem: CUT_OFF } : { ok: true, bytes };
}

async function decode(path: string, bytes: Buffer, header: PhotoHeader): Promise<Photo> {
  const checked = check(bytes, header);
  if (!checked.ok) throw broken(path, checked.problem);
  const { createCanvas, loadImage } = await import('@napi-rs/canvas');
  const image = await loadImage(checked.bytes).catch((error: Error) => {
    throw broken(path, `is damaged: it cannot be decoded as ${header.format}`, error);
  });
  const scale = Math.min(1, MAX_SIDE / Math.max(image.width, image.height));
  const width = Math.max(1, Math.round(image.width * scale));
  const height = Math.max(1, Math.round(image.height * scale));
  const ink = createCanvas(width, height).getContext('2d');
  ink.imageSmoothingQuality = 'high';
  ink.drawImage(image, 0, 0, width, height);
  return { width, height, rgba: ink.getImageData(0, 0, width, height).data };
}
