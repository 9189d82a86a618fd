import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { contentsSha256 } from './dataset.ts';
import { ORIGINALS } from './fashion-mnist.ts';
import { type LoadOptions, loadDataset } from './load.ts';
import {
  COMPRESSED,
  failureOf,
  idx,
  NAMES,
  NUM_TEST,
  PLAIN,
  SMALL,
  smallFolder,
  temporaryFolder,
} from './testing/files.ts';
import { closedPort, startMirror, startSilentPort } from './testing/server.ts';

const auto: LoadOptions = { dataset: 'auto', dataDir: undefined, env: {}, onProgress: undefined, signal: undefined };
const real: LoadOptions = { ...auto, dataset: 'fashion-mnist' };
const TRAIN_IMAGES = `${NAMES.trainImages}.gz`;
const TEST_LABELS = `${NAMES.testLabels}.gz`;

/** Other test labels in the right format: each one class further. */
const OTHER_LABELS = gzipSync(
  idx(
    [NUM_TEST],
    PLAIN.testLabels.subarray(8).map((label) => (label + 1) % 10),
  ),
);

async function cacheRoot(changes?: Record<string, Uint8Array | undefined>): Promise<string> {
  const root = await temporaryFolder();
  await mkdir(join(root, 'fashion-mnist'));
  for (const [name, bytes] of Object.entries({ ...Object.fromEntries(COMPRESSED), ...changes })) {
    if (bytes) await writeFile(join(root, 'fashion-mnist', name), bytes);
  }
  return root;
}

describe('a folder that was named', () => {
  it('is read: compressed files', async () => {
    const dataDir = await smallFolder();
    const data = await loadDataset({ ...real, dataDir, env: { LOCKSTEP_DATA_DIR: '/nowhere' } }, SMALL);
    expect(data).toMatchObject({ name: 'fashion-mnist', source: dataDir, checksums: 'match', notice: undefined });
    expect(data.reason).toBe('found in the folder given by --data-dir');
    expect(data.sha256).toBe(SMALL.originals.contentsSha256);
    expect(data.sha256).toBe(contentsSha256(data.train, data.test));
    expect(Buffer.from(data.train.images).equals(PLAIN.trainImages.subarray(16))).toBe(true);
    expect(Buffer.from(data.test.labels).equals(PLAIN.testLabels.subarray(8))).toBe(true);
    expect([data.train.count, data.test.count]).toEqual([200, 30]);
    for (const { images, labels } of [data.train, data.test]) {
      expect(images.buffer).toBeInstanceOf(SharedArrayBuffer);
      expect(labels.buffer).toBeInstanceOf(SharedArrayBuffer);
    }
  });

  it('is read: plain files, one of them under the name of a compressed one', async () => {
    const folder = await smallFolder({
      [TRAIN_IMAGES]: undefined,
      [NAMES.trainImages]: PLAIN.trainImages,
      [TEST_LABELS]: PLAIN.testLabels,
    });
    const data = await loadDataset({ ...auto, env: { LOCKSTEP_DATA_DIR: folder } }, SMALL);
    expect(data).toMatchObject({ reason: 'found in LOCKSTEP_DATA_DIR', checksums: 'match', notice: undefined });
    expect(data.sha256).toBe(SMALL.originals.contentsSha256);
  });

  it('may hold another dataset of the same format, which is said', async () => {
    const dataDir = await smallFolder({ [TEST_LABELS]: OTHER_LABELS });
    const data = await loadDataset({ ...real, dataDir }, SMALL);
    expect(data.checksums).toBe('differ');
    expect(data.notice).toContain(join(dataDir, TEST_LABELS));
    expect(data.notice).not.toContain(TRAIN_IMAGES);
    expect(data.notice).toContain('cannot be compared');
  });

  it('may hold files that were compressed again, which is said', async () => {
    const dataDir = await smallFolder({ [TRAIN_IMAGES]: gzipSync(PLAIN.trainImages, { level: 1 }) });
    const data = await loadDataset({ ...real, dataDir }, SMALL);
    expect(data.checksums).toBe('differ');
    expect(data.notice).toContain('their contents are those of Fashion-MNIST all the same');
  });

  it('is an error when files are missing, also for auto, and nothing is downloaded', async () => {
    await using mirror = await startMirror();
    const folder = await smallFolder({ [TRAIN_IMAGES]: undefined, [TEST_LABELS]: undefined });
    const file = join(folder, 'file');
    await writeFile(file, '');
    const env = { LOCKSTEP_MIRRORS: mirror.url };
    for (const [dataDir, state] of [
      [folder, 'lacks'],
      [join(folder, 'none'), 'does not exist'],
      [file, 'is not a folder'],
    ] as const) {
      for (const options of [
        { ...auto, dataDir, env },
        { ...auto, env: { ...env, LOCKSTEP_DATA_DIR: dataDir } },
      ]) {
        const error = await failureOf(loadDataset(options, SMALL));
        expect(error.code).toBe('dataset-not-found');
        expect(error.message).toContain(`${dataDir} (`);
        expect(error.message).toContain(state);
        expect(error.message).toContain(TRAIN_IMAGES);
        expect(error.message).toContain(TEST_LABELS);
        if (dataDir === folder) expect(error.message).not.toContain(NAMES.testImages);
      }
    }
    expect(mirror.log).toEqual([]);
    expect((await failureOf(loadDataset({ ...auto, dataDir: '' }, SMALL))).code).toBe('usage');
  });

  it('is an error when a file in it is broken, also for auto', async () => {
    const images = COMPRESSED.get(TRAIN_IMAGES)!;
    const labels = PLAIN.testLabels;
    const wrongMagic = Buffer.from(PLAIN.trainImages);
    wrongMagic[0] = 1;
    const wrongLabel = Buffer.from(labels);
    wrongLabel[12] = 10;
    const cases: [string, Uint8Array, RegExp][] = [
      [TRAIN_IMAGES, images.subarray(0, 5000), /train-images.*cut off after 5000 bytes/],
      [TRAIN_IMAGES, gzipSync(PLAIN.trainImages.subarray(0, 5000)), /train-images.*after the header.*found 4984/],
      [TRAIN_IMAGES, gzipSync(wrongMagic), /train-images.*begins with the bytes 00 00; found 01 00/],
      [TRAIN_IMAGES, gzipSync(idx([2, 8, 8], new Uint8Array(128))), /28 x 28 pixels; found 8 x 8/],
      [TEST_LABELS, gzipSync(wrongLabel), /t10k-labels.*labels from 0 to 9; found 10 as label number 4/],
      [TEST_LABELS, gzipSync(idx([29], labels.subarray(8, 37))), /one label for each of the 30 images .*found 29/],
    ];
    for (const [name, bytes, message] of cases) {
      const dataDir = await smallFolder({ [name]: bytes });
      const error = await failureOf(loadDataset({ ...auto, dataDir }, SMALL));
      expect(error.code).toBe('dataset-invalid');
      expect(error.message).toMatch(message);
      expect(error.message).toContain(join(dataDir, name));
    }
  });
});

describe('the cache', () => {
  it('is used when nothing was named', async () => {
    const root = await cacheRoot();
    const data = await loadDataset({ ...auto, env: { LOCKSTEP_CACHE_DIR: root } }, SMALL);
    expect(data).toMatchObject({
      source: join(root, 'fashion-mnist'),
      reason: 'found in the cache',
      checksums: 'match',
    });
  });

  it('is filled by a download of what it lacks', async () => {
    await using mirror = await startMirror();
    const root = await cacheRoot({ [TRAIN_IMAGES]: undefined, [TEST_LABELS]: undefined });
    const env = { LOCKSTEP_CACHE_DIR: root, LOCKSTEP_MIRRORS: ` ${await closedPort()} , ${mirror.url.slice(0, -1)},` };
    const files = new Set<string>();
    const data = await loadDataset({ ...auto, env, onProgress: ({ file }) => files.add(file) }, SMALL);
    expect(data).toMatchObject({ reason: `downloaded from ${mirror.url}`, checksums: 'match', notice: undefined });
    expect([...files]).toEqual([TRAIN_IMAGES, TEST_LABELS]);
    expect((await loadDataset({ ...auto, env }, SMALL)).reason).toBe('found in the cache');
  });

  it('is an error when a file in it is not the published one, and stays as it is', async () => {
    for (const bytes of [OTHER_LABELS, Buffer.alloc(0), COMPRESSED.get(TEST_LABELS)!.subarray(0, 20)]) {
      const root = await cacheRoot({ [TEST_LABELS]: bytes });
      for (const options of [auto, real]) {
        const error = await failureOf(loadDataset({ ...options, env: { LOCKSTEP_CACHE_DIR: root } }, SMALL));
        expect(error.code).toBe('dataset-invalid');
        expect(error.message).toContain(join(root, 'fashion-mnist', TEST_LABELS));
        expect(error.nextStep).toContain('lockstep dataset fetch');
        expect(error.nextStep).toContain('delete');
      }
    }
  });
});

describe('without Fashion-MNIST', () => {
  it('auto takes the synthetic stand-in and says so loudly', async () => {
    await using silent = await startSilentPort();
    const mirrors = `${silent.url},${await closedPort()}`;
    const env = { LOCKSTEP_CACHE_DIR: await temporaryFolder(), LOCKSTEP_MIRRORS: mirrors };
    const data = await loadDataset({ ...auto, env }, SMALL);
    expect(data).toMatchObject({ name: 'synthetic', source: 'generated', checksums: undefined });
    expect(data.reason).toBe('Fashion-MNIST is not available here');
    expect(data.notice).toContain('SYNTHETIC');
    expect(data.notice).toContain(silent.url);
    expect(data.notice).toContain('--data-dir');
    const error = await failureOf(loadDataset({ ...real, env }, SMALL));
    expect(error.code).toBe('dataset-unavailable');
  });

  it('auto does the same when the cache cannot be written', async () => {
    const file = join(await temporaryFolder(), 'file');
    await writeFile(file, '');
    const env = { LOCKSTEP_CACHE_DIR: file, LOCKSTEP_MIRRORS: await closedPort() };
    const data = await loadDataset({ ...auto, env }, SMALL);
    expect(data.name).toBe('synthetic');
    expect(data.notice).toContain(`The cache cannot be written at ${join(file, 'fashion-mnist')}`);
    expect((await failureOf(loadDataset({ ...real, env }, SMALL))).code).toBe('cache-unwritable');
  });

  it('an interruption and a wrong LOCKSTEP_MIRRORS stay errors', async () => {
    const env = { LOCKSTEP_CACHE_DIR: await temporaryFolder() };
    expect((await failureOf(loadDataset({ ...auto, env, signal: AbortSignal.abort() }, SMALL))).code).toBe(
      'interrupted',
    );
    const wrong = { ...env, LOCKSTEP_MIRRORS: 'ftp://example.org/' };
    const error = await failureOf(loadDataset({ ...auto, env: wrong }, SMALL));
    expect(error.code).toBe('usage');
    expect(error.message).toContain('"ftp://example.org/"');
    expect(await readdir(env.LOCKSTEP_CACHE_DIR)).toEqual([]);
  });

  it('synthetic is generated when asked for, whatever else is there', async () => {
    const data = await loadDataset({ ...auto, dataset: 'synthetic', dataDir: await smallFolder() }, SMALL);
    expect(data).toMatchObject({ name: 'synthetic', notice: undefined, reason: 'asked for by --dataset synthetic' });
    expect([data.train.count, data.test.count]).toEqual([20, 10]);
  });
});

const dataDir = process.env.LOCKSTEP_DATA_DIR;
describe('the published files', () => {
  it.skipIf(!dataDir)('load as published (skipped unless LOCKSTEP_DATA_DIR names their folder)', async () => {
    const data = await loadDataset({ ...real, dataDir });
    expect(data).toMatchObject({ checksums: 'match', notice: undefined, sha256: ORIGINALS.contentsSha256 });
    expect([data.train.count, data.test.count]).toEqual([60_000, 10_000]);
    // The first labels as the dataset's own documentation shows them: ankle boot, T-shirt, T-shirt, dress.
    expect([...data.train.labels.subarray(0, 4)]).toEqual([9, 0, 0, 3]);
  });
});
