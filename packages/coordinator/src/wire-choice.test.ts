import type { WireFormat } from '@lockstep/core';
import { describe, expect, it } from 'vitest';
import { WireChoice } from './wire-choice.ts';

/** Lets it see steps of which each format's takes so long, until it has decided. */
function decide(choice: WireChoice, ms: { readonly [format in WireFormat]: number }) {
  const used: WireFormat[] = [];
  for (let i = 0; i < 100; i++) {
    used.push(choice.format);
    // The first steps of a format are slow.
    const totalMs = ms[choice.format] * (used.filter((format) => format === choice.format).length <= 2 ? 50 : 1);
    const reason = choice.observe({ wire: choice.format, totalMs, isShared: true });
    if (reason !== undefined) return { used, reason };
  }
  throw new Error('it never decided');
}

describe('auto', () => {
  it('tries every format and keeps the fastest', () => {
    const choice = new WireChoice('auto');
    const { used, reason } = decide(choice, { fp32: 100, fp16: 60, int8: 30 });
    expect([...new Set(used)]).toEqual(['fp32', 'fp16', 'int8']);
    expect(choice.format).toBe('int8');
    expect(reason).toBe('a step took fp32 100 ms, fp16 60.0 ms, int8 30.0 ms (medians of 8)');
    expect(choice.observe({ wire: 'int8', totalMs: 1000, isShared: true })).toBeUndefined();
    expect(choice.format).toBe('int8');
  });

  it('rounds more only where that is clearly faster', () => {
    const choice = new WireChoice('auto');
    decide(choice, { fp32: 100, fp16: 50, int8: 48 });
    expect(choice.format).toBe('fp16');
    const local = new WireChoice('auto');
    decide(local, { fp32: 10, fp16: 9.5, int8: 12 });
    expect(local.format).toBe('fp32');
  });

  it('learns nothing from steps without others', () => {
    const choice = new WireChoice('auto');
    for (let i = 0; i < 100; i++) choice.observe({ wire: 'fp32', totalMs: 1, isShared: false });
    expect(choice.format).toBe('fp32');
    expect(choice.state).toBeUndefined();
  });

  it('keeps what was decided before the run was interrupted', () => {
    const choice = new WireChoice('auto');
    choice.resume('fp16');
    expect(choice.state).toBe('fp16');
    expect(choice.observe({ wire: 'fp16', totalMs: 1, isShared: true })).toBeUndefined();
  });
});

it('keeps a format that was asked for', () => {
  expect(new WireChoice('int8')).toMatchObject({ format: 'int8', state: 'int8' });
});
