/**
 * The partitions that a tab has fetched, in the browser's cache, so that a page that is opened again need not fetch them
 * again. Browsers have that cache on https and on this machine only; elsewhere they stay in memory.
 */
import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex } from '@noble/hashes/utils.js';
import type { PartitionStore, PartWriter } from '../remote/roles.ts';

const CACHE = 'lockstep-partitions';
/** Nothing is ever asked for there. */
const FOLDER = '/partitions/';

const matches = (bytes: Uint8Array, digest: string): boolean => bytesToHex(sha256(bytes)) === digest;

export class TabStore implements PartitionStore {
  readonly #cache: Promise<Cache | undefined>;
  /** What was received of partitions that are not whole yet, by digest. */
  readonly #parts = new Map<string, Uint8Array[]>();

  constructor(storage: CacheStorage | undefined = globalThis.caches) {
    // Private windows may have it and refuse it.
    this.#cache = Promise.resolve(storage?.open(CACHE)).catch(() => undefined);
  }

  async read(digest: string): Promise<Uint8Array | undefined> {
    try {
      const response = await (await this.#cache)?.match(FOLDER + digest);
      if (!response) return undefined;
      const bytes = new Uint8Array(await response.arrayBuffer());
      return matches(bytes, digest) ? bytes : undefined;
    } catch {
      return undefined;
    }
  }

  async begin(digest: string, origin: 'resume' | 'fresh'): Promise<PartWriter> {
    if (origin === 'fresh') this.#parts.delete(digest);
    const chunks = this.#parts.get(digest) ?? [];
    this.#parts.set(digest, chunks);
    return {
      get size() {
        return chunks.reduce((sum, { length }) => sum + length, 0);
      },
      append: async (bytes) => {
        chunks.push(bytes);
      },
      finish: async () => {
        this.#parts.delete(digest);
        const whole = new Uint8Array(await new Blob(chunks as Uint8Array<ArrayBuffer>[]).arrayBuffer());
        if (!matches(whole, digest)) return undefined;
        await this.#keep(digest, whole);
        return whole;
      },
      release: async () => {},
    };
  }

  /** Forgets all partitions but these: the data of other jobs. */
  async keepOnly(digests: readonly string[]): Promise<void> {
    try {
      const cache = await this.#cache;
      const wanted = new Set(digests.map((digest) => FOLDER + digest));
      for (const request of (await cache?.keys()) ?? []) {
        if (!wanted.has(new URL(request.url).pathname)) await cache?.delete(request);
      }
    } catch {
      // What is too much is forgotten another time.
    }
  }

  async #keep(digest: string, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    try {
      await (await this.#cache)?.put(FOLDER + digest, new Response(bytes));
    } catch {
      // No room: it is in memory all the same.
    }
  }
}
