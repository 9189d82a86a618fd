import { createPrivateKey } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join as joinPath } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { SUBPROTOCOL } from '@lockstep/protocol';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import WebSocket from 'ws';
import { CoordinatorServer, readTls } from './index.ts';
import {
  defaults,
  dial,
  join,
  makeCertificate,
  openServer,
  rawSocketOf,
  TOKEN,
  talk,
  talkTls,
  untilClosed,
} from './testing/peers.ts';

let folder: string;
let tls: Awaited<ReturnType<typeof makeCertificate>>;
let other: typeof tls;

beforeAll(async () => {
  folder = await mkdtemp(joinPath(tmpdir(), 'lockstep-tls-'));
  [tls, other] = await Promise.all([makeCertificate(), makeCertificate()]);
});
afterAll(() => rm(folder, { recursive: true }));

async function file(name: string, content: string | Buffer): Promise<string> {
  const path = joinPath(folder, name);
  await writeFile(path, content);
  return path;
}

const refusal = (code: string, ...words: string[]) =>
  expect.objectContaining({ code, message: expect.stringMatching(words.join('.*')) });

describe('readTls', () => {
  it('takes both files or neither', async () => {
    const [cert, key] = [await file('cert.pem', tls.cert), await file('key.pem', tls.key)];
    expect(await readTls(cert, key)).toEqual(tls);
    expect(await readTls(undefined, undefined)).toBeUndefined();
    await expect(readTls(cert, undefined)).rejects.toThrow(refusal('usage', '--tls-cert', 'without --tls-key'));
    await expect(readTls(undefined, key)).rejects.toThrow(refusal('usage', '--tls-key', 'without --tls-cert'));
  });

  it('says which file is no good, and why', async () => {
    const [cert, key] = [await file('cert.pem', tls.cert), await file('key.pem', tls.key)];
    const missing = joinPath(folder, 'missing.pem');
    await expect(readTls(missing, key)).rejects.toThrow(refusal('tls-invalid', '--tls-cert', 'missing.pem', 'ENOENT'));
    await expect(readTls(cert, missing)).rejects.toThrow(refusal('tls-invalid', '--tls-key', 'missing.pem', 'ENOENT'));
    await expect(readTls(key, key)).rejects.toThrow(refusal('tls-invalid', '--tls-cert is not a certificate'));
    await expect(readTls(cert, cert)).rejects.toThrow(refusal('tls-invalid', '--tls-key is not a private key'));
    const der = await file('cert.der', Buffer.from(tls.cert.toString().replaceAll(/-.*-|\s/g, ''), 'base64'));
    await expect(readTls(der, key)).rejects.toThrow(refusal('tls-invalid', '--tls-cert is not a certificate in PEM'));
    const locked = createPrivateKey(tls.key).export({
      type: 'pkcs8',
      format: 'pem',
      cipher: 'aes256',
      passphrase: 'p',
    });
    await expect(readTls(cert, await file('locked.pem', locked))).rejects.toThrow(refusal('tls-invalid', 'passphrase'));
    const strange = await file('other.pem', other.key);
    await expect(readTls(cert, strange)).rejects.toThrow(refusal('tls-invalid', '--tls-key', 'does not belong'));
  });
});

describe('a server with TLS', () => {
  it('lets a worker through that pins the fingerprint', async () => {
    const { server, workers } = await openServer({ tls });
    expect(server.url).toBe(`wss://127.0.0.1:${server.port}`);
    const { socket } = await join(server.url, { token: TOKEN });
    expect(socket?.protocol).toBe(SUBPROTOCOL);
    expect(workers).toHaveLength(1);

    const client = connectTls({ port: server.port, host: '127.0.0.1', rejectUnauthorized: false });
    await new Promise((resolve) => client.once('secureConnect', resolve));
    expect(client.getPeerCertificate().fingerprint256).toBe(server.fingerprint);
    client.destroy();
  });

  it('refuses to start with a key of another certificate', async () => {
    const opening = CoordinatorServer.open({ ...defaults, tls: { cert: tls.cert, key: other.key } }, () => {});
    await expect(opening).rejects.toThrow(refusal('tls-invalid', '--tls-key', '--tls-cert'));
  });

  it('refuses with the same words as without TLS', async () => {
    const { server } = await openServer({ tls });
    const { status, body } = await join(server.url, { token: 'not the token' });
    expect(status).toBe(401);
    expect(body).toMatchObject({ code: 'token' });
    expect(await talkTls(server.port, 'NONSENSE\r\n\r\n')).toContain('HTTP/1.1 400');
  });

  it('survives peers that do not speak TLS or leave in the middle of it', async () => {
    const { server, workers } = await openServer({ tls });
    expect(await talk(server.port, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n')).not.toContain('HTTP/1.1');
    expect(server.refused.get('handshake')).toBe(1);
    const leaver = await dial(server.port);
    leaver.write(helloPart());
    leaver.resetAndDestroy();
    // One that is refused and leaves before it has read why, and one that leaves as a worker.
    const upgrade = 'GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n';
    const refused = await dial(server.port);
    const client = connectTls({ socket: refused, rejectUnauthorized: false });
    client.on('error', () => {});
    client.write(upgrade);
    await once(client, 'data');
    refused.resetAndDestroy();
    const { socket } = await join(server.url, { token: TOKEN });
    rawSocketOf(socket!).destroy();
    await vi.waitFor(() => expect(workers[0]?.socket.readyState).toBe(WebSocket.CLOSED));
    expect((await join(server.url, { token: TOKEN })).socket).toBeDefined();
  });

  it('ends half a TLS handshake, and a whole one after which nothing is said', async () => {
    const { server } = await openServer({ tls, limits: { handshakeMs: 200 } });
    const half = await dial(server.port);
    half.write(helloPart());
    await untilClosed(half);
    expect(server.refused.get('handshake')).toBe(1);
    expect(await talkTls(server.port, '')).toBe('');
    expect(server.refused.get('handshake')).toBe(2);
  });

  it('forgets connections that have ended', async () => {
    const { server } = await openServer({
      tls,
      limits: { maxConnections: 2, maxConnectionsPerAddress: 2, maxPendingHandshakes: 1 },
    });
    for (let i = 0; i < 5; i++) {
      const answer = await talkTls(server.port, 'GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
      expect(answer).toContain('200 OK');
    }
    expect(server.refused.get('limit')).toBeUndefined();
  });

  it('closes with a worker still connected', async () => {
    const { server } = await openServer({ tls, limits: { lingerMs: 100 } });
    const { socket } = await join(server.url, { token: TOKEN });
    const closed = new Promise((resolve) => socket?.once('close', resolve));
    await server.close();
    expect(await closed).toBe(1001);
  });
});

/** The beginning of a TLS record with a client's greeting. */
function helloPart(): Buffer {
  return Buffer.from('16030100c8010000c40303', 'hex');
}
