import { describe, expect, it } from 'vitest';
import { parseUrl } from './url.ts';

describe('parseUrl', () => {
  it.each([
    ['ws://host:7070', 'ws://host:7070/worker'],
    ['ws://host', 'ws://host/worker'],
    ['wss://[::1]:7070/', 'wss://[::1]:7070/worker'],
    ['wss://host/proxy/worker?x=1', 'wss://host/proxy/worker?x=1'],
  ])('takes %s', (text, url) => {
    expect(parseUrl(text).href).toBe(url);
  });

  it.each([
    ['http://host:7070', 'Use ws://host:7070.'],
    ['HTTPS://host', 'Use wss://host.'],
    ['host:7070', 'Use ws://host:7070, or wss:// with TLS.'],
    ['10.0.0.1', 'Use ws://10.0.0.1, or wss:// with TLS.'],
    ['[::1]:7070', 'Use ws://[::1]:7070, or wss:// with TLS.'],
    ['ftp://host', 'Use ws://host:port, or wss://host:port with TLS.'],
    ['ws://', 'Use ws://host:port, or wss://host:port with TLS.'],
    ['', 'Use ws://host:port, or wss://host:port with TLS.'],
    ['ws://host/#x', 'Leave #x out.'],
  ])('says what to use in place of %j', (text, nextStep) => {
    expect(() => parseUrl(text)).toThrow(expect.objectContaining({ code: 'usage', nextStep }));
  });

  it('does not repeat a password', () => {
    const failure = (() => {
      try {
        return parseUrl('ws://me:geheim@host');
      } catch (error) {
        return error as Error;
      }
    })();
    expect(failure).toMatchObject({ code: 'usage' });
    expect((failure as Error).message).not.toContain('geheim');
  });
});
