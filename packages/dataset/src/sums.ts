/** Compares files with the published ones by size, MD5 and SHA-256. */

import { createHash } from 'node:crypto';
import type { OriginalFile, Sums } from './fashion-mnist.ts';

export function sumsOf(bytes: Uint8Array): Sums {
  return {
    bytes: bytes.length,
    md5: createHash('md5').update(bytes).digest('hex'),
    sha256: createHash('sha256').update(bytes).digest('hex'),
  };
}

/** What differs between two sums, as a phrase for people; undefined when nothing does. */
export function difference(found: Sums, expected: Sums): string | undefined {
  if (found.bytes !== expected.bytes) return `its size is ${found.bytes} bytes instead of ${expected.bytes}`;
  if (found.md5 !== expected.md5) return `its MD5 is ${found.md5} instead of ${expected.md5}`;
  if (found.sha256 !== expected.sha256) return `its SHA-256 is ${found.sha256} instead of ${expected.sha256}`;
  return undefined;
}

/**
 * How a file differs from the published one, compressed or plain; undefined when it is one of the two. A plain file may
 * bear the name of the compressed one, as some browsers save it.
 */
export function differenceFromPublished(found: Sums, path: string, original: OriginalFile): string | undefined {
  const named = path.endsWith('.gz') ? original.compressed : original.plain;
  const other = path.endsWith('.gz') ? original.plain : original.compressed;
  return difference(found, other) === undefined ? undefined : difference(found, named);
}
