/** Makes picture files of every kind for tests. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32, deflateSync } from 'node:zlib';
import { createCanvas, type SKRSContext2D } from '@napi-rs/canvas';
import { temporaryFolder } from '../../testing/files.ts';

export type Encoding = 'png' | 'jpeg' | 'webp' | 'gif' | 'avif';

/** Draws a picture and encodes it. @param quality of the lossy formats */
export async function picture(
  width: number,
  height: number,
  draw: (ink: SKRSContext2D) => void,
  encoding: Encoding = 'png',
  quality = 90,
): Promise<Buffer> {
  const canvas = createCanvas(width, height);
  draw(canvas.getContext('2d'));
  return canvas.encode(encoding as 'jpeg', quality);
}

/** Writes a file into a folder of its own. */
export async function fileOf(name: string, content: Uint8Array | string): Promise<string> {
  const path = join(await temporaryFolder(), name);
  await writeFile(path, content);
  return path;
}

export function chunk(type: string, data: Buffer): Buffer {
  const frame = Buffer.alloc(12 + data.length);
  frame.writeUInt32BE(data.length);
  frame.write(type, 4, 'latin1');
  data.copy(frame, 8);
  frame.writeUInt32BE(checksum(frame.subarray(4, 8 + data.length)), 8 + data.length);
  return frame;
}

/** zlib has it from Node.js 20.15 on; the type definitions know it later. */
const checksum: (bytes: Buffer) => number = crc32;

/** A PNG of grey values, with further chunks in front of them. */
export function greyPng(width: number, height: number, grey: ArrayLike<number>, extra: readonly Buffer[] = []): Buffer {
  const head = Buffer.alloc(13);
  head.writeUInt32BE(width);
  head.writeUInt32BE(height, 4);
  head[8] = 8;
  const rows = Buffer.alloc((width + 1) * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) rows[y * (width + 1) + 1 + x] = grey[y * width + x]!;
  }
  const parts = [chunk('IHDR', head), ...extra, chunk('IDAT', deflateSync(rows)), chunk('IEND', Buffer.alloc(0))];
  return Buffer.concat([Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'), ...parts]);
}

/** A BMP of 24 bits per pixel, all of one grey. */
export function greyBmp(width: number, height: number, grey: number): Buffer {
  const stride = Math.ceil((width * 3) / 4) * 4;
  const bytes = Buffer.alloc(54 + stride * height, grey);
  bytes.fill(0, 0, 54);
  bytes.write('BM', 0, 'latin1');
  bytes.writeUInt32LE(bytes.length, 2);
  bytes.writeUInt32LE(54, 10);
  bytes.writeUInt32LE(40, 14);
  bytes.writeInt32LE(width, 18);
  bytes.writeInt32LE(height, 22);
  bytes.writeUInt16LE(1, 26);
  bytes.writeUInt16LE(24, 28);
  return bytes;
}

/** The same JPEG with an EXIF orientation, as a camera that was turned writes it. */
export function withOrientation(jpeg: Buffer, orientation: number): Buffer {
  const entry = [0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, orientation, 0, 0];
  const tiff = [...Buffer.from('MM\0*\0\0\0\x08', 'latin1'), 0, 1, ...entry, 0, 0, 0, 0];
  const exif = Buffer.from([...Buffer.from('Exif\0\0', 'latin1'), ...tiff]);
  const segment = Buffer.concat([Buffer.from([0xff, 0xe1, 0, exif.length + 2]), exif]);
  return Buffer.concat([jpeg.subarray(0, 2), segment, jpeg.subarray(2)]);
}
