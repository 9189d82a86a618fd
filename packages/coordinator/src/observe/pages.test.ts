/** Which files of a built page are served, and that nothing else is. */
import fs, { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { bearer, httpUrl, openServer, TOKEN, talk } from '../server/testing/peers.ts';
import { servePages } from './pages.ts';

const files = {
  'site/index.html': '<!doctype html><title>Lockstep</title>',
  'site/join.html': '<!doctype html><title>Join</title>',
  'site/assets/worker/lane-12ab.js': 'postMessage(1)',
  'site/assets/engine-34cd.wasm': 'wasm',
  'site/assets/index-8f3a.js': 'console.log(1)',
  'site/assets/large-90bc.wasm': 'large '.repeat(1000),
  'site/assets/deep/index-77aa.css': 'body {}',
  'site/favicon.svg': '<svg xmlns="http://www.w3.org/2000/svg"/>',
  'secret.txt': 'secret',
};

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'lockstep-pages-'));
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(join(folder, dirname(path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
});

afterEach(() => rmSync(folder, { recursive: true }));

async function serve() {
  const { server } = await openServer();
  servePages(server, join(folder, 'site'));
  const get = (path: string, init?: RequestInit): Promise<Response> =>
    fetch(httpUrl(server, path), { headers: bearer, ...init });
  return { server, get };
}

describe('servePages', () => {
  it.each([
    ['/', files['site/index.html'], 'text/html'],
    ['/index.html', files['site/index.html'], 'text/html'],
    ['/?page=join', files['site/index.html'], 'text/html'],
    ['/join', files['site/join.html'], 'text/html'],
    ['/join.html', files['site/join.html'], 'text/html'],
    ['/assets/engine-34cd.wasm', 'wasm', 'application/wasm'],
    ['/assets/index-8f3a.js', files['site/assets/index-8f3a.js'], 'text/javascript'],
    ['/assets/deep/index-77aa.css', files['site/assets/deep/index-77aa.css'], 'text/css'],
    ['/favicon.svg', files['site/favicon.svg'], 'image/svg+xml'],
  ])('serves %s', async (path, text, type) => {
    const { get } = await serve();
    const response = await get(path);
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toContain(type);
    expect(response.headers.get('x-content-type-options')).toBe('nosniff');
    expect(await response.text()).toBe(text);
  });

  it('sends the compressed copy of a file to those that take one', async () => {
    const original = files['site/assets/large-90bc.wasm'];
    writeFileSync(join(folder, 'site/assets/large-90bc.wasm.gz'), gzipSync(original));
    const { get } = await serve();
    const path = '/assets/large-90bc.wasm';
    const bytesFor = async (encoding: string): Promise<number> => {
      const response = await get(path, { headers: { ...bearer, 'accept-encoding': encoding } });
      expect(await response.text()).toBe(original);
      expect(response.headers.get('content-type')).toBe('application/wasm');
      expect(response.headers.get('vary')).toBe('Accept-Encoding');
      expect(response.headers.get('content-encoding')).toBe(encoding === 'identity' ? null : encoding);
      return Number(response.headers.get('content-length'));
    };
    expect(await bytesFor('identity')).toBe(original.length);
    expect(await bytesFor('gzip')).toBeLessThan(100);
    expect((await get(`${path}.gz`)).status).toBe(404);
  });

  it('lets browsers keep what has its hash in its name, and ask again for the rest', async () => {
    const { get } = await serve();
    expect((await get('/assets/index-8f3a.js')).headers.get('cache-control')).toContain('immutable');
    const page = await get('/');
    expect(page.headers.get('cache-control')).toBe('no-cache');
    const again = await get('/', { headers: { ...bearer, 'if-none-match': page.headers.get('etag')! } });
    expect(again.status).toBe(304);
  });

  it('needs the token for the live page, and for nothing that says nothing of the run', async () => {
    const { get } = await serve();
    const status = async (path: string): Promise<number> => (await get(path, { headers: {} })).status;
    for (const path of ['/', '/index.html', '/?page=join', '/missing']) expect(await status(path)).toBe(401);
    for (const path of ['/join', '/join.html', '/assets/index-8f3a.js']) expect(await status(path)).toBe(200);
  });

  it('lets scripts of Web Workers compile WebAssembly, and no others', async () => {
    const { get } = await serve();
    const policy = async (path: string) => (await get(path)).headers.get('content-security-policy');
    expect(await policy('/assets/worker/lane-12ab.js')).toContain("script-src 'self' 'wasm-unsafe-eval'");
    for (const path of ['/', '/join', '/assets/index-8f3a.js']) expect(await policy(path)).toBe("default-src 'self'");
  });

  it.each([
    '/missing.html',
    '/assets',
    '/assets/',
    '/assets/index-8f3a.js/',
    '/../secret.txt',
    '/assets/../../secret.txt',
    '/%2e%2e/secret.txt',
    '/..%2fsecret.txt',
    '/..\\secret.txt',
    '//secret.txt',
    '/assets//index-8f3a.js',
    '/secret.txt%00.html',
    '/link.txt',
    '/linked/secret.txt',
  ])('has nothing at %s', async (path) => {
    symlinkSync(join(folder, 'secret.txt'), join(folder, 'site/link.txt'));
    symlinkSync(folder, join(folder, 'site/linked'));
    const { server } = await serve();
    // By hand, because clients tidy paths up.
    const answer = await talk(
      server.port,
      `GET ${path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${TOKEN}\r\nConnection: close\r\n\r\n`,
    );
    expect(answer).toMatch(/^HTTP\/1\.1 40[04] /);
    expect(answer.split('\r\n\r\n')[1]).not.toBe(files['secret.txt']);
  });

  it('survives that the page is built again', async () => {
    const { get } = await serve();
    writeFileSync(join(folder, 'site/index.html'), `${files['site/index.html']} longer`);
    rmSync(join(folder, 'site/favicon.svg'));
    expect(await (await get('/')).text()).toBe(`${files['site/index.html']} longer`);
    expect((await get('/favicon.svg')).status).toBe(404);
  });

  it('survives that a file goes away while it is being served', async () => {
    const { get } = await serve();
    const { createReadStream } = fs;
    vi.spyOn(fs, 'createReadStream').mockImplementationOnce(() => createReadStream(join(folder, 'gone')));
    syncBuiltinESMExports();
    onTestFinished(() => {
      vi.restoreAllMocks();
      syncBuiltinESMExports();
    });
    await expect(get('/').then((response) => response.text())).rejects.toThrow();
    expect((await get('/')).status).toBe(200);
  });

  it('serves a page that has no index', async () => {
    rmSync(join(folder, 'site/index.html'));
    const { get } = await serve();
    expect((await get('/')).status).toBe(404);
    expect((await get('/favicon.svg')).status).toBe(200);
  });
});
