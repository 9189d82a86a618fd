/** Rates and averages, by a clock that the tests turn. */
import { describe, expect, it } from 'vitest';
import { Average, Rate } from './rate.ts';

/** A rate over three seconds, and a way to let time pass. */
function rateWithClock() {
  let now = 1_000;
  const rate = new Rate(3_000, () => now);
  return {
    rate,
    pass: (ms: number): void => {
      now += ms;
    },
    /** Things happen at regular distances, the last of them now. */
    happen(times: number, everyMs: number, count = 1): void {
      for (let i = 0; i < times; i++) {
        now += everyMs;
        rate.add(count);
      }
    },
  };
}

describe('Rate', () => {
  it('is 0 until something happened twice', () => {
    const { rate, pass, happen } = rateWithClock();
    expect(rate.perSecond).toBe(0);
    rate.add(5);
    expect(rate.perSecond).toBe(0);
    pass(10_000);
    expect(rate.perSecond).toBe(0);
    happen(1, 0);
    expect(rate.perSecond).toBeGreaterThan(0);
  });

  it('does not count a pause that was announced', () => {
    const { rate, pass, happen } = rateWithClock();
    happen(30, 100, 2);
    rate.pause();
    pass(60_000);
    expect(rate.perSecond).toBeCloseTo(20, 6);
    happen(5, 100, 4);
    expect(rate.perSecond).toBeCloseTo(40, 6);
    pass(60_000);
    expect(rate.perSecond).toBe(0);
  });

  it('counts what happened within the window', () => {
    const { rate, happen } = rateWithClock();
    happen(50, 100, 2);
    expect(rate.perSecond).toBeCloseTo(20, 6);
    happen(60, 50, 8);
    expect(rate.perSecond).toBeCloseTo(160, 6);
  });

  it('takes what comes in one go for one moment', () => {
    const { rate, pass, happen } = rateWithClock();
    happen(16, 0.01, 64);
    expect(rate.perSecond).toBe(0);
    pass(100);
    happen(16, 0.01, 64);
    expect(rate.perSecond).toBeGreaterThan(9_000);
    expect(rate.perSecond).toBeLessThan(11_000);
  });

  it('knows the rate of what happens less often than the window is long', () => {
    const { rate, pass, happen } = rateWithClock();
    happen(4, 10_000, 50);
    for (let i = 0; i < 10; i++) {
      expect(rate.perSecond).toBeCloseTo(5, 6);
      pass(999);
    }
    pass(10_000);
    expect(rate.perSecond).toBeCloseTo(50 / 20, 1);
  });

  it('falls to 0 when nothing happens any more', () => {
    const fast = rateWithClock();
    fast.happen(100, 20);
    fast.pass(3_001);
    expect(fast.rate.perSecond).toBe(0);
    const slow = rateWithClock();
    slow.happen(5, 10_000);
    slow.pass(30_001);
    expect(slow.rate.perSecond).toBe(0);
  });

  it('begins anew after a pause', () => {
    const { rate, pass, happen } = rateWithClock();
    happen(100, 20);
    pass(10_000);
    rate.add(1);
    expect(rate.perSecond).toBe(0);
    happen(1, 20);
    expect(rate.perSecond).toBeCloseTo(50, 6);
  });
});

describe('Average', () => {
  it('begins with the first value and follows the later ones', () => {
    const average = new Average(0.5);
    expect(average.value).toBeUndefined();
    average.add(8);
    expect(average.value).toBe(8);
    average.add(4);
    expect(average.value).toBe(6);
    for (let i = 0; i < 50; i++) average.add(1);
    expect(average.value).toBeCloseTo(1, 9);
  });
});
