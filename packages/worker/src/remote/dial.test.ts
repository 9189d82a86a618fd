/** Dials that lead nowhere: nobody there, refusals, certificates that are not trusted. */
import { writeFileSync } from 'node:fs';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { join } from 'node:path';
import { createServer as createTlsServer } from 'node:tls';
import { generate } from 'selfsigned';
import { describe, expect, it } from 'vitest';
import { ScriptedCoordinator } from './testing/coordinator.ts';
import { job } from './testing/job.ts';
import { opened, openWorker, pair } from './testing/scene.ts';
import { type TestWorkerOptions, temporaryFolder } from './testing/worker.ts';

/** A port at which nothing listens. */
async function closedPort(): Promise<number> {
  const server = createTcpServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.on('listening', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

describe('dial', () => {
  it('shows its token, under the path of the URL', async () => {
    const coordinator = opened(await ScriptedCoordinator.open());
    openWorker(coordinator.url, { options: { token: 'geheim' } });
    openWorker(`${coordinator.url}/behind/a/proxy`);
    await coordinator.accept();
    await coordinator.accept();
    const seen = coordinator.dials.map(({ url, headers }) => [url, headers.authorization]);
    expect(seen).toContainEqual(['/worker', 'Bearer geheim']);
    expect(seen).toContainEqual(['/behind/a/proxy', undefined]);
  });

  it('gives up when there is nobody for too long', async () => {
    const worker = openWorker(`ws://127.0.0.1:${await closedPort()}`, { options: { patience: 0.1 } });
    const failure = await worker.ended;
    expect(failure).toMatchObject({ code: 'coordinator-unreachable' });
    expect(failure!.message).toMatch(
      /No coordinator answered at ws:.* for 0.1 s; the last attempt: connection refused/,
    );
    expect(worker.of('connecting').map(({ attempt }) => attempt)).toEqual(worker.of('connecting').map((_, i) => i + 1));
  });

  it('counts its patience from the last welcome', async () => {
    const { coordinator } = await pair({ options: { patience: 1 } });
    const peer = await coordinator.welcome(job);
    await new Promise((resolve) => setTimeout(resolve, 1100));
    peer.drop();
    await coordinator.accept();
  });

  it('does not wait for an answer forever', async () => {
    const server = opened(createTcpServer(() => {}).listen(0, '127.0.0.1'));
    await new Promise((resolve) => server.on('listening', resolve));
    const { port } = server.address() as AddressInfo;
    for (const scheme of ['ws', 'wss']) {
      const worker = openWorker(`${scheme}://127.0.0.1:${port}`, { settings: { dialMs: 50 } });
      expect((await worker.event('waiting')).reason).toBe('no answer within 0.05 s');
      await worker.event('connecting', 2);
      await worker.close();
    }
  });

  it.each([400, 401, 403, 404, 426])('is refused with status %s and says what the coordinator says', async (status) => {
    const coordinator = opened(await ScriptedCoordinator.open());
    const body = { code: 'x', message: 'Not\u001b[2J you.', nextStep: 'Go there.' };
    coordinator.refusals.push({ status, body: JSON.stringify(body) });
    const failure = await openWorker(coordinator.url).ended;
    expect(failure).toMatchObject({ code: 'coordinator-refused', nextStep: 'Go there.' });
    expect(failure!.message).toMatch(/HTTP status \d+: Not \[2J you\.$/);
  });

  it.each(['', 'no JSON', '[]', `"${'x'.repeat(100_000)}"`])(
    'is refused with a body that says nothing',
    async (body) => {
      const coordinator = opened(await ScriptedCoordinator.open());
      coordinator.refusals.push({ status: 401, body });
      const failure = await openWorker(coordinator.url).ended;
      expect(failure).toMatchObject({ code: 'coordinator-refused', nextStep: /--token/ });
      expect(failure!.message).toMatch(/HTTP status 401\.$/);
    },
  );

  it('tries again after other answers, and not before it is asked to', async () => {
    const coordinator = opened(await ScriptedCoordinator.open());
    coordinator.refusals.push({ status: 500 }, { status: 502 }, { status: 429, headers: { 'Retry-After': '1' } });
    const worker = openWorker(coordinator.url);
    await coordinator.accept();
    const waits = worker.of('waiting');
    expect(waits.map(({ reason }) => reason)).toEqual(
      [500, 502, 429].map((status) => `it answered with HTTP status ${status}`),
    );
    expect(waits.map(({ retryInMs }) => retryInMs >= 1000)).toEqual([false, false, true]);
  });

  it('does not wait as long as it is asked to', async () => {
    const coordinator = opened(await ScriptedCoordinator.open());
    coordinator.refusals.push({ status: 503, headers: { 'Retry-After': '86400' } });
    const { retryInMs } = await openWorker(coordinator.url, { options: { patience: 1000 } }).event('waiting');
    expect(retryInMs).toBeGreaterThanOrEqual(60_000);
    expect(retryInMs).toBeLessThan(61_000);
  });
});

describe('TLS', async () => {
  const made = await generate([{ name: 'commonName', value: 'localhost' }], {
    keyType: 'ec',
    extensions: [{ name: 'subjectAltName', altNames: [{ type: 7, ip: '127.0.0.1' }] }],
  });
  const tls = { key: made.private, cert: made.cert };
  const caFile = join(temporaryFolder(), 'ca.pem');
  writeFileSync(caFile, made.cert);

  /** A TLS server that only records what it is told. */
  async function eavesdropper() {
    const heard: Buffer[] = [];
    const server = createTlsServer(tls, (socket) => {
      socket.on('error', () => {}).on('data', (bytes: Buffer) => heard.push(bytes));
    });
    opened(server.listen(0, '127.0.0.1'));
    await new Promise((resolve) => server.on('listening', resolve));
    const url = `wss://127.0.0.1:${(server.address() as AddressInfo).port}`;
    return { url, heard: () => Buffer.concat(heard).toString() };
  }

  /** In the notation of the coordinator. */
  async function fingerprint(): Promise<string> {
    const { X509Certificate } = await import('node:crypto');
    return new X509Certificate(made.cert).fingerprint256;
  }

  const accepted: readonly [string, () => Promise<TestWorkerOptions['options']>][] = [
    ['its fingerprint', async () => ({ tlsFingerprint: await fingerprint() })],
    [
      'its fingerprint in other letters',
      async () => ({ tlsFingerprint: (await fingerprint()).replaceAll(':', '').toLowerCase() }),
    ],
    ['its authority', async () => ({ tlsCa: caFile })],
  ];

  it.each(accepted)('trusts a certificate by %s', async (_, options) => {
    const coordinator = opened(await ScriptedCoordinator.open(tls));
    openWorker(coordinator.url, { options: { token: 'geheim', ...(await options()) } });
    await (await coordinator.welcome(job)).next('ready');
    expect(coordinator.dials[0]!.headers.authorization).toBe('Bearer geheim');
  });

  it('hears nothing for too long under TLS as well', async () => {
    const coordinator = opened(await ScriptedCoordinator.open(tls));
    const worker = openWorker(coordinator.url, { options: { tlsFingerprint: await fingerprint() } });
    const peer = await coordinator.welcome(job, 40, 3);
    for (let i = 0; i < 10; i++) {
      peer.send({ type: 'ping', sentAt: i });
      await peer.next('pong');
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
    expect(worker.of('waiting')).toEqual([]);
    expect((await worker.event('waiting')).reason).toMatch(/nothing came/);
  });

  it('tells the token to nobody else', async () => {
    const server = await eavesdropper();
    const right = await fingerprint();
    const wrong = `${right.startsWith('00') ? 'FF' : '00'}${right.slice(2)}`;
    const failure = await openWorker(server.url, { options: { token: 'geheim', tlsFingerprint: wrong } }).ended;
    expect(failure).toMatchObject({ code: 'coordinator-refused' });
    expect(failure!.message).toContain(await fingerprint());
    expect(failure!.message).toContain(wrong);
    const untrusted = await openWorker(server.url, { options: { token: 'geheim' } }).ended;
    expect(untrusted).toMatchObject({
      code: 'coordinator-refused',
      message: /not trusted/,
      nextStep: /--tls-fingerprint/,
    });
    expect(server.heard()).toBe('');

    openWorker(server.url, { options: { token: 'geheim', tlsFingerprint: await fingerprint() } });
    while (!server.heard().includes('geheim')) await new Promise((resolve) => setTimeout(resolve, 5));
  });

  it('says when a port does not speak TLS', async () => {
    const coordinator = opened(await ScriptedCoordinator.open());
    const failure = await openWorker(coordinator.url.replace('ws:', 'wss:')).ended;
    expect(failure).toMatchObject({ code: 'coordinator-refused', message: /does not speak TLS/, nextStep: /ws:\/\// });
  });

  it('says what is wrong with an authority or a fingerprint', async () => {
    const url = 'wss://127.0.0.1:1';
    const noFile = join(temporaryFolder(), 'none.pem');
    expect(await openWorker(url, { options: { tlsCa: noFile } }).ended).toMatchObject({ code: 'tls-invalid' });
    writeFileSync(noFile, 'nothing');
    expect(await openWorker(url, { options: { tlsCa: noFile } }).ended).toMatchObject({ code: 'tls-invalid' });
    const tlsFingerprint = await fingerprint();
    for (const options of [{ tlsFingerprint: 'AB:CD' }, { tlsFingerprint, tlsCa: caFile }]) {
      expect(await openWorker(url, { options }).ended).toMatchObject({ code: 'usage' });
    }
    const plain = await openWorker('ws://127.0.0.1:1', { options: { tlsFingerprint } }).ended;
    expect(plain).toMatchObject({ code: 'usage', message: /--tls-fingerprint has no use with ws/ });
  });
});
