import { describe, expect, it } from 'vitest';
import { Target } from './target.ts';

describe('Target', () => {
  it('is reached by the first evaluation that is good enough, at that moment', () => {
    const target = new Target(0.9, undefined);
    target.evaluated(0.899);
    expect(target.outcome).toEqual({ targetReached: false });
    target.evaluated(0.9);
    const { secondsToTarget } = target.outcome;
    expect(secondsToTarget).toBeGreaterThanOrEqual(0);
    target.evaluated(0.95);
    expect(target.outcome).toEqual({ targetReached: true, secondsToTarget });
  });

  it('is near from a point below it on', () => {
    const target = new Target(0.9, undefined);
    expect([0.889, 0.891, 0.95].map((accuracy) => target.isNear(accuracy))).toEqual([false, true, true]);
    expect(new Target(undefined, undefined).isNear(1)).toBe(false);
  });

  it('goes on with the clock of the run before', () => {
    const target = new Target(0.9, { seconds: 100 });
    target.evaluated(1);
    expect(target.outcome.secondsToTarget).toBeGreaterThanOrEqual(100);
    expect(new Target(0.9, target.state).outcome).toEqual(target.outcome);
  });

  it('is never reached by a run that has none', () => {
    const target = new Target(undefined, undefined);
    target.evaluated(1);
    expect([target.isReached, target.outcome]).toEqual([false, {}]);
  });
});
