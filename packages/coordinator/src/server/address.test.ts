import { networkInterfaces } from 'node:os';
import { afterEach, expect, it, vi } from 'vitest';
import { dialableHost, hostOf, isLoopback, normalizeAddress } from './address.ts';

vi.mock('node:os', async (original) => ({
  ...(await original<typeof import('node:os')>()),
  networkInterfaces: vi.fn(),
}));

afterEach(() => vi.resetAllMocks());

it.each(['127.0.0.1', '127.8.9.10', 'localhost', 'LOCALHOST', '::1', '[::1]', '0:0:0:0:0:0:0:1', '::ffff:127.0.0.1'])(
  '%s is loopback',
  (host) => expect(isLoopback(host)).toBe(true),
);

it.each(['0.0.0.0', '::', '10.0.0.1', '128.0.0.1', 'example.org', 'localhost.evil.org', '127.0.0.1.evil.org', ''])(
  '%j is not loopback',
  (host) => expect(isLoopback(host)).toBe(false),
);

it('knows an IPv4 peer on an IPv6 socket', () => {
  expect(normalizeAddress('::ffff:10.0.0.7')).toBe('10.0.0.7');
  expect(normalizeAddress('10.0.0.7')).toBe('10.0.0.7');
  expect(normalizeAddress('fe80::1')).toBe('fe80::1');
});

it('reads the host of a Host header', () => {
  expect(hostOf('Example.org:7070')).toBe('example.org');
  expect(hostOf('[::1]:7070')).toBe('::1');
  expect(hostOf('10.0.0.1')).toBe('10.0.0.1');
  for (const bad of [undefined, '', 'a b', 'user@host', 'host/path', 'a:b:c', '[::1'])
    expect(hostOf(bad)).toBe(undefined);
});

it('names an address that others can dial', () => {
  const address = (family: string, address: string, internal: boolean) => ({ family, address, internal }) as never;
  const loopback = address('IPv4', '127.0.0.1', true);
  vi.mocked(networkInterfaces).mockReturnValue({
    lo: [loopback],
    eth0: [address('IPv6', 'fe80::1', false), address('IPv4', '192.168.1.5', false)],
  });
  expect(dialableHost('0.0.0.0')).toBe('192.168.1.5');
  expect(dialableHost('::')).toBe('192.168.1.5');
  expect(dialableHost('gpu-box')).toBe('gpu-box');
  expect(dialableHost('::1')).toBe('[::1]');
  expect(dialableHost('[::1]')).toBe('[::1]');
  vi.mocked(networkInterfaces).mockReturnValue({ lo: [loopback] });
  expect(dialableHost('0.0.0.0')).toBe('127.0.0.1');
});
