import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { fetchDataset, verifyDataset } from './manage.ts';
import { COMPRESSED, failureOf, NAMES, PLAIN, SMALL, smallFolder, temporaryFolder } from './testing/files.ts';
import { closedPort, startMirror } from './testing/server.ts';

const quiet = { onProgress: undefined, signal: undefined };
const TRAIN_IMAGES = `${NAMES.trainImages}.gz`;
const TEST_LABELS = `${NAMES.testLabels}.gz`;

describe('fetchDataset', () => {
  it('fills an empty cache, and then keeps what is right', async () => {
    await using mirror = await startMirror();
    const root = await temporaryFolder();
    const env = { LOCKSTEP_CACHE_DIR: root, LOCKSTEP_MIRRORS: mirror.url };
    const first = await fetchDataset({ env, ...quiet }, SMALL);
    expect(first.folder).toBe(join(root, 'fashion-mnist'));
    expect(first.files.map(({ name }) => name)).toEqual(Object.values(NAMES));
    for (const file of first.files) {
      expect(file).toMatchObject({ action: 'downloaded', why: 'it is missing', from: mirror.url });
      expect((await readFile(file.path)).length).toBe(file.bytes);
    }
    const second = await fetchDataset({ env: { ...env, LOCKSTEP_MIRRORS: await closedPort() }, ...quiet }, SMALL);
    for (const file of second.files) expect(file).toMatchObject({ action: 'kept', why: undefined, from: undefined });
  });

  it('replaces what is wrong, whether compressed or plain', async () => {
    await using mirror = await startMirror();
    const root = await temporaryFolder();
    const folder = join(root, 'fashion-mnist');
    await mkdir(folder);
    for (const [name, bytes] of COMPRESSED) if (name !== TEST_LABELS) await writeFile(join(folder, name), bytes);
    await writeFile(join(folder, TRAIN_IMAGES), 'damaged');
    await writeFile(join(folder, NAMES.testLabels), PLAIN.testLabels.subarray(1));
    const env = { LOCKSTEP_CACHE_DIR: root, LOCKSTEP_MIRRORS: mirror.url };
    const { files } = await fetchDataset({ env, ...quiet }, SMALL);
    expect(files.map(({ action }) => action)).toEqual(['downloaded', 'kept', 'kept', 'downloaded']);
    expect(files[0]!.why).toMatch(/^its size is 7 bytes instead of/);
    expect((await verifyDataset({ dataDir: undefined, env, signal: undefined }, SMALL)).ok).toBe(true);
  });

  it('fails when there is nowhere to fetch from, and leaves the bad file for the next attempt', async () => {
    const root = await temporaryFolder();
    const env = { LOCKSTEP_CACHE_DIR: root, LOCKSTEP_MIRRORS: await closedPort() };
    expect((await failureOf(fetchDataset({ env, ...quiet }, SMALL))).code).toBe('dataset-unavailable');
  });
});

describe('verifyDataset', () => {
  it('confirms the published files, compressed or plain', async () => {
    const dataDir = await smallFolder({ [TEST_LABELS]: undefined, [NAMES.testLabels]: PLAIN.testLabels });
    const result = await verifyDataset({ dataDir, env: {}, signal: undefined }, SMALL);
    expect(result).toMatchObject({ ok: true, folder: dataDir, what: 'the folder given by --data-dir' });
    const [first, , , last] = result.files;
    const { bytes, md5, sha256 } = SMALL.originals.files[0]!.compressed;
    const path = join(dataDir, TRAIN_IMAGES);
    expect(first).toEqual({ name: NAMES.trainImages, path, bytes, md5, sha256, ok: true, problem: undefined });
    expect(last!.path).toBe(join(dataDir, NAMES.testLabels));
  });

  it('says for each file what is wrong', async () => {
    const sameLength = Buffer.from(COMPRESSED.get(`${NAMES.testImages}.gz`)!);
    sameLength[sameLength.length - 6]! ^= 1;
    const folder = await smallFolder({
      [TRAIN_IMAGES]: gzipSync(PLAIN.trainImages, { level: 0 }),
      [`${NAMES.trainLabels}.gz`]: undefined,
      [`${NAMES.testImages}.gz`]: sameLength,
    });
    const { ok, files } = await verifyDataset(
      { dataDir: undefined, env: { LOCKSTEP_DATA_DIR: folder }, signal: undefined },
      SMALL,
    );
    expect(ok).toBe(false);
    expect(files.map((file) => file.ok)).toEqual([false, false, false, true]);
    expect(files[0]!.problem).toMatch(/^its size is \d+ bytes instead of \d+$/);
    expect(files[1]).toMatchObject({ path: undefined, md5: undefined, problem: 'it is missing' });
    expect(files[2]!.problem).toMatch(/^its MD5 is \w+ instead of \w+; .*damaged/);
  });

  it('reports a folder that does not exist, and stops when interrupted', async () => {
    const dataDir = join(await temporaryFolder(), 'none');
    const { ok, files } = await verifyDataset({ dataDir, env: {}, signal: undefined }, SMALL);
    expect(ok).toBe(false);
    expect(files.every(({ problem }) => problem === 'it is missing')).toBe(true);
    const interrupted = verifyDataset({ dataDir, env: {}, signal: AbortSignal.abort() }, SMALL);
    expect((await failureOf(interrupted)).code).toBe('interrupted');
  });
});
