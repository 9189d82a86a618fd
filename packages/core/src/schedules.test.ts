import { describe, expect, it } from 'vitest';
import { learningRateAt, type ScheduleName } from './schedules.ts';

const at = (name: ScheduleName, warmupSteps: number, step: number) =>
  learningRateAt({ name, learningRate: 0.1, warmupSteps, totalSteps: 100 }, step);

describe('learningRateAt', () => {
  it('stays, falls in a line at the end, or falls along a cosine', () => {
    expect([0, 50, 99].map((step) => at('constant', 0, step))).toEqual([0.1, 0.1, 0.1]);
    expect(at('stable-decay', 0, 69)).toBeCloseTo(0.1);
    expect(at('stable-decay', 0, 85)).toBeCloseTo(0.05);
    expect(at('stable-decay', 0, 100)).toBeCloseTo(0);
    expect(at('cosine', 0, 0)).toBeCloseTo(0.1);
    expect(at('cosine', 0, 50)).toBeCloseTo(0.05);
    expect(at('cosine', 0, 100)).toBeCloseTo(0);
  });

  it('warms up in a line and then starts the schedule at its peak', () => {
    expect(at('cosine', 10, 0)).toBeCloseTo(0.01);
    expect(at('cosine', 10, 9)).toBeCloseTo(0.1);
    expect(at('cosine', 10, 10)).toBeCloseTo(0.1);
    expect(at('cosine', 10, 55)).toBeCloseTo(0.05);
  });

  it('runs one cycle: up for 30 % of the steps, then down to almost nothing', () => {
    expect(at('one-cycle', 0, 0)).toBeCloseTo(0.004);
    expect(at('one-cycle', 0, 30)).toBeCloseTo(0.1);
    expect(at('one-cycle', 0, 100)).toBeLessThan(1e-6);
  });
});
