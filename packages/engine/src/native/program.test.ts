import { purposes, RandomStream } from '@lockstep/core';
import { describe, expect, it } from 'vitest';
import { Arena, Program } from './program.ts';

describe('an arena', () => {
  it('lends places again that were given back, in parts and put together', () => {
    const arena = new Arena();
    const [first, second] = [arena.borrow(32), arena.borrow(32)];
    const own = arena.floats(16);
    arena.giveBack(first, 32);
    arena.giveBack(second, 32);
    const before = arena.bytes;
    expect(arena.borrow(48)).toBe(first);
    expect(arena.borrow(16)).toBe(first + 48 * 4);
    expect(arena.bytes).toBe(before);
    expect(arena.borrow(1)).toBeGreaterThan(own);
  });

  it('never lends what somebody has, whatever comes in which order', () => {
    const random = new RandomStream(0, purposes.jitter, 0, 0, 0);
    const arena = new Arena();
    const lent: { start: number; length: number }[] = [];
    const kept: typeof lent = [];
    for (let i = 0; i < 2000; i++) {
      const length = 1 + random.below(100);
      if (random.below(8) === 0) kept.push({ start: arena.floats(length), length });
      else if (lent.length > 0 && random.below(2) === 0) {
        const [back] = lent.splice(random.below(lent.length), 1);
        arena.giveBack(back!.start, back!.length);
      } else lent.push({ start: arena.borrow(length), length });
      const places = [...lent, ...kept].sort((a, b) => a.start - b.start);
      const overlap = places.some(({ start }, k) => k > 0 && start < places[k - 1]!.start + places[k - 1]!.length * 4);
      expect(overlap).toBe(false);
      expect(places.every(({ start }) => start % 64 === 0)).toBe(true);
    }
    expect(arena.bytes).toBeLessThan(2000 * 100 * 4);
  });
});

describe('a program', () => {
  it('takes back what it lent, once, and nothing else', () => {
    const p = new Program('avx2', new Arena());
    const own = p.buffer(16);
    const lent = p.borrow(16);
    p.giveBack(own, lent, lent, undefined, { memory: 'caller', offset: lent.offset });
    expect(p.borrow(16)).toEqual(lent);
    expect(p.borrow(16).offset).toBeGreaterThan(lent.offset);
  });
});
