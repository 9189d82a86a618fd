import { describe, expect, it } from 'vitest';
import { type CloseReason, closeCodes, shouldRetry } from './close.ts';

describe('shouldRetry', () => {
  it.each<[CloseReason, boolean]>([
    ['finished', false],
    ['version', false],
    ['job', false],
    ['malformed', false],
    ['silent', true],
    ['slowReader', true],
    ['stopping', true],
    ['leaving', true],
    ['late', true],
    ['wrong', false],
  ])('%s: %s', (reason, retries) => {
    expect(shouldRetry(closeCodes[reason])).toBe(retries);
  });

  it('comes back after a connection that broke, and after codes that it does not know', () => {
    // Closed normally, going away, lost, too big, internal error; reserved for later versions; none of ours.
    for (const code of [1000, 1001, 1006, 1009, 1011, 4010, 4999]) expect(shouldRetry(code)).toBe(true);
  });
});

describe('close codes', () => {
  it('are all different, and in the range that WebSocket leaves to applications', () => {
    const codes = Object.values(closeCodes);
    expect(new Set(codes).size).toBe(codes.length);
    for (const code of codes) expect(code >= 4000 && code <= 4999).toBe(true);
  });
});
