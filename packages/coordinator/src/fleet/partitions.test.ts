import { createHash } from 'node:crypto';
import { ShardPlan } from '@lockstep/core';
import { expect, it } from 'vitest';
import { Partitions } from './partitions.ts';

const PART_BYTES = 2 ** 20;

/** Samples of which each byte says where it stands. */
function samples(count: number, sampleSize: number) {
  const images = Uint8Array.from({ length: count * sampleSize }, (_, i) => i % 251);
  return { images, labels: Uint8Array.from({ length: count }, (_, i) => 255 - (i % 10)), count };
}

/** All of a partition, as somebody would fetch it. */
function fetchAll(partitions: Partitions, digest: string): { bytes: Buffer; lengths: number[] } {
  const parts: Buffer[] = [];
  let length = 0;
  for (;;) {
    const { total, pieces } = partitions.read(digest, length)!;
    const part = Buffer.concat(pieces);
    parts.push(part);
    length += part.length;
    if (length >= total) return { bytes: Buffer.concat(parts), lengths: parts.map((bytes) => bytes.length) };
  }
}

it.each([
  ['in one part', 10, 784],
  ['in several parts', 5, 500_000],
  ['in a part that ends among the labels', 600_000, 1],
  ['in a part that ends with the pictures', 1, PART_BYTES],
])('a partition is its pictures, then its labels, %s', (_, count, sampleSize) => {
  const train = samples(count, sampleSize);
  const partitions = new Partitions(new ShardPlan(count, 1, 1), train);
  const { bytes, lengths } = fetchAll(partitions, partitions.digests[0]!);
  expect(Buffer.concat([train.images, train.labels]).equals(bytes)).toBe(true);
  expect(createHash('sha256').update(bytes).digest('hex')).toBe(partitions.digests[0]);
  expect(lengths.slice(0, -1).every((length) => length === PART_BYTES)).toBe(true);
  expect(lengths.at(-1)).toBeLessThanOrEqual(PART_BYTES);
});

it('each shard has the samples that the plan gives it, and samples that are not in the plan belong to nobody', () => {
  const train = samples(12, 3);
  const partitions = new Partitions(new ShardPlan(10, 4, 4), train);
  const bytes = partitions.digests.map((digest) => [...fetchAll(partitions, digest).bytes]);
  expect(bytes.map(({ length }) => length)).toEqual([8, 12, 8, 12]);
  expect(bytes[1]).toEqual([...train.images.subarray(6, 15), ...train.labels.subarray(2, 5)]);
});

it('a shard without samples has a partition without bytes', () => {
  const partitions = new Partitions(new ShardPlan(3, 4, 4), samples(3, 2));
  expect(fetchAll(partitions, partitions.digests[0]!).bytes).toHaveLength(0);
});

it('nothing is read of a partition that there is not, nor behind the end of one', () => {
  const partitions = new Partitions(new ShardPlan(10, 2, 2), samples(10, 3));
  expect(partitions.read('0'.repeat(64), 0)).toBeUndefined();
  expect(partitions.read(partitions.digests[0]!, 21)).toBeUndefined();
});
