import { gzipSync } from 'node:zlib';
import type { LockstepError } from '@lockstep/core';
import { describe, expect, it } from 'vitest';
import { checkSameCount, parseIdx, parseImages, parseLabels, plainBytes } from './idx.ts';
import { failureOf, idx } from './testing/files.ts';

const pixels = Uint8Array.from({ length: 2 * 28 * 28 }, (_, i) => i % 251);
const images = idx([2, 28, 28], pixels);
const labels = idx([3], Uint8Array.of(0, 9, 4));

function thrownBy(action: () => unknown): LockstepError {
  try {
    action();
  } catch (error) {
    return error as LockstepError;
  }
  throw new Error('Expected a failure');
}

describe('parseIdx', () => {
  it('reads dimensions and elements, at any offset of a buffer', () => {
    const shifted = Buffer.concat([Buffer.alloc(3), images]).subarray(3);
    const parsed = parseImages(shifted, 'f', 28, 28);
    expect(parsed.dimensions).toEqual([2, 28, 28]);
    expect(Buffer.from(parsed.data).equals(Buffer.from(pixels))).toBe(true);
    expect([...parseLabels(labels, 'f', 10).data]).toEqual([0, 9, 4]);
  });

  const damaged = (change: (copy: Buffer) => Buffer): Buffer => change(Buffer.from(images));
  const cases: [string, Buffer, RegExp][] = [
    ['a wrong magic', damaged((b) => b.fill(0x50, 0, 1)), /begins with the bytes 00 00; found 50 00/],
    ['another element type', damaged((b) => b.fill(0x0d, 2, 3)), /type 08 \(unsigned byte\); found type 0d/],
    ['another rank', damaged((b) => b.fill(1, 3, 4)), /3 dimensions; found 1 dimensions/],
    ['a cut end', damaged((b) => b.subarray(0, -1)), /1568 bytes after the header \(2 x 28 x 28\); found 1567/],
    ['a surplus', damaged((b) => Buffer.concat([b, Buffer.alloc(2)])), /1568 bytes after .*; found 1570/],
    ['a cut header', damaged((b) => b.subarray(0, 15)), /header of 16 bytes; found a file of 15 bytes/],
    ['an empty file', Buffer.alloc(0), /found a file of 0 bytes/],
    ['a count that overflows 32 bits', damaged((b) => b.fill(0xff, 4, 16)), /7\.9228\d+e\+28 bytes after/],
    ['no images', idx([0, 28, 28], new Uint8Array()), /at least one element; found none/],
  ];
  it.each(cases)('refuses %s', (_, bytes, message) => {
    const error = thrownBy(() => parseIdx(bytes, 3, '/data/train-images'));
    expect(error.code).toBe('dataset-invalid');
    expect(error.message).toMatch(/^\/data\/train-images: expected /);
    expect(error.message).toMatch(message);
    expect(error.nextStep).not.toBe('');
  });
});

describe('images and labels', () => {
  it('refuses images of another size', () => {
    const bytes = idx([1, 32, 30], new Uint8Array(960));
    expect(() => parseImages(bytes, 'f', 28, 28)).toThrow(/images of 28 x 28 pixels; found 32 x 30/);
  });

  it('refuses a label out of range and says where', () => {
    const bytes = idx([3], Uint8Array.of(9, 10, 11));
    expect(() => parseLabels(bytes, 'f', 10)).toThrow(/labels from 0 to 9; found 10 as label number 1/);
  });

  it('refuses another number of labels than images', () => {
    const [a, b] = [parseImages(images, 'a', 28, 28), parseLabels(labels, 'b', 10)];
    expect(() => checkSameCount(a, 'a', b, 'b')).toThrow(
      'b: expected one label for each of the 2 images in a; found 3',
    );
  });
});

describe('plainBytes', () => {
  it('decompresses gzip and passes anything else', async () => {
    expect(images.equals(await plainBytes(gzipSync(images), 'f'))).toBe(true);
    expect(await plainBytes(images, 'f')).toBe(images);
  });

  it('says that a gzip file is cut off', async () => {
    const error = await failureOf(plainBytes(gzipSync(images).subarray(0, 40), 'f.gz'));
    expect(error.code).toBe('dataset-invalid');
    expect(error.message).toBe('f.gz: expected a complete gzip file; found one that is cut off after 40 bytes');
  });

  it('says that a gzip file is damaged', async () => {
    const bytes = gzipSync(images);
    bytes[bytes.length - 6]! ^= 1;
    const error = await failureOf(plainBytes(bytes, 'f.gz'));
    expect(error.code).toBe('dataset-invalid');
    expect(error.message).toMatch(/^f\.gz: expected an intact gzip file; found a damaged one \(.*check/);
  });
});
