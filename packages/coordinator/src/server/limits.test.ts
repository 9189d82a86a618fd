/** No peer, and no crowd of them, takes more than its share. */
import { once } from 'node:events';
import { expect, it, vi } from 'vitest';
import type { CoordinatorServer } from './index.ts';
import { dial, join, openServer, TOKEN, talk, untilClosed } from './testing/peers.ts';

const REQUEST = 'GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n';

const isReset = async (server: CoordinatorServer): Promise<boolean> =>
  ['ECONNRESET', 'EPIPE', 'socket hang up'].includes((await join(server.url, { token: TOKEN })).error ?? '');

it('resets connections beyond the limit of all', async () => {
  const { server } = await openServer({ limits: { maxConnections: 3 } });
  const sockets = [];
  for (let i = 0; i < 3; i++) sockets.push((await join(server.url, { token: TOKEN })).socket!);
  expect(await isReset(server)).toBe(true);
  expect(server.refused.get('limit')).toBe(1);
  sockets[0]?.close();
  await once(sockets[0]!, 'close');
  await vi.waitFor(async () => expect((await join(server.url, { token: TOKEN })).socket).toBeDefined());
});

it('resets connections beyond the limit of their address', async () => {
  const { server } = await openServer({ limits: { maxConnectionsPerAddress: 2 } });
  for (let i = 0; i < 2; i++) expect((await join(server.url, { token: TOKEN })).socket).toBeDefined();
  expect(await isReset(server)).toBe(true);
  const elsewhere = await join(server.url, { token: TOKEN, client: { localAddress: '127.0.0.2' } });
  expect(elsewhere.socket).toBeDefined();
});

it('resets connections beyond the limit of unfinished handshakes, which finished ones do not count for', async () => {
  const { server } = await openServer({ limits: { maxPendingHandshakes: 2 } });
  for (let i = 0; i < 4; i++) expect((await join(server.url, { token: TOKEN })).socket).toBeDefined();
  await dial(server.port);
  const half = await dial(server.port);
  half.write('GET /heal');
  expect(await isReset(server)).toBe(true);
  half.write('thz HTTP/1.1\r\nHost: a\r\n\r\n');
  await once(half, 'data');
  expect((await join(server.url, { token: TOKEN })).socket).toBeDefined();
});

it('ends a connection that never says anything', async () => {
  const { server } = await openServer({ limits: { handshakeMs: 100 } });
  await untilClosed(await dial(server.port));
  expect(server.refused.get('handshake')).toBe(1);
});

it('ends a connection that sends its headers drop by drop', async () => {
  const { server } = await openServer({ limits: { handshakeMs: 200 } });
  const socket = await dial(server.port);
  socket.write('GET / HTTP/1.1\r\n');
  const drops = setInterval(() => socket.write('X: x\r\n'), 20);
  await untilClosed(socket);
  clearInterval(drops);
  expect(server.refused.get('handshake')).toBe(1);
});

it('ends a connection whose second request never becomes whole', async () => {
  const { server } = await openServer({ limits: { handshakeMs: 200, keepAliveMs: 30_000 } });
  const answer = await talk(server.port, `${REQUEST}GET /heal`);
  expect(answer).toMatch(/^HTTP\/1.1 200.*HTTP\/1.1 408.*"code":"handshake"/s);
});

it('ends an HTTP connection that has nothing more to ask', async () => {
  const { server } = await openServer({ limits: { keepAliveMs: 100 } });
  expect(await talk(server.port, REQUEST)).toContain('200 OK');
});

it('ends an answer that nobody takes', async () => {
  const { server } = await openServer({ limits: { idleMs: 300 } });
  const responseClosed = new Promise<void>((resolve) => {
    server.route(
      '/large',
      (_, response) => {
        response.once('close', resolve);
        response.end(Buffer.alloc(64 * 1024 * 1024));
      },
      { open: true },
    );
  });
  const socket = await dial(server.port);
  socket.pause();
  socket.write(REQUEST.replace('healthz', 'large'));
  await responseClosed;
  socket.destroy();
});

it('does not end a worker that is silent after its handshake', async () => {
  const { server, workers } = await openServer({ limits: { handshakeMs: 100, idleMs: 100, keepAliveMs: 100 } });
  const { socket } = await join(server.url, { token: TOKEN });
  await new Promise((resolve) => setTimeout(resolve, 500));
  workers[0]?.socket.send('still there?');
  expect(String((await once(socket!, 'message'))[0])).toBe('still there?');
});

it('counts a peer once that goes on after it was refused', async () => {
  const { server } = await openServer({ limits: { handshakeMs: 100, lingerMs: 400 } });
  const socket = await dial(server.port);
  socket.write('NONSENSE\r\n\r\n');
  await once(socket, 'data');
  const more = setInterval(() => socket.write('MORE OF IT\r\n\r\n'), 20);
  await new Promise((resolve) => socket.once('close', resolve).resume());
  clearInterval(more);
  expect(server.refused.get('handshake')).toBe(1);
});

it('forgets a refused peer as soon as that closes its side', async () => {
  const { server } = await openServer({ limits: { maxConnections: 1, lingerMs: 600_000 } });
  const refused = await dial(server.port);
  refused.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
  await once(refused, 'data');
  // Nobody is going to read this.
  refused.write('frames');
  refused.end();
  await vi.waitFor(async () => expect((await join(server.url, { token: TOKEN })).socket).toBeDefined(), {
    timeout: 10_000,
  });
});

it('does not wait for a refused peer to close its side', async () => {
  const { server } = await openServer({ limits: { maxConnections: 1, lingerMs: 100 } });
  const socket = await dial(server.port);
  socket.write('NONSENSE\r\n\r\n');
  await once(socket, 'data');
  // The client's own side stays open. There is room again once the server has let go of it.
  await vi.waitFor(async () => expect((await join(server.url, { token: TOKEN })).socket).toBeDefined(), {
    timeout: 10_000,
  });
  socket.destroy();
});
