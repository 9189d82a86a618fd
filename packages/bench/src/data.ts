/** The pictures of a benchmark: loaded once, and laid in a folder from which every run opens them at once. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type DownloadProgress, type ImageDataset, loadDataset, type Split } from '@lockstep/dataset';

/** Pictures to evaluate after each epoch: a run must have some, and their time does not count. */
const NUM_TEST = 16;

export interface DataSource {
  readonly dataset: 'auto' | 'fashion-mnist' | 'synthetic';
  readonly dataDir: string | undefined;
  readonly env: NodeJS.ProcessEnv;
  readonly onProgress: ((progress: DownloadProgress) => void) | undefined;
  readonly signal: AbortSignal | undefined;
}

/**
 * Loads the data and writes it to `folder`, with only a few test pictures.
 * @throws LockstepError as `loadDataset` does
 */
export async function prepareData(source: DataSource, folder: string): Promise<ImageDataset> {
  const dataset = await loadDataset(source);
  const test = { ...dataset.test, count: Math.min(dataset.test.count, NUM_TEST) };
  await writeData({ ...dataset, test }, folder);
  return dataset;
}

/** Writes a dataset as the four files that a run opens. */
export async function writeData({ train, test, imageShape }: ImageDataset, folder: string): Promise<void> {
  await writeSplit(folder, 'train', train, imageShape);
  await writeSplit(folder, 't10k', test, imageShape);
}

/** Two files in the IDX format, as Fashion-MNIST is published. */
async function writeSplit(
  folder: string,
  prefix: string,
  { images, labels, count }: Split,
  [height, width]: ImageDataset['imageShape'],
): Promise<void> {
  const pictures = images.subarray(0, count * height * width);
  await writeFile(join(folder, `${prefix}-images-idx3-ubyte`), idx([count, height, width], pictures));
  await writeFile(join(folder, `${prefix}-labels-idx1-ubyte`), idx([count], labels.subarray(0, count)));
}

/** An array of bytes in the IDX format. */
function idx(dims: readonly number[], values: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(4 + 4 * dims.length + values.length);
  const header = new DataView(bytes.buffer);
  header.setUint32(0, 0x0800 + dims.length);
  for (const [i, dimension] of dims.entries()) header.setUint32(4 + 4 * i, dimension);
  bytes.set(values, 4 + 4 * dims.length);
  return bytes;
}
