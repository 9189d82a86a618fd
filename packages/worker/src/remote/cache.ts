/**
 * Partitions on disk, each in a file named by its SHA-256, so that a worker that comes again need not fetch them again.
 * What is half fetched is a part (see part.ts of the dataset package): each process writes its own, and goes on with what
 * another left behind. When the disk fails, bytes stay in memory.
 */
import { createHash } from 'node:crypto';
import { constants, type FileHandle, mkdir, open, readdir, readFile, rename, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { claimPart, releasePart, removeAbandonedParts } from '@lockstep/dataset';

/** What the folder may come to hold: Fashion-MNIST, cut into shards in some forty ways. */
const MAX_BYTES = 2 * 2 ** 30;

const matches = (bytes: Uint8Array, digest: string): boolean =>
  createHash('sha256').update(bytes).digest('hex') === digest;

export class PartitionCache {
  readonly #folder: string;
  readonly #abandonedAfterMs: number;
  readonly #onTrouble: (message: string) => void;
  readonly #maxBytes: number;
  /** What was received of partitions that cannot be written, by digest. */
  readonly #kept = new Map<string, readonly Uint8Array[]>();
  #medium: 'disk' | 'memory' = 'disk';

  /**
   * @param abandonedAfterMs age of a part that nobody writes any more
   * @param onTrouble told once when the disk cannot be used, and of every damaged file
   * @param maxBytes beyond which what was used longest ago goes
   */
  constructor(
    cacheDir: string,
    abandonedAfterMs: number,
    onTrouble: (message: string) => void,
    maxBytes: number = MAX_BYTES,
  ) {
    this.#folder = join(cacheDir, 'partitions');
    this.#abandonedAfterMs = abandonedAfterMs;
    this.#onTrouble = onTrouble;
    this.#maxBytes = maxBytes;
  }

  /** Undefined when it must be fetched: it is not there, or damaged. */
  async read(digest: string): Promise<Uint8Array | undefined> {
    const path = join(this.#folder, digest);
    let bytes: Uint8Array;
    try {
      bytes = await readFile(path);
    } catch {
      // Not there, or out of reach: the first write tells.
      return undefined;
    }
    if (matches(bytes, digest)) {
      const now = new Date();
      await utimes(path, now, now).catch(() => {});
      return bytes;
    }
    this.#onTrouble(`${path} is damaged; it will be fetched again.`);
    await rm(path, { force: true }).catch(() => {});
    return undefined;
  }

  /**
   * Begins to receive a partition.
   * @param origin `resume`: goes on after what was received before, which is not checked before the end
   */
  async begin(digest: string, origin: 'resume' | 'fresh'): Promise<Part> {
    if (origin === 'fresh') this.#kept.delete(digest);
    const file = this.#kept.has(digest) ? undefined : await this.#openFile(digest, origin);
    return new Part(digest, file, this.#kept.get(digest) ?? [], {
      failed: (error) => this.#fallBack(error),
      keep: (chunks) => this.#kept.set(digest, chunks),
      forget: () => this.#kept.delete(digest),
      complete: async (path) => {
        await rename(path, join(this.#folder, digest));
        await removeAbandonedParts(this.#folder, digest, this.#abandonedAfterMs);
        // What cannot be removed now can be next time.
        await this.#removeOldest(digest).catch(() => {});
      },
    });
  }

  async #openFile(digest: string, origin: 'resume' | 'fresh'): Promise<PartFile | undefined> {
    if (this.#medium === 'memory') return undefined;
    let path: string | undefined;
    try {
      await mkdir(this.#folder, { recursive: true });
      path = await claimPart(this.#folder, digest, this.#abandonedAfterMs);
      // Opened for writing at any position, which 'a' forbids.
      const flags = constants.O_RDWR | constants.O_CREAT | (origin === 'fresh' ? constants.O_TRUNC : 0);
      const handle = await open(path, flags, 0o644);
      return { path, handle, size: (await handle.stat()).size };
    } catch (error) {
      if (path !== undefined) releasePart(path);
      this.#fallBack(error as Error);
      return undefined;
    }
  }

  /** Makes room for others. A worker that is at work with what goes has it in memory. @param latest stays in any case */
  async #removeOldest(latest: string): Promise<void> {
    const files: { path: string; bytes: number; usedAt: number }[] = [];
    let total = 0;
    for (const name of await readdir(this.#folder)) {
      const path = join(this.#folder, name);
      const info = await stat(path).catch(() => undefined);
      if (!info?.isFile()) continue;
      total += info.size;
      const isBeingWritten = name.endsWith('.part') && Date.now() - info.mtimeMs <= this.#abandonedAfterMs;
      if (name !== latest && !isBeingWritten) files.push({ path, bytes: info.size, usedAt: info.mtimeMs });
    }
    for (const { path, bytes } of files.sort((a, b) => a.usedAt - b.usedAt)) {
      if (total <= this.#maxBytes) return;
      await rm(path, { force: true });
      total -= bytes;
    }
  }

  #fallBack({ message }: Error): void {
    if (this.#medium === 'memory') return;
    this.#medium = 'memory';
    this.#onTrouble(`Data cannot be kept in ${this.#folder} for the next time (${message}).`);
  }
}

interface PartFile {
  readonly path: string;
  readonly handle: FileHandle;
  /** Bytes of it that count. */
  size: number;
}

/** What a part asks of its cache. */
interface PartOwner {
  readonly failed: (error: Error) => void;
  readonly keep: (chunks: readonly Uint8Array[]) => void;
  readonly forget: () => void;
  readonly complete: (path: string) => Promise<void>;
}

/** A partition on its way: in a file, or in memory once that failed. */
export class Part {
  readonly #digest: string;
  readonly #owner: PartOwner;
  #file: PartFile | undefined;
  #chunks: Uint8Array[];

  constructor(digest: string, file: PartFile | undefined, chunks: readonly Uint8Array[], owner: PartOwner) {
    this.#digest = digest;
    this.#file = file;
    this.#chunks = [...chunks];
    this.#owner = owner;
  }

  /** Bytes received so far. */
  get size(): number {
    return this.#file?.size ?? this.#chunks.reduce((sum, { length }) => sum + length, 0);
  }

  async append(bytes: Uint8Array): Promise<void> {
    if (this.#file) {
      try {
        await writeAt(this.#file.handle, bytes, this.#file.size);
        this.#file.size += bytes.length;
        return;
      } catch (error) {
        this.#owner.failed(error as Error);
        await this.#moveToMemory(this.#file);
      }
    }
    this.#chunks.push(bytes);
    this.#owner.keep(this.#chunks);
  }

  async #moveToMemory({ path, size }: PartFile): Promise<void> {
    // When not even reading works, it begins again.
    const written = await readFile(path).catch(() => new Uint8Array());
    this.#chunks = written.length < size ? [] : [written.subarray(0, size)];
    await this.#discardFile();
  }

  /** Checks what came. @returns undefined when it is wrong, and deleted */
  async finish(): Promise<Uint8Array | undefined> {
    const file = this.#file;
    if (!file) {
      const whole = Buffer.concat(this.#chunks);
      this.#chunks = [];
      this.#owner.forget();
      return matches(whole, this.#digest) ? whole : undefined;
    }
    const whole = await readFile(file.path);
    if (!matches(whole, this.#digest)) {
      await this.#discardFile();
      return undefined;
    }
    try {
      await file.handle.sync();
      await this.#owner.complete(file.path);
    } catch (error) {
      // The partition is whole all the same.
      this.#owner.failed(error as Error);
    }
    return whole;
  }

  async #discardFile(): Promise<void> {
    const { path } = this.#file!;
    await this.release();
    await rm(path, { force: true }).catch(() => {});
  }

  /** Lets go of it. What came stays, for whoever goes on. */
  async release(): Promise<void> {
    const file = this.#file;
    if (!file) return;
    this.#file = undefined;
    releasePart(file.path);
    await file.handle.close();
  }
}

async function writeAt(handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let at = 0; at < bytes.length; ) {
    at += (await handle.write(bytes, at, bytes.length - at, position + at)).bytesWritten;
  }
}
