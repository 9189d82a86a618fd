import { describe, expect, it } from 'vitest';
import { generateToken, isSameToken, resolveToken } from './token.ts';

describe('resolveToken', () => {
  it('needs none on loopback', () => {
    for (const host of ['127.0.0.1', 'localhost', '::1', '[::1]']) {
      expect(resolveToken({ host, token: undefined })).toEqual({ token: undefined, generated: false });
    }
  });

  it('makes one beyond loopback', () => {
    for (const host of ['0.0.0.0', '::', '192.168.1.5', 'gpu-box', 'localhost.example.org', '127.example.org']) {
      const { token, generated } = resolveToken({ host, token: undefined });
      expect(generated).toBe(true);
      expect(token).toMatch(/^[\w-]{22}$/);
    }
    expect(generateToken()).not.toBe(generateToken());
  });

  it('keeps a given one', () => {
    const token = '8-chars!';
    expect(resolveToken({ host: '0.0.0.0', token })).toEqual({ token, generated: false });
    expect(resolveToken({ host: '127.0.0.1', token })).toEqual({ token, generated: false });
  });

  it.each(['', 'seven77', 'with space', 'new\nline-token', 'pässwörter', 'x'.repeat(257)])('refuses %j', (token) => {
    expect(() => resolveToken({ host: '127.0.0.1', token })).toThrow(expect.objectContaining({ code: 'usage' }));
  });

  it('does not repeat a refused token', () => {
    expect(() => resolveToken({ host: '127.0.0.1', token: 'hush hush' })).toThrow(
      expect.objectContaining({ message: expect.not.stringContaining('hush') }),
    );
  });
});

it('compares tokens of any length', () => {
  expect(isSameToken('abc', 'abc')).toBe(true);
  expect(isSameToken('abd', 'abc')).toBe(false);
  expect(isSameToken('', 'abc')).toBe(false);
  expect(isSameToken('abcabc', 'abc')).toBe(false);
});
