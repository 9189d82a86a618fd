/** Which WebSockets are handed over, and what the others are told. */
import { once } from 'node:events';
import { PROTOCOL_VERSION, SUBPROTOCOL } from '@lockstep/protocol';
import { afterEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { CoordinatorServer } from './index.ts';
import { bySubprotocol, defaults, dial, join, openServer, rawSocketOf, TOKEN, talk } from './testing/peers.ts';

afterEach(() => vi.restoreAllMocks());

describe('a WebSocket', () => {
  it('gets through with the token, under both paths, and can talk', async () => {
    const { server, workers } = await openServer();
    expect(server.url).toBe(`ws://127.0.0.1:${server.port}`);
    for (const path of ['', '/worker']) {
      const { socket } = await join(server.url + path, { token: TOKEN });
      expect(socket?.protocol).toBe(SUBPROTOCOL);
      expect(socket?.extensions).toBe('');
      const worker = workers.pop();
      expect(worker?.peer).toMatchObject({ address: '127.0.0.1', browser: false });
      const before = worker!.peer.bytesRead();
      socket!.send('hello');
      await once(worker!.socket, 'message');
      // A header of six bytes, with the mask, and five letters.
      expect(worker!.peer.bytesRead() - before).toBe(11);
      worker?.socket.send('hello');
      expect(String((await once(socket!, 'message'))[0])).toBe('hello');
    }
    expect(server.refused.size).toBe(0);
  });

  it('gets through without a token where none is needed', async () => {
    const { server } = await openServer({ token: undefined });
    expect((await join(server.url)).socket).toBeDefined();
  });

  it('of a browser shows the token as a subprotocol, which is not repeated', async () => {
    const { server, workers } = await openServer();
    const headers = { origin: `http://127.0.0.1:${server.port}` };
    const protocols = [SUBPROTOCOL, bySubprotocol(TOKEN)];
    const { socket } = await join(server.url, { protocols, client: { headers } });
    expect(socket?.protocol).toBe(SUBPROTOCOL);
    expect(workers[0]?.peer.browser).toBe(true);
  });

  it('without the right token gets 401', async () => {
    const { server, workers } = await openServer();
    const wrong = [{}, { token: 'wrong-token' }, { protocols: [SUBPROTOCOL, bySubprotocol('wrong-token')] }];
    for (const options of wrong) {
      const { status, headers, body } = await join(server.url, options);
      expect(status).toBe(401);
      expect(headers.connection).toBe('close');
      expect(body).toMatchObject({ code: 'token', nextStep: expect.stringContaining('--token') });
      expect(JSON.stringify(body)).not.toMatch(/wrong-token|correct-horse/);
    }
    expect(await join(`${server.url}/?token=${TOKEN}`)).toMatchObject({ status: 401 });
    expect(server.refused.get('token')).toBe(4);
    expect(workers).toHaveLength(0);
  });

  it('is blocked after too many wrong tokens, even with the right one', async () => {
    const { server } = await openServer({ limits: { maxFailedTokens: 3 } });
    // Those that are right do not count.
    for (let i = 0; i < 5; i++) expect((await join(server.url, { token: TOKEN })).socket).toBeDefined();
    const guesses = Array.from({ length: 8 }, (_, i) => join(server.url, { token: `guess-${i}` }));
    const statuses = (await Promise.all(guesses)).map(({ status }) => status).sort();
    expect(statuses).toEqual([401, 401, 401, 429, 429, 429, 429, 429]);
    const { status, headers, body } = await join(server.url, { token: TOKEN });
    expect(status).toBe(429);
    expect(Number(headers['retry-after'])).toBeGreaterThan(0);
    expect(body).toMatchObject({ code: 'blocked' });
    const elsewhere = await join(server.url, { token: TOKEN, client: { localAddress: '127.0.0.2' } });
    expect(elsewhere.socket).toBeDefined();
  });

  it('is blocked for the whole time from the last token that was too many', async () => {
    const { server } = await openServer({ limits: { maxFailedTokens: 1, blockMs: 60_000 } });
    await join(server.url, { token: 'wrong-token' });
    // Longer than the second to which Retry-After is rounded.
    await new Promise((resolve) => setTimeout(resolve, 1100));
    const { headers } = await join(server.url, { token: 'wrong-token' });
    expect(headers['retry-after']).toBe('60');
  });

  it('is let in again after a while', async () => {
    const { server } = await openServer({ limits: { maxFailedTokens: 1, blockMs: 300 } });
    expect((await join(server.url, { token: 'wrong-token' })).status).toBe(401);
    const letIn = async (): Promise<void> => expect((await join(server.url, { token: TOKEN })).socket).toBeDefined();
    await vi.waitFor(letIn, { timeout: 30_000, interval: 100 });
  });

  it('has one guess of the token as a subprotocol', async () => {
    const { server } = await openServer();
    const protocols = [SUBPROTOCOL, bySubprotocol('wrong-token'), bySubprotocol(TOKEN)];
    expect(await join(server.url, { protocols })).toMatchObject({ status: 401 });
  });

  it('of another version gets 426, and without one 400', async () => {
    const { server } = await openServer();
    const later = `lockstep.${PROTOCOL_VERSION + 1}`;
    const other = await join(server.url, { token: TOKEN, protocols: [later] });
    expect(other).toMatchObject({
      status: 426,
      body: { code: 'version', message: expect.stringContaining(SUBPROTOCOL) },
    });
    expect(other.body?.message).toContain(later);
    const none = await join(server.url, { token: TOKEN, protocols: [] });
    expect(none).toMatchObject({ status: 400, body: { code: 'subprotocol' } });
    const both = await join(server.url, { token: TOKEN, protocols: [later, SUBPROTOCOL] });
    expect(both.socket?.protocol).toBe(SUBPROTOCOL);
  });

  it('elsewhere gets 404, and one that is none gets 400', async () => {
    const { server } = await openServer();
    expect(await join(`${server.url}/metrics`, { token: TOKEN })).toMatchObject({ status: 404 });
    const upgrade = `GET /worker HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n`;
    const answer = await talk(
      server.port,
      `${upgrade}Authorization: Bearer ${TOKEN}\r\nSec-WebSocket-Protocol: ${SUBPROTOCOL}\r\n\r\n`,
    );
    expect(answer).toContain('HTTP/1.1 400');
    expect(answer).toContain('"code":"upgrade"');
  });

  it('that sends a message too long is ended with 1009 before the message is there', async () => {
    const { server, workers } = await openServer({ maxMessageBytes: 1000 });
    const { socket } = await join(server.url, { token: TOKEN });
    const messages: unknown[] = [];
    workers[0]?.socket.on('message', (data) => messages.push(data));
    socket?.send(Buffer.alloc(1000));
    await vi.waitFor(() => expect(messages).toHaveLength(1));
    // Only the head of a frame that announces 1001 bytes, with the mask bit and no mask or content to follow.
    rawSocketOf(socket!).write(Buffer.from([0x82, 0xfe, 0x03, 0xe9]));
    const [code] = await once(socket!, 'close');
    expect(code).toBe(1009);
    expect(messages).toHaveLength(1);
  });

  it('that sends no frames, or goes in the middle of one or of a refusal, ends nothing but itself', async () => {
    const { server } = await openServer();
    const first = (await join(server.url, { token: TOKEN })).socket!;
    rawSocketOf(first).write('garbage that is no frame');
    expect((await once(first, 'close'))[0]).toBe(1002);
    const second = (await join(server.url, { token: TOKEN })).socket!;
    rawSocketOf(second).write(Buffer.from([0x82, 0xfe, 0x00]));
    rawSocketOf(second).resetAndDestroy();
    const third = await dial(server.port);
    third.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
    await once(third, 'data');
    third.resetAndDestroy();
    expect((await join(server.url, { token: TOKEN })).socket).toBeDefined();
  });

  it('is ended when its owner fails', async () => {
    const warn = vi.spyOn(process, 'emitWarning').mockReturnValue();
    const server = await CoordinatorServer.open(defaults, () => {
      throw new Error('fault');
    });
    onTestFinished(() => server.close());
    const socket = (await join(server.url, { token: TOKEN })).socket!;
    expect((await once(socket, 'close'))[0]).toBe(1006);
    expect(warn).toHaveBeenCalledWith(expect.stringContaining('fault'));
  });
});
