/** The training set as shards: what workers fetch, named by its content. */
import { createHash } from 'node:crypto';
import type { ShardPlan } from '@lockstep/core';
import type { Split } from '@lockstep/dataset';

/** Bytes per message. */
const PART_BYTES = 2 ** 20;

interface Partition {
  readonly images: Uint8Array;
  readonly labels: Uint8Array;
}

export interface PartOf {
  readonly total: number;
  /** Pieces from the offset on, together at most {@link PART_BYTES} long. */
  readonly pieces: readonly Uint8Array[];
}

/** A shard's partition is its pictures [n, height, width, channels], then its labels [n]. */
export class Partitions {
  /** SHA-256 per shard, in hexadecimal. */
  readonly digests: readonly string[];
  readonly #byDigest = new Map<string, Partition>();

  constructor(plan: ShardPlan, train: Split) {
    const sampleSize = train.images.length / train.labels.length;
    this.digests = Array.from({ length: plan.numShards }, (_, shard) => {
      const { from, to } = plan.partition(shard);
      const images = train.images.subarray(from * sampleSize, to * sampleSize);
      const labels = train.labels.subarray(from, to);
      const digest = createHash('sha256').update(images).update(labels).digest('hex');
      this.#byDigest.set(digest, { images, labels });
      return digest;
    });
  }

  /** @returns undefined when there is no such partition, or nothing at that offset */
  read(digest: string, offset: number): PartOf | undefined {
    const partition = this.#byDigest.get(digest);
    if (!partition) return undefined;
    const { images, labels } = partition;
    const total = images.length + labels.length;
    if (offset > total) return undefined;
    const end = Math.min(total, offset + PART_BYTES);
    const pieces = [
      images.subarray(offset, end),
      labels.subarray(Math.max(0, offset - images.length), Math.max(0, end - images.length)),
    ];
    return { total, pieces };
  }
}
