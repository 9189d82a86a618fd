/** What a loaded dataset is: pixels and labels that threads share, and where they came from. */

import { createHash } from 'node:crypto';

/** Some images with their labels. Both arrays lie over a SharedArrayBuffer, so threads share them without a copy. */
export interface Split {
  /** [count, 28, 28, 1] row-major, 0..255. */
  readonly images: Uint8Array;
  /** [count], 0..9. */
  readonly labels: Uint8Array;
  readonly count: number;
}

export interface ImageDataset {
  readonly name: 'fashion-mnist' | 'synthetic';
  /** The folder that holds the files, or 'generated'. */
  readonly source: string;
  /** Why this one, for people: 'found in LOCKSTEP_DATA_DIR'. */
  readonly reason: string;
  /** To be shown loudly: the synthetic stand-in was taken, or the files are not the originals. */
  readonly notice: string | undefined;
  /** Whether every file has the sums of the published one; undefined for generated images. */
  readonly checksums: 'match' | 'differ' | undefined;
  /** Over train pixels, train labels, test pixels, test labels, in lower-case hexadecimal. */
  readonly sha256: string;
  readonly imageShape: readonly [height: number, width: number, channels: number];
  readonly classNames: readonly string[];
  readonly train: Split;
  readonly test: Split;
}

/** SHA-256 over the contents of two splits, however they were stored. */
export function contentsSha256(train: Split, test: Split): string {
  const hash = createHash('sha256');
  for (const bytes of [train.images, train.labels, test.images, test.labels]) hash.update(bytes);
  return hash.digest('hex');
}

/** How many images of each class a split holds, in label order. */
export function classCounts(split: Split, classNames: readonly string[]): { name: string; count: number }[] {
  const counts = classNames.map((name) => ({ name, count: 0 }));
  for (const label of split.labels) {
    const entry = counts[label];
    if (entry) entry.count += 1;
  }
  return counts;
}
