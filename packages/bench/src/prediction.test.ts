import { describe, expect, it } from 'vitest';
import { bestPrediction, division, predictStep, type StepCosts } from './prediction.ts';
import { predictAll } from './predictions.ts';
import { someSeries } from './testing/reports.ts';

const costs: StepCosts = {
  batchSize: 512,
  numShards: 8,
  computeMs: 80,
  updateMs: 2,
  bytesDown: 1e6,
  bytesUp: 1e6,
  bytesPerSecond: 1e9,
};

describe('division', () => {
  it('gives the slowest share, the messages and who is busy', () => {
    expect(division(8, 1)).toEqual({ slowestShare: 1, partialSums: 1, busy: 1 });
    expect(division(8, 4)).toEqual({ slowestShare: 0.25, partialSums: 4, busy: 4 });
    // 0-1, 2-4, 5-7: nodes of two; two and one; one and two.
    expect(division(8, 3)).toEqual({ slowestShare: 3 / 8, partialSums: 5, busy: 3 });
    expect(division(2, 4)).toEqual({ slowestShare: 0.5, partialSums: 2, busy: 2 });
  });
});

describe('predictStep', () => {
  it('adds up the slowest share, the bytes, the way and the update', () => {
    // 4 workers, 8 MB at 1 GB/s of the coordinator and 1 GB/s of the link: 16 ms.
    const step = predictStep(costs, { bytesPerSecond: 1e9, roundTripMs: 1 }, 4);
    expect(step).toMatchObject({ computeMs: 20, transferMs: 16, latencyMs: 1, updateMs: 2, stepMs: 39 });
    expect(step.rate).toBeCloseTo(512_000 / 39, 6);
  });

  it('has no limit beyond the coordinator where the link is none', () => {
    expect(predictStep(costs, { bytesPerSecond: undefined, roundTripMs: 0 }, 1).transferMs).toBeCloseTo(2, 9);
  });

  it('takes more shards than workers for granted', () => {
    expect(predictStep(costs, { bytesPerSecond: undefined, roundTripMs: 0 }, 16).computeMs).toBeCloseTo(5, 9);
  });

  it('has a best number of workers, beyond which traffic costs more than it brings', () => {
    const link = { bytesPerSecond: 125e6, roundTripMs: 0.5 };
    const steps = [1, 2, 4, 8].map((workers) => predictStep(costs, link, workers));
    expect(bestPrediction(steps)!.workers).toBe(2);
    expect(bestPrediction([])).toBeUndefined();
  });
});

describe('predictAll', () => {
  const options = { predict: [1, 2], bandwidth: undefined, latency: undefined };

  it('predicts what was measured, for the setting that was measured', () => {
    const [first, ...others] = predictAll(someSeries, options);
    expect(first!.link).toEqual({ name: 'as measured', bytesPerSecond: null, roundTripMs: 1 });
    // Compute 6, transfer 2, latency 1, update 1 of phases that add up to 10 ms; 125 ms were measured.
    expect(first!.points[0]).toMatchObject({
      computeMs: 6,
      transferMs: expect.closeTo(2, 9),
      stepMs: expect.closeTo(10, 9),
    });
    expect(first!.points[0]!.measured).toBeCloseTo(10 / 125, 9);
    expect(first!.points[1]!.measured).toBeNull();
    expect(others.map(({ link }) => link.name)).toEqual(['10 Gbit/s, 0.2 ms', '1 Gbit/s, 0.5 ms']);
  });

  it('takes the link that the user names, and no numbers for an answer', () => {
    const links = predictAll(someSeries, { ...options, bandwidth: 25, latency: 0.1 }).map(({ link }) => link);
    expect(links).toEqual([{ name: '25 Gbit/s, 0.1 ms', bytesPerSecond: 3.125e9, roundTripMs: 0.1 }]);
    expect(predictAll(someSeries, { ...options, predict: [] })).toEqual([]);
  });
});
