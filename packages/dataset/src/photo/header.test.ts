import { describe, expect, it } from 'vitest';
import { readPhotoHeader } from './header.ts';
import { type Encoding, greyBmp, picture, withOrientation } from './testing/pictures.ts';

const shade = (width: number, height: number, encoding: Encoding) =>
  picture(
    width,
    height,
    (ink) => {
      ink.fillStyle = '#48a';
      ink.fillRect(2, 2, width / 2, height / 2);
    },
    encoding,
  );

describe('readPhotoHeader', () => {
  it.each<[Encoding, string]>([
    ['png', 'PNG'],
    ['jpeg', 'JPEG'],
    ['webp', 'WebP'],
    ['gif', 'GIF'],
    ['avif', 'AVIF'],
  ])('reads the size of %s', async (encoding, format) => {
    for (const [width, height] of [
      [31, 47],
      [640, 300],
    ] as const) {
      expect(readPhotoHeader(await shade(width, height, encoding))).toEqual({ format, width, height });
    }
  });

  it('reads the size of BMP, also of one that is stored from top to bottom', () => {
    const bmp = greyBmp(31, 47, 9);
    expect(readPhotoHeader(bmp)).toEqual({ format: 'BMP', width: 31, height: 47 });
    bmp.writeInt32LE(-47, 22);
    expect(readPhotoHeader(bmp)?.height).toBe(47);
  });

  it('reads all three kinds of WebP', () => {
    const webp = (kind: string, from: number, size: readonly number[]): Buffer => {
      const bytes = Buffer.alloc(40);
      bytes.write(`RIFF____WEBP${kind}`, 0, 'latin1');
      bytes.set(size, from);
      return bytes;
    };
    const size = { format: 'WebP', width: 300, height: 200 };
    expect(readPhotoHeader(webp('VP8 ', 26, [0x2c, 0x01, 0xc8, 0x00]))).toEqual(size);
    expect(readPhotoHeader(webp('VP8X', 24, [0x2b, 0x01, 0x00, 0xc7, 0x00, 0x00]))).toEqual(size);
    // 14 bits each: 299, 199.
    expect(readPhotoHeader(webp('VP8L', 20, [0x2f, 0x2b, 0xc1, 0x31, 0x00]))).toEqual(size);
  });

  it('finds the size of a JPEG behind notes of a camera', async () => {
    const turned = withOrientation(await shade(60, 40, 'jpeg'), 6);
    expect(readPhotoHeader(turned)).toEqual({ format: 'JPEG', width: 60, height: 40 });
  });

  it('knows nothing else, and nothing that is too short', async () => {
    const svg = '<svg xmlns="http://www.w3.org/2000/svg" width="28" height="28"></svg>';
    for (const other of ['', 'BM', 'RIFF____WAVEfmt ......................', svg, '%PDF-1.7'.padEnd(40)]) {
      expect(readPhotoHeader(Buffer.from(other))).toBeUndefined();
    }
    for (const encoding of ['png', 'jpeg', 'webp', 'gif', 'avif'] as const) {
      expect(readPhotoHeader((await shade(31, 47, encoding)).subarray(0, 20))).toBeUndefined();
    }
  });
});
