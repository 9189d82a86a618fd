/** Foreign web pages do not get in. */
import { describe, expect, it } from 'vitest';
import { CoordinatorServer } from './index.ts';
import { bearer, defaults, join, makeCertificate, openServer, TOKEN, talk, talkTls } from './testing/peers.ts';

const get = (host: string, origin?: string): string =>
  `GET /healthz HTTP/1.1\r\nConnection: close\r\nHost: ${host}\r\n${origin === undefined ? '' : `Origin: ${origin}\r\n`}\r\n`;

const statusOf = (answer: string): number => Number(answer.split(' ', 2)[1]);

describe('Origin', () => {
  it('may be that of the server itself, or an allowed one', async () => {
    const { server, workers } = await openServer({ allowedOrigins: ['https://lab.example.org/'] });
    const own = `http://127.0.0.1:${server.port}`;
    for (const origin of [own, 'https://lab.example.org']) {
      const { socket } = await join(server.url, { token: TOKEN, client: { headers: { origin } } });
      expect(socket).toBeDefined();
    }
    expect(workers.map(({ peer }) => peer.browser)).toEqual([true, true]);
    expect(statusOf(await talk(server.port, get('Gpu-Box', 'http://gpu-box')))).toBe(200);
    expect(statusOf(await talk(server.port, get('gpu-box:80', 'http://gpu-box')))).toBe(200);
  });

  it('may be no other, even with the token', async () => {
    const { server, workers } = await openServer({ allowedOrigins: ['https://lab.example.org'] });
    const foreign = [
      'http://evil.org',
      'null',
      `http://127.0.0.1:${server.port + 1}`,
      `https://127.0.0.1:${server.port}`,
      'https://lab.example.org.evil.org',
      '',
    ];
    for (const origin of foreign) {
      const { status, body } = await join(server.url, { token: TOKEN, client: { headers: { origin } } });
      expect(status).toBe(403);
      expect(body).toMatchObject({ code: 'origin' });
    }
    const response = await fetch(`http://127.0.0.1:${server.port}/healthz`, {
      headers: { ...bearer, origin: 'http://evil.org' },
    });
    expect(response.status).toBe(403);
    expect(server.refused.get('origin')).toBe(foreign.length + 1);
    expect(workers).toHaveLength(0);
  });

  it('is compared with https where the server speaks TLS', async () => {
    const { server } = await openServer({ tls: await makeCertificate() });
    expect(statusOf(await talkTls(server.port, get('gpu-box:7070', 'https://gpu-box:7070')))).toBe(200);
    expect(statusOf(await talkTls(server.port, get('gpu-box:7070', 'http://gpu-box:7070')))).toBe(403);
  });

  it('that is allowed has to be one', async () => {
    for (const origin of ['example.org', '*', 'file:///etc']) {
      await expect(CoordinatorServer.open({ ...defaults, allowedOrigins: [origin] }, () => {})).rejects.toThrow(
        expect.objectContaining({ code: 'usage' }),
      );
    }
  });
});

describe('Host', () => {
  it('without a token must be this machine or an address', async () => {
    const { server } = await openServer({ token: undefined, host: 'localhost' });
    const hosts = ['127.0.0.1', 'localhost', 'LOCALHOST:7070', '[::1]:7070', '10.1.2.3'];
    const { port } = server;
    const url = `http://localhost:${port}`;
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
    for (const host of hosts) {
      expect((await join(server.url, { client: { headers: { host } } })).socket).toBeDefined();
    }
    for (const host of ['evil.org', `evil.org:${port}`, 'localhost.evil.org', '127.0.0.1.evil.org']) {
      // After rebinding its name, a page of evil.org has evil.org as its own origin.
      const headers = { host, origin: `http://${host}` };
      const { status, body } = await join(server.url, { client: { headers } });
      expect(status).toBe(403);
      expect(body).toMatchObject({ code: 'host' });
    }
    expect(server.refused.get('host')).toBe(4);
  });

  it('may be any name with a token, for that is what protects then', async () => {
    const { server } = await openServer();
    expect(statusOf(await talk(server.port, get('gpu-box:7070')))).toBe(200);
  });

  it('must be there and well-formed', async () => {
    const { server } = await openServer();
    for (const host of ['', 'a b', 'user@127.0.0.1', '127.0.0.1/x']) {
      const answer = await talk(server.port, get(host));
      expect(statusOf(answer)).toBe(400);
      expect(answer).toContain('"code":"host"');
    }
    expect(await talk(server.port, 'GET /healthz HTTP/1.1\r\n\r\n')).toContain('"code":"host"');
  });
});
