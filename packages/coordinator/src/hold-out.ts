/** Keeps training pictures back, to be evaluated in place of the test pictures while a run goes on. */
import { drawHeldOut, LockstepError } from '@lockstep/core';
import type { ImageDataset, Split } from '@lockstep/dataset';

/** What a run trains on and is measured by. */
export interface RunData extends ImageDataset {
  /** Evaluated during training; undefined where the test pictures are. */
  readonly validation: Split | undefined;
}

/**
 * Takes `count` pictures out of the training set, by seed and of each class its share.
 * @throws LockstepError `usage` when too few would be left
 */
export function holdOut(dataset: ImageDataset, count: number, seed: number): RunData {
  const { train } = dataset;
  if (count === 0) return { ...dataset, validation: undefined };
  if (count >= train.count) {
    throw new LockstepError(
      'usage',
      `--validation ${count} leaves nothing of ${train.count} training pictures.`,
      'Hold out fewer, such as a tenth; or raise --limit-train.',
    );
  }
  const drawn = drawHeldOut(train.labels.subarray(0, train.count), count, seed);
  const isDrawn = new Set(drawn);
  const rest = Uint32Array.from({ length: train.count }, (_, i) => i).filter((i) => !isDrawn.has(i));
  return { ...dataset, train: pick(train, rest), validation: pick(train, drawn) };
}

/** Some samples of a split, as one of its own. */
function pick({ images, labels }: Split, indices: Uint32Array): Split {
  const size = images.length / labels.length;
  const picked = {
    images: new Uint8Array(new SharedArrayBuffer(indices.length * size)),
    labels: new Uint8Array(new SharedArrayBuffer(indices.length)),
    count: indices.length,
  };
  indices.forEach((from, to) => {
    picked.images.set(images.subarray(from * size, (from + 1) * size), to * size);
    picked.labels[to] = labels[from]!;
  });
  return picked;
}
