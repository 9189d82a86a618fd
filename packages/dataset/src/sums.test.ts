import { describe, expect, it } from 'vitest';
import { ORIGINALS } from './fashion-mnist.ts';
import { difference, differenceFromPublished, sumsOf } from './sums.ts';

describe('sums', () => {
  const found = sumsOf(Buffer.from('abc'));

  it('are MD5 and SHA-256, as RFC 1321 and FIPS 180-2 give them for abc', () => {
    expect(found).toEqual({
      bytes: 3,
      md5: '900150983cd24fb0d6963f7d28e17f72',
      sha256: 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
    });
  });

  it('must all be equal', () => {
    expect(difference(found, { ...found })).toBeUndefined();
    expect(difference(found, { ...found, bytes: 4 })).toBe('its size is 3 bytes instead of 4');
    expect(difference(found, { ...found, md5: 'x' })).toBe(`its MD5 is ${found.md5} instead of x`);
    expect(difference(found, { ...found, sha256: 'x' })).toBe(`its SHA-256 is ${found.sha256} instead of x`);
  });

  it('are compared with those of the file by that name, unless it is the other form of the same file', () => {
    const file = ORIGINALS.files[0]!;
    for (const sums of [file.compressed, file.plain]) {
      for (const path of ['a.gz', 'a']) expect(differenceFromPublished(sums, path, file)).toBeUndefined();
    }
    expect(differenceFromPublished(found, 'a.gz', file)).toContain(`instead of ${file.compressed.bytes}`);
    expect(differenceFromPublished(found, 'a', file)).toContain(`instead of ${file.plain.bytes}`);
  });
});
