import type { SumFormat, WireFormat } from '@lockstep/core';
import { describe, expect, it } from 'vitest';
import { checkWire, entriesOf, WireChoice, wireSetting } from './wire-choice.ts';

/** Lets it see steps of which each format's takes so long, until it has decided. */
function decide(choice: WireChoice, ms: { readonly [format in WireFormat]: number }) {
  const used: SumFormat[] = [];
  for (let i = 0; i < 100; i++) {
    const wire = choice.format as WireFormat;
    used.push(wire);
    // The first steps of a format are slow.
    const totalMs = ms[wire] * (used.filter((format) => format === wire).length <= 2 ? 50 : 1);
    const decision = choice.observe({ wire, totalMs, isShared: true });
    if (decision !== undefined) return { used, ...decision };
  }
  throw new Error('it never decided');
}

describe('auto', () => {
  it('tries every format and keeps the fastest', () => {
    const choice = new WireChoice('auto');
    const { used, format, reason } = decide(choice, { fp32: 100, fp16: 60, int8: 30 });
    expect([...new Set(used)]).toEqual(['fp32', 'fp16', 'int8']);
    expect(format).toBe('int8');
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
  expect(new WireChoice('topk:0.01')).toMatchObject({ format: 'topk', state: 'topk' });
});

describe('the setting', () => {
  it.each(['fp32', 'fp16', 'int8', 'auto', 'topk:0.01', 'topk:.5', 'topk:1e-3'])('may be %s', (text) => {
    expect(wireSetting.parse(text)).toBe(text);
  });

  it.each(['', 'fp8', 'topk'])('is refused when it is no format: "%s"', (text) => {
    expect(wireSetting.safeParse(text).error?.issues[0]?.message).toBe(
      `"${text}" is no format: give fp32, fp16, int8, auto or topk:<share>, such as topk:0.01`,
    );
  });

  it.each(['topk:', 'topk:0', 'topk:1', 'topk:-0.1', 'topk:1%', 'topk:NaN', 'topk: '])('is refused: "%s"', (text) => {
    expect(wireSetting.safeParse(text).error?.issues[0]?.message).toMatch('has no share above 0 and below 1');
  });

  it('needs the fast reduction where a worker holds gradients back', () => {
    expect(() => checkWire({ wire: 'topk:0.01', reduction: 'exact' })).toThrow(
      expect.objectContaining({
        code: 'usage',
        message: expect.stringMatching(/^--wire topk:0.01 needs --reduction fast: .* depend on who computed what\.$/),
        nextStep: 'Add --reduction fast; or take --wire int8, which gives the same bits whoever computes them.',
      }),
    );
    checkWire({ wire: 'topk:0.01', reduction: 'fast' });
    checkWire({ wire: 'int8', reduction: 'exact' });
  });

  it('says how many entries are sent', () => {
    expect(entriesOf('topk:0.01', 203_530)).toBe(2036);
    expect(entriesOf('int8', 203_530)).toBeUndefined();
  });
});
