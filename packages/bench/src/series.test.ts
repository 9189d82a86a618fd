import { describe, expect, it } from 'vitest';
import { joinedEfficiency } from './series.ts';
import { pointOf, roundsAround, someSeries } from './testing/reports.ts';

describe('buildSeries', () => {
  it('makes one series for each place and scaling, with the case of one worker in both scalings', () => {
    const shapes = someSeries.map(({ place, scaling, points }) => [
      place,
      scaling,
      points.map(({ workers }) => workers),
    ]);
    expect(shapes).toEqual([
      ['local', 'strong', [1, 2, 4, 8]],
      ['local', 'weak', [1, 4]],
      ['remote', 'strong', [1]],
    ]);
  });

  it('forms speed-ups round by round against one worker of the same place', () => {
    const { speedup, efficiency, serialShare } = pointOf('local', 'strong', 4);
    expect(speedup).toMatchObject({ low: expect.closeTo(3.4, 9), high: expect.closeTo(3.4, 9) });
    expect(efficiency!.median).toBeCloseTo(0.85, 9);
    // (1/3.4 - 1/4) / (1 - 1/4)
    expect(serialShare).toBeCloseTo(0.0588, 4);
    expect(pointOf('remote', 'strong', 1).speedup!.median).toBe(1);
    expect(pointOf('local', 'weak', 4).speedup!.median).toBeCloseTo(3.8, 9);
    expect(pointOf('local', 'weak', 4).serialShare).toBeNull();
  });

  it('holds remote workers against as many local ones', () => {
    expect(pointOf('remote', 'strong', 1).againstLocal!.median).toBeCloseTo(0.8, 9);
    expect(pointOf('local', 'strong', 1).againstLocal).toBeNull();
  });

  it('counts bytes per step, and the bandwidth over what a step waits for the network', () => {
    const { network, stepMs } = pointOf('remote', 'strong', 1);
    expect(stepMs).toBeCloseTo(125, 9);
    expect(network).toEqual({
      roundTripMs: 1,
      bytesDown: 4000,
      bytesUp: 2000,
      // A sum has 997 + 3 numbers of four bytes.
      partialSums: 0.5,
      // 6000 bytes in broadcast and gather, 3 ms, but for the round trip of 1 ms.
      bytesPerSecond: 3e6,
    });
    expect(pointOf('local', 'strong', 1).network).toBeNull();
  });

  it('fits laws to strong scaling alone', () => {
    const [strong, weak] = someSeries;
    expect(strong!.usl).toMatchObject({ kind: 'fit' });
    expect(strong!.amdahl).toMatchObject({ kind: 'fit' });
    expect(weak).toMatchObject({ amdahl: null, usl: null });
  });
});

describe('joinedEfficiency', () => {
  it('is the rate by the sum of what the workers reach', () => {
    const rates = roundsAround(900);
    const rate = { median: 900, low: rates[0]!, high: rates.at(-1)!, confidence: 0.97 };
    const member = { name: 'x', threads: 1, engine: 'onnx', device: 'cpu', rate: 500 };
    expect(joinedEfficiency({ rate, members: [member, member] })!.median).toBeCloseTo(0.9, 9);
    expect(joinedEfficiency({ rate, members: [] })).toBeUndefined();
  });
});
