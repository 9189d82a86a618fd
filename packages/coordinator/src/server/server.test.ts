/** How a server opens and closes. */
import { once } from 'node:events';
import { createServer } from 'node:net';
import { networkInterfaces } from 'node:os';
import { describe, expect, it, onTestFinished } from 'vitest';
import { CoordinatorServer } from './index.ts';
import { bearer, defaults, dial, httpUrl, join, openServer, rawSocketOf, TOKEN, untilClosed } from './testing/peers.ts';

const hasIPv6 = Object.values(networkInterfaces()).some((list) => list?.some(({ address }) => address === '::1'));

describe('opening', () => {
  it('takes another port than the usual one only when none was asked for', async () => {
    const blocker = createServer().listen(0, '127.0.0.1');
    await once(blocker, 'listening');
    onTestFinished(() => void blocker.close());
    const { port } = blocker.address() as { port: number };
    await expect(CoordinatorServer.open({ ...defaults, port }, () => {})).rejects.toThrow(
      expect.objectContaining({ code: 'address-in-use', nextStep: expect.stringContaining('--port') }),
    );
    // One of the two finds 7070 taken, if not both.
    const first = await openServer({ port: undefined });
    const second = await openServer({ port: undefined });
    expect(first.server.port).not.toBe(second.server.port);
    expect((await join(second.server.url, { token: TOKEN })).socket).toBeDefined();
  });

  it.each(['203.0.113.1', 'nowhere.invalid'])('says that %s is no address of this machine', async (host) => {
    await expect(CoordinatorServer.open({ ...defaults, host }, () => {})).rejects.toThrow(
      expect.objectContaining({ code: 'address-unavailable', nextStep: expect.stringContaining('--host') }),
    );
  });

  it.runIf(hasIPv6)('knows IPv4 peers by their address where it listens on both', async () => {
    const { server, workers } = await openServer({ host: '::' });
    expect((await join(`ws://127.0.0.1:${server.port}`, { token: TOKEN })).socket).toBeDefined();
    expect(workers[0]?.peer.address).toBe('127.0.0.1');
  });

  it.runIf(hasIPv6)('writes an IPv6 host as URLs do', async () => {
    const { server } = await openServer({ host: '[::1]' });
    expect(server.url).toBe(`ws://[::1]:${server.port}`);
    expect((await join(server.url, { token: TOKEN })).socket).toBeDefined();
  });

  it('needs a token beyond loopback', async () => {
    const opening = CoordinatorServer.open({ ...defaults, host: '0.0.0.0', token: undefined }, () => {});
    await expect(opening).rejects.toThrow('Broken invariant');
  });
});

describe('closing', () => {
  it('ends silent connections, unfinished answers and workers that do not close', async () => {
    const { server } = await openServer({ limits: { lingerMs: 100 } });
    server.route('/events', (_, response) => void response.write('data: 1\n\n'));
    const silent = untilClosed(await dial(server.port));
    const events = await fetch(httpUrl(server, '/events'), { headers: bearer });
    const idle = await fetch(httpUrl(server, '/healthz'));
    await idle.text();
    const polite = (await join(server.url, { token: TOKEN })).socket!;
    const deaf = (await join(server.url, { token: TOKEN })).socket!;
    rawSocketOf(deaf).pause();
    const politeClose = once(polite, 'close');
    await Promise.all([server.close(), server.close()]);
    expect((await politeClose)[0]).toBe(1001);
    expect(await silent).toBe('');
    await expect(events.text()).rejects.toThrow();
    deaf.terminate();
    expect((await join(server.url, { token: TOKEN })).error).toBe('ECONNREFUSED');
  });

  it('does not wait for what is silent', async () => {
    const { server } = await openServer({ limits: { lingerMs: 600_000 } });
    await dial(server.port);
    const idle = await fetch(httpUrl(server, '/healthz'));
    await idle.text();
    expect((await join(server.url, { token: TOKEN })).socket).toBeDefined();
    await server.close();
  });

  it('lets a worker finish a closing that its owner began', async () => {
    const { server, workers } = await openServer();
    const socket = (await join(server.url, { token: TOKEN })).socket!;
    const closed = once(socket, 'close');
    workers[0]?.socket.close(4000, 'done');
    await server.close();
    expect(await closed).toEqual([4000, Buffer.from('done')]);
  });
});
