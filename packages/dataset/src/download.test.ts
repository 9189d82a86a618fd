import { mkdir, readdir, readFile, utimes, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type DownloadProgress, download } from './download.ts';
import { COMPRESSED, failureOf, SMALL, temporaryFolder } from './testing/files.ts';
import { closedPort, startMirror, startSilentPort } from './testing/server.ts';

const FILES = SMALL.originals.files;
const FIRST = FILES.slice(0, 1);
const NAME = `${FIRST[0]!.name}.gz`;
const WHOLE = COMPRESSED.get(NAME)!;
const HALF = Math.floor(WHOLE.length / 2);
const HOST = hostname().replace(/[^A-Za-z0-9-]/g, '_');
/** No process has this number: above the largest that Linux gives out. */
const NO_PROCESS = 2 ** 22 + 1;

async function options(...mirrors: string[]) {
  const { probeTimeoutMs, stallTimeoutMs } = SMALL;
  const folder = join(await temporaryFolder(), 'new', 'cache');
  return { folder, mirrors, onProgress: undefined, signal: undefined, probeTimeoutMs, stallTimeoutMs };
}

async function expectComplete(folder: string, names = [NAME]): Promise<void> {
  expect((await readdir(folder)).sort()).toEqual([...names].sort());
  for (const name of names) expect((await readFile(join(folder, name))).equals(COMPRESSED.get(name)!)).toBe(true);
}

/** A cache folder that holds a part of the first file. */
async function withPart(url: string, bytes: Uint8Array, owner: string) {
  const opts = await options(url);
  await mkdir(opts.folder, { recursive: true });
  const part = join(opts.folder, `${NAME}.${owner}.0a1b.part`);
  await writeFile(part, bytes);
  return { ...opts, part };
}

describe('download', () => {
  it('fetches all files, says how far it is, and names the mirror', async () => {
    await using mirror = await startMirror({ chunkBytes: 20_000 });
    const seen: DownloadProgress[] = [];
    const opts = await options(mirror.url);
    const from = await download(FILES, { ...opts, onProgress: (progress) => seen.push(progress) });
    expect(from).toEqual(Array(4).fill(mirror.url));
    await expectComplete(opts.folder, [...COMPRESSED.keys()]);
    const first = seen.filter(({ file }) => file === NAME);
    expect(first.length).toBeGreaterThan(2);
    expect(first[0]).toEqual({ file: NAME, bytes: 0, total: WHOLE.length });
    expect(first.at(-1)!.bytes).toBe(WHOLE.length);
    expect(first.map(({ bytes }) => bytes)).toEqual(first.map(({ bytes }) => bytes).sort((a, b) => a - b));
  });

  it('asks nobody when there is nothing to fetch', async () => {
    const opts = await options(await closedPort());
    expect(await download([], opts)).toEqual([]);
  });

  it('resumes where the connection was cut', async () => {
    await using mirror = await startMirror({ stallAfter: HALF });
    const opts = await options(mirror.url);
    // Cut only once something has arrived: bytes on their way at that moment are lost.
    const onProgress = ({ bytes }: DownloadProgress): void => {
      if (bytes > 0 && mirror.log.length === 1) mirror.cut();
    };
    await download(FIRST, { ...opts, onProgress, stallTimeoutMs: 5_000 });
    expect(mirror.log.length).toBeGreaterThanOrEqual(2);
    const resumed = Number(/bytes=(\d+)-$/.exec(mirror.log[1]!)?.[1]);
    expect(resumed).toBeGreaterThan(0);
    expect(resumed).toBeLessThanOrEqual(HALF);
    await expectComplete(opts.folder);
  });

  it('notices that a mirror fell silent, goes on from another, and comes back when there is none', async () => {
    await using silent = await startMirror({ stallAfter: HALF });
    const alone = await options(silent.url);
    await download(FIRST, alone);
    expect(silent.log).toEqual([`${NAME} -`, `${NAME} bytes=${HALF}-`]);
    await expectComplete(alone.folder);
    await using good = await startMirror();
    await using detour = await startMirror({ redirect: good.url });
    const both = await options(silent.url, detour.url);
    expect(await download(FIRST, both)).toEqual([detour.url]);
    expect(good.log).toEqual([`${NAME} bytes=${HALF}-`]);
    await expectComplete(both.folder);
  });

  it('gives up on a mirror that is cut three times, and at once on one that stays silent', async () => {
    for (const [behaviour, numTries] of [
      [{ cutAfter: Array(6).fill(1000) }, 3],
      [{ cutAfter: Array(6).fill(0) }, 3],
      [{ stallAfter: 0 }, 1],
    ] as const) {
      await using mirror = await startMirror(behaviour);
      const error = await failureOf(download(FIRST, await options(mirror.url)));
      expect(error.code).toBe('dataset-unavailable');
      expect(mirror.log).toHaveLength(numTries);
    }
  });

  it('resumes in a later run what an interrupted one left', async () => {
    await using slow = await startMirror({ chunkBytes: 4_000 });
    const opts = await options(slow.url);
    const abort = new AbortController();
    const onProgress = ({ bytes }: DownloadProgress): void => {
      if (bytes > HALF) abort.abort();
    };
    const error = await failureOf(download(FIRST, { ...opts, onProgress, signal: abort.signal }));
    expect(error.code).toBe('interrupted');
    expect(await readdir(opts.folder)).toEqual([expect.stringMatching(/\.part$/)]);
    await using mirror = await startMirror();
    await download(FIRST, { ...opts, mirrors: [mirror.url] });
    expect(mirror.log).toEqual([expect.stringMatching(/bytes=\d{4,}-$/)]);
    await expectComplete(opts.folder);
  });

  it('takes the whole file from a server that does not resume', async () => {
    await using mirror = await startMirror({ cutAfter: [HALF], ignoreRange: true });
    const opts = await options(mirror.url);
    await download(FIRST, opts);
    await expectComplete(opts.folder);
  });

  it('takes no other range than it asked for', async () => {
    await using mirror = await startMirror({ wrongRange: true });
    const opts = await withPart(mirror.url, WHOLE.subarray(0, HALF), `${HOST}.${NO_PROCESS}`);
    const error = await failureOf(download(FIRST, opts));
    expect(error.message).toContain(`it answered with the range bytes ${HALF + 1}-`);
    expect(error.message).toContain(`instead of ${HALF}-`);
  });

  it('begins again, once, when the resumed file is wrong', async () => {
    await using mirror = await startMirror();
    const opts = await withPart(mirror.url, Buffer.alloc(HALF, 0x55), `${HOST}.${NO_PROCESS}`);
    await download(FIRST, opts);
    expect(mirror.log).toEqual([`${NAME} bytes=${HALF}-`, `${NAME} -`]);
    await expectComplete(opts.folder);
  });

  it('discards parts that are too long, or of full length but wrong', async () => {
    for (const length of [WHOLE.length, WHOLE.length + 5]) {
      await using mirror = await startMirror();
      const opts = await withPart(mirror.url, Buffer.alloc(length, 0x55), `${HOST}.${NO_PROCESS}`);
      await download(FIRST, opts);
      expect(mirror.log).toEqual([`${NAME} -`]);
      await expectComplete(opts.folder);
    }
  });

  it('goes on with the largest part that was left behind, and clears away the others', async () => {
    await using mirror = await startMirror();
    const opts = await withPart(mirror.url, WHOLE.subarray(0, 100), `${HOST}.${NO_PROCESS}`);
    await writeFile(join(opts.folder, `${NAME}.${HOST}.${NO_PROCESS}.ffff.part`), WHOLE.subarray(0, HALF));
    await writeFile(join(opts.folder, `${NAME}.${HOST}.${NO_PROCESS}.1111.part`), WHOLE.subarray(0, 200));
    await download(FIRST, opts);
    expect(mirror.log).toEqual([`${NAME} bytes=${HALF}-`]);
    await expectComplete(opts.folder);
  });

  it('needs no request for a part that is complete', async () => {
    await using mirror = await startMirror();
    const opts = await withPart(mirror.url, WHOLE, `${HOST}.${NO_PROCESS}`);
    await download(FIRST, opts);
    expect(mirror.log).toEqual([]);
    await expectComplete(opts.folder);
  });

  it('leaves alone the part of a process that lives, unless it has long been silent', async () => {
    for (const owner of [`${HOST}.${process.ppid}`, `elsewhere.${NO_PROCESS}`]) {
      await using mirror = await startMirror();
      const opts = await withPart(mirror.url, WHOLE.subarray(0, HALF), owner);
      await download(FIRST, { ...opts, stallTimeoutMs: 30_000 });
      expect(mirror.log).toEqual([`${NAME} -`]);
      expect((await readFile(opts.part)).length).toBe(HALF);
      const longAgo = new Date(Date.now() - 3_600_000);
      await utimes(opts.part, longAgo, longAgo);
      await download(FIRST, { ...opts, stallTimeoutMs: 30_000 });
      expect(mirror.log[1]).toBe(`${NAME} bytes=${HALF}-`);
      await expectComplete(opts.folder);
    }
  });

  it('may run several times at once in one folder', async () => {
    await using mirror = await startMirror({ chunkBytes: 20_000 });
    const opts = await options(mirror.url);
    await Promise.all([download(FILES, opts), download(FILES, opts), download(FILES, opts)]);
    await expectComplete(opts.folder, [...COMPRESSED.keys()]);
  });
});

describe('mirrors', () => {
  it('go on where another failed, in each of the ways that mirrors fail', async () => {
    const other = Buffer.from(WHOLE);
    other[100]! ^= 1;
    const cases = {
      'HTTP status 503': { status: 503 },
      'sent nothing for 1 s': { stallAfter: 0 },
      'is not .*its MD5 is': { files: new Map([[NAME, other]]) },
      'its file has \\d+ bytes instead of': { files: new Map([[NAME, WHOLE.subarray(0, HALF)]]) },
      'sent more than the \\d+ bytes': { surplus: 7 },
      'HTTP status 404': { files: new Map() },
    };
    for (const [reason, behaviour] of Object.entries(cases)) {
      await using bad = await startMirror(behaviour);
      const alone = await options(bad.url);
      const error = await failureOf(download(FIRST, alone));
      expect(error.code).toBe('dataset-unavailable');
      expect(error.message).toMatch(new RegExp(reason));
      expect(await readdir(alone.folder)).not.toContain(NAME);
      // Answers later than the bad one, so that the bad one is tried first.
      await using good = await startMirror();
      await using detour = await startMirror({ redirect: good.url });
      const both = await options(bad.url, detour.url);
      expect(await download(FIRST, both), reason).toEqual([detour.url]);
      await expectComplete(both.folder);
    }
  });

  it('never receive more than the file on disk', async () => {
    await using mirror = await startMirror({ surplus: 100_000 });
    const opts = await options(mirror.url);
    await failureOf(download(FIRST, opts));
    for (const name of await readdir(opts.folder)) {
      expect((await readFile(join(opts.folder, name))).length).toBeLessThanOrEqual(WHOLE.length);
    }
  });

  it('are asked at once, and one that never answers holds nobody up', async () => {
    await using silent = await startSilentPort();
    await using mirror = await startMirror();
    const opts = await options(silent.url, silent.url, mirror.url);
    expect(await download(FIRST, { ...opts, probeTimeoutMs: 3_600_000 })).toEqual([mirror.url]);
  });

  it('are given up within one deadline when the network drops everything', async () => {
    await using one = await startSilentPort();
    await using two = await startSilentPort();
    const closed = await closedPort();
    const begun = Date.now();
    const error = await failureOf(download(FIRST, await options(one.url, closed, two.url)));
    expect(Date.now() - begun).toBeLessThan(10 * SMALL.probeTimeoutMs);
    expect(error.code).toBe('dataset-unavailable');
    expect(error.message).toContain(`${one.url} (no answer within 1 s)`);
    expect(error.message).toContain(`${two.url} (no answer within 1 s)`);
    expect(error.message).toContain(`${closed} (connection refused)`);
    expect(error.nextStep).toContain('--data-dir');
    expect(error.nextStep).toContain('--dataset synthetic');
  });

  it('may label the file as encoded: the stored bytes count', async () => {
    await using mirror = await startMirror({ encoding: true });
    const opts = await options(mirror.url);
    await download(FIRST, opts);
    await expectComplete(opts.folder);
  });

  it('may not redirect for ever', async () => {
    const loop = { redirect: '' };
    await using mirror = await startMirror(loop);
    loop.redirect = mirror.url;
    const error = await failureOf(download(FIRST, await options(mirror.url)));
    expect(error.message).toContain('more than 5 redirects');
  });
});

describe('failures that are not the mirrors', () => {
  it('an interruption ends the wait for mirrors', async () => {
    await using silent = await startSilentPort();
    const opts = { ...(await options(silent.url)), probeTimeoutMs: 3_600_000, signal: AbortSignal.timeout(50) };
    expect((await failureOf(download(FIRST, opts))).code).toBe('interrupted');
    const aborted = { ...opts, signal: AbortSignal.abort() };
    expect((await failureOf(download(FIRST, aborted))).code).toBe('interrupted');
  });

  it('an unwritable cache is named before any mirror is asked', async () => {
    await using mirror = await startMirror();
    const file = join(await temporaryFolder(), 'file');
    await writeFile(file, '');
    const error = await failureOf(download(FIRST, { ...(await options(mirror.url)), folder: join(file, 'cache') }));
    expect(error.code).toBe('cache-unwritable');
    expect(error.message).toContain(join(file, 'cache'));
    expect(error.nextStep).toContain('LOCKSTEP_CACHE_DIR');
    expect(mirror.log).toEqual([]);
  });

  it('a cache in which the file cannot be kept is unwritable, too', async () => {
    await using mirror = await startMirror();
    const opts = await options(mirror.url);
    await mkdir(join(opts.folder, NAME), { recursive: true });
    expect((await failureOf(download(FIRST, opts))).code).toBe('cache-unwritable');
  });
});
