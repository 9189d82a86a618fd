/** Partitions on their way to the disk, and what can go wrong with either. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, it } from 'vitest';
import { PartitionCache } from './cache.ts';
import { ScriptedCoordinator, type ScriptedPeer } from './testing/coordinator.ts';
import { digests, job, NUM_SHARDS, partitionLength, partitions } from './testing/job.ts';
import { opened, openWorker, pair } from './testing/scene.ts';
import { temporaryFolder } from './testing/worker.ts';

const [digest] = digests;
const partition = partitions.get(digest!)!;
const folderOf = (cacheDir: string): string => join(cacheDir, 'partitions');

/** Runs lines of a script over the built cache in a process of its own. Returns what it wrote. */
function inAnotherProcess(cacheDir: string, lines: string, before = ''): string {
  const cache = pathToFileURL(join(import.meta.dirname, '../../dist/remote/cache.js'));
  const script = `
    import { PartitionCache } from '${cache.href}';
    const notices = [];
    const cache = new PartitionCache(${JSON.stringify(cacheDir)}, 60_000, (message) => notices.push(message));
    const partition = Buffer.from('${partition.toString('base64')}', 'base64');
    ${lines}`;
  const file = join(temporaryFolder(), 'script.mjs');
  writeFileSync(file, script);
  try {
    return execFileSync('sh', ['-c', `${before} exec "$0" "$1"`, process.execPath, file], { encoding: 'utf8' });
  } catch (error) {
    return (error as { stdout: string }).stdout;
  }
}

/** Asks for the data of the first shard. */
async function hold(peer: ScriptedPeer): Promise<void> {
  await peer.next('ready');
  peer.send({ type: 'hold', shards: [0] });
}

describe('PartitionCache', () => {
  it('goes on with what a killed process left behind', async () => {
    const cacheDir = temporaryFolder();
    inAnotherProcess(
      cacheDir,
      `const part = await cache.begin('${digest}', 'resume');
       await part.append(partition.subarray(0, 1000));
       process.kill(process.pid, 'SIGKILL');`,
    );
    const { coordinator } = await pair({ options: { cacheDir } });
    const peer = await coordinator.welcome(job);
    await hold(peer);
    peer.serveAll(partitions);
    await peer.next('holds');
    expect(peer.bytesServed).toBe(partitionLength - 1000);
    expect(readdirSync(folderOf(cacheDir))).toEqual([digest]);
    expect(readFileSync(join(folderOf(cacheDir), digest!)).equals(partition)).toBe(true);
  });

  it('leaves a part alone that another process writes', async () => {
    const cacheDir = temporaryFolder();
    const cache = new PartitionCache(cacheDir, 60_000, () => {});
    const mine = await cache.begin(digest!, 'resume');
    await mine.append(partition.subarray(0, 1000));
    const said = inAnotherProcess(
      cacheDir,
      `const part = await cache.begin('${digest}', 'resume');
       console.log(part.size);
       await part.append(partition);
       console.log((await part.finish()).length, notices.length);
       await part.release();`,
    );
    expect(said).toBe(`0\n${partitionLength} 0\n`);
    await mine.append(partition.subarray(1000));
    expect(partition.equals((await mine.finish())!)).toBe(true);
    await mine.release();
    expect(readdirSync(folderOf(cacheDir))).toEqual([digest]);
  });

  it('makes room by what was used longest ago, finished or not', async () => {
    const cacheDir = temporaryFolder();
    const cache = new PartitionCache(cacheDir, 60_000, () => {}, 3 * partitionLength + 1000);
    const hour = 3_600_000;
    const fill = async (name: string, ageMs: number): Promise<void> => {
      const part = await cache.begin(name, 'resume');
      await part.append(partitions.get(name)!);
      await part.finish();
      await part.release();
      const usedAt = new Date(Date.now() - ageMs);
      utimesSync(join(folderOf(cacheDir), name), usedAt, usedAt);
    };
    const [first, second, third, fourth] = digests as [string, string, string, string];
    await fill(first, 2 * hour);
    await fill(second, hour);
    // Left behind by a worker that is gone, and by one that is not.
    const [old, recent] = ['old', 'recent'].map((name) =>
      join(folderOf(cacheDir), `${name}.elsewhere.1.00000000.part`),
    );
    writeFileSync(old!, partition);
    utimesSync(old!, new Date(Date.now() - 3 * hour), new Date(Date.now() - 3 * hour));
    writeFileSync(recent!, partition.subarray(0, 1000));
    // Used again.
    expect(await cache.read(first)).toBeDefined();
    await fill(third, 0);
    expect(readdirSync(folderOf(cacheDir)).sort()).toEqual([first, second, third, basename(recent!)].sort());
    await fill(fourth, 0);
    expect(readdirSync(folderOf(cacheDir)).sort()).toEqual([first, third, fourth, basename(recent!)].sort());
  });

  it('goes on in memory when the disk is full', () => {
    const said = inAnotherProcess(
      temporaryFolder(),
      `const part = await cache.begin('${digest}', 'resume');
       for (let at = 0; at < partition.length; at += 5000) await part.append(partition.subarray(at, at + 5000));
       console.log(part.size, (await part.finish()).equals(partition), notices.length);
       const next = await cache.begin('${'0'.repeat(64)}', 'resume');
       await next.append(partition);
       console.log(notices.length);`,
      // In blocks of 512 bytes or of 1 KiB, as the shell likes.
      'ulimit -f 20;',
    );
    expect(said).toBe(`${partitionLength} true 1\n1\n`);
  });
});

describe('a worker that fetches data', () => {
  it('goes on where it was cut off', async () => {
    const { coordinator, worker } = await pair();
    const first = await coordinator.welcome(job);
    await hold(first);
    await first.serve(partitions, 3, 10_000);
    await first.next('fetch');
    first.drop();
    const second = await coordinator.welcome(job);
    await hold(second);
    second.serveAll(partitions, 10_000);
    await second.next('holds');
    expect(first.bytesServed).toBe(30_000);
    expect(second.bytesServed).toBe(partitionLength - 30_000);
    const progress = worker.of('fetching').map(({ doneBytes }) => doneBytes);
    expect(progress).toEqual([0, 1e4, 2e4, 3e4, 3e4, 4e4, 5e4, 6e4, 7e4, partitionLength]);
    expect(new Set(worker.of('fetching').map(({ totalBytes }) => totalBytes))).toEqual(new Set([partitionLength]));
  });

  it('shares its cache with another worker of this machine', async () => {
    const cacheDir = temporaryFolder();
    const coordinator = opened(await ScriptedCoordinator.open());
    const workers = [0, 1].map(() => openWorker(coordinator.url, { options: { cacheDir } }));
    const peers = [await coordinator.welcome(job), await coordinator.welcome(job)];
    await Promise.all(peers.map(hold));
    // Both are in the middle at the same time.
    for (let i = 0; i < 3; i++) for (const peer of peers) await peer.serve(partitions, 1, 20_000);
    for (const peer of peers) peer.serveAll(partitions, 20_000);
    for (const peer of peers) await peer.next('holds');
    expect(peers.map(({ bytesServed }) => bytesServed)).toEqual([partitionLength, partitionLength]);
    expect(readdirSync(folderOf(cacheDir))).toEqual([digest]);
    expect(workers.flatMap((worker) => worker.of('notice'))).toEqual([]);

    openWorker(coordinator.url, { options: { cacheDir } });
    expect((await (await coordinator.welcome(job)).next('ready')).message.shards).toEqual([0]);
  });

  it('fetches a damaged file again', async () => {
    const cacheDir = temporaryFolder();
    mkdirSync(folderOf(cacheDir));
    const damaged = Buffer.from(partition);
    damaged[5]! ^= 1;
    writeFileSync(join(folderOf(cacheDir), digest!), damaged);
    const { coordinator, worker } = await pair({ options: { cacheDir } });
    const peer = await coordinator.welcome(job);
    peer.serveAll(partitions);
    peer.send({ type: 'hold', shards: [0] });
    expect((await peer.next('ready')).message.shards).toEqual([]);
    await peer.next('holds');
    expect(worker.of('notice')).toMatchObject([{ message: /is damaged; it will be fetched again/ }]);
    expect(readFileSync(join(folderOf(cacheDir), digest!)).equals(partition)).toBe(true);
  });

  it('fetches once more what came with another checksum', async () => {
    const { coordinator } = await pair();
    const peer = await coordinator.welcome(job);
    await hold(peer);
    const damaged = Buffer.from(partition);
    damaged[partitionLength - 1]! ^= 1;
    const wrong = new Map([[digest!, damaged]]);
    await peer.serve(wrong, 1, partitionLength);
    const { message } = await peer.next('fetch');
    expect(message.offset).toBe(0);
    expect(peer.unread).not.toContain('holds');
    peer.send({ type: 'part', digest: digest!, offset: 0, total: partitionLength }, partition);
    expect((await peer.next('holds')).message.shards).toEqual([0]);
  });

  it('says so when the checksum is wrong again and again', async () => {
    const cacheDir = temporaryFolder();
    const { coordinator, worker } = await pair({ options: { cacheDir } });
    const peer = await coordinator.welcome(job);
    await hold(peer);
    const wrong = new Map([[digest!, Buffer.from(partition).reverse()]]);
    await peer.serve(wrong, 2, partitionLength);
    expect(await worker.ended).toMatchObject({
      code: 'worker-failed',
      message: /shard 0 came 2 times with another SHA-256/,
    });
    expect(readdirSync(folderOf(cacheDir))).toEqual([]);
  });

  it('needs no disk', async () => {
    const notAFolder = join(temporaryFolder(), 'file');
    writeFileSync(notAFolder, '');
    const { coordinator, worker } = await pair({ options: { cacheDir: notAFolder } });
    const first = await coordinator.welcome(job);
    await hold(first);
    await first.serve(partitions, 2, 10_000);
    await first.next('fetch');
    first.drop();
    const second = await coordinator.welcome(job);
    await second.next('ready');
    second.serveAll(partitions, 10_000);
    second.send({ type: 'hold', shards: [0, 1, 2, 3] });
    for (let i = 0; i < NUM_SHARDS; i++) await second.next('holds');
    expect(first.bytesServed + second.bytesServed).toBe(
      [...partitions.values()].reduce((sum, { length }) => sum + length, 0),
    );
    expect(worker.of('notice')).toMatchObject([{ message: /Data cannot be kept in .* for the next time/ }]);
  });
});
