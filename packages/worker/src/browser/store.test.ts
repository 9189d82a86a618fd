/** Partitions in a tab, with the browser's cache and without. */
import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { TabStore } from './store.ts';

const bytes = Uint8Array.from({ length: 1000 }, (_, i) => i % 251);
const digest = createHash('sha256').update(bytes).digest('hex');
const other = 'f'.repeat(64);

/** As much of the browser's cache as is used. */
function memoryCaches(): { readonly storage: CacheStorage; readonly entries: Map<string, Response> } {
  const entries = new Map<string, Response>();
  const cache = {
    match: async (path: string) => entries.get(path)?.clone(),
    put: async (path: string, response: Response) => void entries.set(path, response),
    keys: async () => [...entries.keys()].map((path) => ({ url: `http://here${path}` })),
    delete: async ({ url }: Request) => entries.delete(new URL(url).pathname),
  };
  return { storage: { open: async () => cache } as unknown as CacheStorage, entries };
}

async function receive(store: TabStore, parts: readonly Uint8Array[], origin: 'resume' | 'fresh' = 'resume') {
  const part = await store.begin(digest, origin);
  for (const each of parts) await part.append(each);
  const whole = await part.finish();
  await part.release();
  return whole;
}

describe('partitions in a tab', () => {
  it('are kept in the cache', async () => {
    const { storage } = memoryCaches();
    const store = new TabStore(storage);
    expect(await store.read(digest)).toBe(undefined);
    expect(await receive(store, [bytes.subarray(0, 300), bytes.subarray(300)])).toEqual(bytes);
    expect(await new TabStore(storage).read(digest)).toEqual(bytes);
  });

  it('are fetched again when they are damaged', async () => {
    const { storage, entries } = memoryCaches();
    const store = new TabStore(storage);
    await receive(store, [bytes]);
    entries.set(`/partitions/${digest}`, new Response(bytes.subarray(1)));
    expect(await store.read(digest)).toBe(undefined);
  });

  it('go on where they were broken off, or begin anew', async () => {
    const store = new TabStore(undefined);
    await (await store.begin(digest, 'resume')).append(bytes.subarray(0, 300));
    expect((await store.begin(digest, 'resume')).size).toBe(300);
    expect(await receive(store, [bytes.subarray(300)])).toEqual(bytes);
    await (await store.begin(digest, 'resume')).append(bytes.subarray(0, 300));
    expect(await receive(store, [bytes], 'fresh')).toEqual(bytes);
  });

  it('are refused, and begun anew, when their checksum is wrong', async () => {
    const { storage, entries } = memoryCaches();
    const store = new TabStore(storage);
    expect(await receive(store, [bytes.subarray(1)])).toBe(undefined);
    expect(entries.size).toBe(0);
    expect((await store.begin(digest, 'resume')).size).toBe(0);
  });

  it('need no cache, not even one that says it is there', async () => {
    const broken = { open: () => Promise.reject(new Error('private window')) } as unknown as CacheStorage;
    for (const storage of [undefined, broken]) {
      const store = new TabStore(storage);
      expect(await receive(store, [bytes])).toEqual(bytes);
      expect(await store.read(digest)).toBe(undefined);
      await store.keepOnly([]);
    }
  });

  it('of other jobs make room', async () => {
    const { storage, entries } = memoryCaches();
    const store = new TabStore(storage);
    await receive(store, [bytes]);
    await store.keepOnly([digest]);
    expect(entries.size).toBe(1);
    await store.keepOnly([other]);
    expect(entries.size).toBe(0);
  });
});
