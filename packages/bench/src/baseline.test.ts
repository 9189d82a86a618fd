import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { compare, readBaseline } from './baseline.ts';
import type { EnginesReport } from './report.ts';
import { estimate } from './statistics.ts';
import { aggregate, enginesReport, roundsAround, training } from './testing/reports.ts';

const withRate = (rates: readonly number[]): EnginesReport => ({
  ...enginesReport,
  engines: enginesReport.engines.map((engine) => ({ ...engine, rates: [...rates], rate: estimate(rates) })),
});
const verdict = (now: readonly number[], before: readonly number[], tolerance = 0.05) =>
  compare(withRate(now), withRate(before), 'old.json', tolerance).points[0]!.verdict;

describe('compare', () => {
  it('finds a report the same as itself', () => {
    for (const report of [training, enginesReport, aggregate]) {
      const { points, mean, differences, onlyBefore, onlyNow } = compare(report, report, 'old.json', 0);
      expect(points.length).toBeGreaterThan(0);
      expect(points.every((point) => point.verdict === 'same' && point.ratio.median === 1)).toBe(true);
      expect(mean).toBeCloseTo(1, 12);
      expect([differences, onlyBefore, onlyNow]).toEqual([[], [], []]);
    }
  });

  it('finds a regression, and its opposite', () => {
    expect(verdict(roundsAround(800), roundsAround(1000))).toBe('slower');
    expect(verdict(roundsAround(1250), roundsAround(1000))).toBe('faster');
  });

  it('takes noise for noise: a lower median whose interval reaches into the old one', () => {
    expect(verdict([700, 760, 800, 900, 980, 1000], roundsAround(1000))).toBe('same');
    expect(verdict(roundsAround(1000), [700, 760, 800, 900, 980, 1000])).toBe('same');
  });

  it('forgives what is within the tolerance', () => {
    // At most 0.94 / 0.98 = 0.959.
    expect(verdict(roundsAround(920), roundsAround(1000), 0)).toBe('slower');
    expect(verdict(roundsAround(920), roundsAround(1000), 0.05)).toBe('same');
  });

  it('knows that a longer time is a lower rate', () => {
    const slow = { ...aggregate, update: { ...aggregate.update, ms: estimate(roundsAround(10)) } };
    const { points } = compare(slow, aggregate, 'old.json', 0.05);
    expect(points.map((point) => point.verdict)).toEqual(['slower', 'same']);
    // 5 ms before, 10 ms now, each by 2 % more or less.
    expect(points[0]!.ratio).toMatchObject({
      median: 0.5,
      low: expect.closeTo(0.98 / 1.02 / 2, 9),
      high: expect.closeTo(1.02 / 0.98 / 2, 9),
    });
  });

  it('says what else is not the same', () => {
    const other = {
      ...training,
      machine: { ...training.machine, cpu: 'Other' },
      load: { ...training.load, warning: 'very.' },
      rounds: 3,
    };
    expect(compare(other, training, 'old.json', 0).differences).toEqual([
      'Another processor: Test <CPU> & Co before, Other now.',
      'Another number of rounds: 6 before, 3 now.',
      'The machine was busy now: very.',
    ]);
  });

  it('lists what only one of them has, and refuses when they have nothing in common', () => {
    const fewer = { ...training, series: training.series.slice(0, 1) };
    const { onlyBefore, onlyNow } = compare(fewer, training, 'old.json', 0);
    expect(onlyNow).toEqual([]);
    expect(onlyBefore.map((subject) => subject.split(': ')[1])).toEqual([
      'weak, 1 local',
      'weak, 4 local',
      'strong, 1 remote',
    ]);
    const none = { ...training, series: [] };
    expect(() => compare(none, training, 'old.json', 0)).toThrow(
      expect.objectContaining({ code: 'usage', message: expect.stringContaining('nothing in common') }),
    );
  });
});

describe('readBaseline', () => {
  const folder = mkdtempSync(join(tmpdir(), 'lockstep-baseline-'));
  const file = (text: string): string => {
    const path = join(folder, `${Math.random()}.json`);
    writeFileSync(path, text);
    return path;
  };

  it('reads what was written', async () => {
    expect(await readBaseline(file(JSON.stringify(training)), 'training')).toEqual(training);
  });

  it.each([
    ['no file', () => join(folder, 'none.json'), 'cannot be read (ENOENT)'],
    ['no JSON', () => file('{'), 'it is not JSON'],
    ['no report', () => file('{"kind":"training"}'), 'no report that this version knows: format'],
    ['another format', () => file(JSON.stringify({ ...training, format: 99 })), 'format'],
    ['another kind', () => file(JSON.stringify(aggregate)), 'a report about aggregate, not about training'],
  ])('refuses %s', async (_, path, message) => {
    await expect(readBaseline(path(), 'training')).rejects.toMatchObject({
      code: 'usage',
      message: expect.stringContaining(message),
      nextStep: expect.stringContaining('bench.json'),
    });
  });
});
