/** Which HTTP requests are served, and what the others are told. */
import { afterEach, describe, expect, it, vi } from 'vitest';
import { bearer, httpUrl, openServer, TOKEN, talk } from './testing/peers.ts';

const basic = (pair: string): Record<string, string> => ({
  authorization: `Basic ${Buffer.from(pair).toString('base64')}`,
});

afterEach(() => vi.restoreAllMocks());

describe('HTTP', () => {
  it('serves routes to those with the token', async () => {
    const { server } = await openServer();
    server.route('/metrics', (_, response) => void response.end('lockstep_steps 1'));
    for (const headers of [bearer, { authorization: `bearer ${TOKEN}` }, basic(`any:${TOKEN}`), basic(`:${TOKEN}`)]) {
      const response = await fetch(httpUrl(server, '/metrics?x=1'), { headers });
      expect(await response.text()).toBe('lockstep_steps 1');
    }
    const head = await fetch(httpUrl(server, '/metrics'), { method: 'HEAD', headers: bearer });
    expect([head.status, await head.text()]).toEqual([200, '']);
    const refused = [{}, { authorization: 'Bearer wrong-token' }, basic(`${TOKEN}:`), { authorization: TOKEN }];
    for (const headers of refused) {
      const response = await fetch(httpUrl(server, `/metrics?token=${TOKEN}`), { headers });
      expect(response.status).toBe(401);
      expect(response.headers.get('www-authenticate')).toBe('Basic realm="lockstep"');
      expect(response.headers.get('connection')).toBe('close');
      expect(await response.json()).toMatchObject({ code: 'token' });
    }
  });

  it('serves open routes to anyone, and nothing else', async () => {
    const { server } = await openServer();
    server.route('/join', (_, response) => void response.end('page'), { open: true });
    expect(await (await fetch(httpUrl(server, '/join'))).text()).toBe('page');
    expect(await (await fetch(httpUrl(server, '/healthz'))).text()).toBe('ok\n');
    expect((await fetch(httpUrl(server, '/nothing'))).status).toBe(401);
    expect((await fetch(httpUrl(server, '/nothing'), { headers: bearer })).status).toBe(404);
  });

  it('has headers that keep browsers careful, which a route may change', async () => {
    const { server } = await openServer();
    server.route('/asset', (_, response) => void response.setHeader('Cache-Control', 'max-age=60').end(), {
      open: true,
    });
    const { headers } = await fetch(httpUrl(server, '/healthz'));
    expect(Object.fromEntries(headers)).toMatchObject({
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
      'content-security-policy': "default-src 'self'",
      'x-frame-options': 'DENY',
      'cache-control': 'no-store',
    });
    expect((await fetch(httpUrl(server, '/asset'))).headers.get('cache-control')).toBe('max-age=60');
    const refused = await fetch(httpUrl(server, '/nothing'), { headers: bearer });
    expect(refused.headers.get('x-content-type-options')).toBe('nosniff');
  });

  it('refuses other methods and bodies, and ends the connection', async () => {
    const { server } = await openServer();
    const post = await talk(server.port, 'POST /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nbegin');
    expect(post).toContain('HTTP/1.1 405');
    expect(post).toContain('Allow: GET, HEAD');
    for (const body of ['Content-Length: 5\r\n\r\n', 'Transfer-Encoding: chunked\r\n\r\n']) {
      const answer = await talk(server.port, `GET /healthz HTTP/1.1\r\nHost: a\r\n${body}`);
      expect(answer).toContain('HTTP/1.1 400');
      expect(answer).toContain('"code":"body"');
    }
    expect(await talk(server.port, 'CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n')).toBe('');
    expect(await talk(server.port, 'NONSENSE\r\n\r\n')).toContain('HTTP/1.1 400');
    expect(await talk(server.port, `GET / HTTP/1.1\r\nX: ${'x'.repeat(17_000)}`)).toContain('HTTP/1.1 431');
    expect((await fetch(httpUrl(server, '/healthz'))).status).toBe(200);
  });

  it('says nothing of a fault but that there was one, and goes on', async () => {
    const { server } = await openServer();
    const warn = vi.spyOn(process, 'emitWarning').mockReturnValue();
    server.route('/sync', () => {
      throw new Error('secret');
    });
    server.route('/async', async (_, response) => {
      response.setHeader('Content-Encoding', 'gzip');
      throw new Error('secret');
    });
    server.route('/half', (_, response) => {
      response.write('beginning');
      throw new Error('secret');
    });
    server.route('/after', (_, response) => void response.end('all').write('more'));
    for (const path of ['/sync', '/async']) {
      const response = await fetch(httpUrl(server, path), { headers: bearer });
      const text = await response.text();
      expect(response.status).toBe(500);
      expect(JSON.parse(text)).toMatchObject({ code: 'internal' });
      expect(text).not.toContain('secret');
    }
    await expect(fetch(httpUrl(server, '/half'), { headers: bearer }).then((r) => r.text())).rejects.toThrow();
    await fetch(httpUrl(server, '/after'), { headers: bearer }).then(
      (r) => r.text(),
      () => {},
    );
    await vi.waitFor(() => expect(warn).toHaveBeenCalledTimes(4));
    expect(server.refused.get('internal')).toBe(2);
    expect((await fetch(httpUrl(server, '/healthz'))).status).toBe(200);
  });
});
