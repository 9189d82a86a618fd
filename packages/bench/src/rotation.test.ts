import { describe, expect, it } from 'vitest';
import { rotate } from './rotation.ts';

describe('rotate', () => {
  it('goes there and back, so that a steady drift hits all subjects alike', async () => {
    let clock = 0;
    const spent = new Map<string, number>();
    const order: string[] = [];
    for await (const { subject, block } of rotate(['a', 'b', 'c'], 4, undefined, async () => clock++)) {
      order.push(subject);
      spent.set(subject, (spent.get(subject) ?? 0) + block);
    }
    expect(order.join('')).toBe('abccbaabccba');
    expect([...spent.values()]).toEqual([22, 22, 22]);
  });

  it('stops between blocks when it is interrupted', async () => {
    const controller = new AbortController();
    const measured: string[] = [];
    const run = async (): Promise<void> => {
      for await (const { subject } of rotate(['a', 'b'], 9, controller.signal, async () => 0)) {
        measured.push(subject);
        if (measured.length === 3) controller.abort();
      }
    };
    await expect(run()).rejects.toMatchObject({
      code: 'interrupted',
      message: expect.stringContaining('nothing was written'),
    });
    expect(measured).toHaveLength(3);
  });
});
