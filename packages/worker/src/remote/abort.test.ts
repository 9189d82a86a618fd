/** Ctrl-C at every stage of a worker's course. */
import { type AddressInfo, createServer } from 'node:net';
import { closeCodes } from '@lockstep/protocol';
import { expect, it } from 'vitest';
import { WorkerPool } from '../pool.ts';
import { join } from './join.ts';
import { ScriptedCoordinator } from './testing/coordinator.ts';
import { job, parametersOf, partitions } from './testing/job.ts';
import { assign, opened, openWorker, pair, sendParameters } from './testing/scene.ts';
import { temporaryFolder } from './testing/worker.ts';

async function silentPort(): Promise<number> {
  const server = opened(createServer(() => {}).listen(0, '127.0.0.1'));
  await new Promise((resolve) => server.on('listening', resolve));
  return (server.address() as AddressInfo).port;
}

it.each(['ws', 'wss'])('ends while it dials %s', async (scheme) => {
  const worker = openWorker(`${scheme}://127.0.0.1:${await silentPort()}`, { settings: { dialMs: 1e6 } });
  await worker.event('connecting');
  worker.abort();
  expect(await worker.ended).toMatchObject({ code: 'interrupted' });
});

it('ends while it waits to dial again', async () => {
  const { coordinator, worker } = await pair({ settings: { firstPauseMs: 1e6, longestPauseMs: 1e6 } });
  (await coordinator.accept()).drop();
  await worker.event('waiting');
  worker.abort();
  expect(await worker.ended).toMatchObject({ code: 'interrupted' });
});

it('ends while it waits for the welcome', async () => {
  const { coordinator, worker } = await pair();
  const peer = await coordinator.accept();
  await peer.next('hello');
  worker.abort();
  expect(await worker.ended).toMatchObject({ code: 'interrupted' });
  expect(await peer.closed).toBe(closeCodes.leaving);
});

it('ends while the pool is made, once the engines are open', async () => {
  let preparing = (): void => {};
  const begun = new Promise<void>((resolve) => {
    preparing = resolve;
  });
  const log: string[] = [];
  class LoggingPool extends WorkerPool {
    override async prepare() {
      preparing();
      const engine = await super.prepare();
      log.push('prepared');
      return engine;
    }
    override async close() {
      log.push('closed');
      await super.close();
    }
  }
  const { coordinator, worker } = await pair({ Pool: LoggingPool });
  const peer = await coordinator.welcome(job);
  await begun;
  worker.abort();
  expect(await worker.ended).toMatchObject({ code: 'interrupted' });
  expect(await peer.closed).toBe(closeCodes.leaving);
  expect(log).toEqual(['prepared', 'closed']);
});

it('ends while it fetches data', async () => {
  const { coordinator, worker } = await pair();
  const peer = await coordinator.welcome(job);
  peer.send({ type: 'hold', shards: [0] });
  await peer.next('fetch');
  worker.abort();
  expect(await worker.ended).toMatchObject({ code: 'interrupted' });
  expect(await peer.closed).toBe(closeCodes.leaving);
});

it('ends while it computes, and finishes nothing', async () => {
  let computing = (): void => {};
  const begun = new Promise<void>((resolve) => {
    computing = resolve;
  });
  class EndlessPool extends WorkerPool {
    #cancelled = (): void => {};
    override gradient(): Promise<undefined> {
      computing();
      return new Promise((resolve) => {
        this.#cancelled = () => resolve(undefined);
      });
    }
    override cancel(): void {
      this.#cancelled();
    }
  }
  const { coordinator, worker } = await pair({ Pool: EndlessPool });
  const peer = await coordinator.welcome(job);
  peer.serveAll(partitions);
  sendParameters(peer, 0, parametersOf(1));
  assign(peer, 0, 0, 1);
  assign(peer, 0, 1, 2);
  await begun;
  worker.abort();
  expect(await worker.ended).toMatchObject({ code: 'interrupted', message: /after 0 samples/ });
  expect(await peer.closed).toBe(closeCodes.leaving);
  expect(peer.unread).not.toContain('result');
});

it('ends when it is aborted before it begins', async () => {
  const options = { url: 'ws://127.0.0.1:1', cacheDir: temporaryFolder() };
  const events = join(options, { signal: AbortSignal.abort() });
  await expect(events.next()).rejects.toMatchObject({ code: 'interrupted' });
});

it('ends when nobody listens to its events any more', async () => {
  const coordinator = opened(await ScriptedCoordinator.open());
  const listening = (async () => {
    const events = join({ url: coordinator.url, cacheDir: temporaryFolder(), workers: 1 }, { signal: undefined });
    for await (const { event } of events) if (event === 'joined') break;
  })();
  const peer = await coordinator.welcome(job);
  await listening;
  expect(await peer.closed).toBe(closeCodes.leaving);
});
