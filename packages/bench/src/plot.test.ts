import { describe, expect, it } from 'vitest';
import { markdownOf } from './markdown.ts';
import { plotOf } from './plot.ts';
import { benchReport } from './report.ts';
import { aggregate, enginesReport, training } from './testing/reports.ts';

/** Checks that tags are balanced and that nothing stands unescaped; returns the elements' names. */
function parseXml(text: string): string[] {
  const open: string[] = [];
  const names: string[] = [];
  const rest = text.replaceAll(/<(\/?)([a-z]+)((?: [\w:-]+="[^"<>]*")*)(\/?)>/g, (_, end, name, __, empty) => {
    if (end) expect(open.pop()).toBe(name);
    else {
      names.push(name);
      if (!empty) open.push(name);
    }
    return '';
  });
  expect(open).toEqual([]);
  expect(rest).not.toMatch(/[<>]/);
  expect(text).not.toMatch(/&(?!(amp|lt|gt|quot);)/);
  return names;
}

describe('plotOf', () => {
  const svg = plotOf(training)!;

  it('is XML, an image with a title, and names its axes with their units', () => {
    expect(parseXml(svg)[0]).toBe('svg');
    expect(svg).toMatch(/^<svg xmlns="http:\/\/www.w3.org\/2000\/svg"[^>]* role="img"/);
    expect(svg).toContain('<title id="title">Training rate by number of workers</title>');
    for (const words of ['>workers<', '>samples per second<', '>ideal<', 'Test &lt;CPU&gt; &amp; Co']) {
      expect(svg).toContain(words);
    }
    expect(svg).toContain('prefers-color-scheme: dark');
  });

  it('has every point with its interval, and the fitted law', () => {
    const numPoints = training.series.reduce((sum, { points }) => sum + points.length, 0);
    expect(svg.match(/class="point"/g)).toHaveLength(numPoints);
    expect(svg).toContain('<title>4 local, strong: 3,400 samples per second (3,332 to 3,468)</title>');
    expect(svg.match(/class="law"[^>]*><title>/g)).toHaveLength(1);
  });

  it('puts higher rates higher', () => {
    const heights = [...svg.matchAll(/local, strong: .*?<circle cx="([\d.]+)" cy="([\d.]+)"/g)].map((match) =>
      Number(match[2]),
    );
    expect(heights).toHaveLength(4);
    expect(heights).toEqual([...heights].sort((a, b) => b - a));
  });

  it('never draws what is no number', () => {
    expect(svg).not.toMatch(/NaN|Infinity|undefined/);
    const one = { ...training, series: training.series.slice(2) };
    expect(plotOf(one)).not.toMatch(/NaN|Infinity|undefined/);
  });

  it('draws nothing where no numbers of workers were measured', () => {
    expect(plotOf(enginesReport)).toBeUndefined();
    expect(plotOf(aggregate)).toBeUndefined();
    expect(plotOf({ ...training, series: [] })).toBeUndefined();
  });
});

describe('reports', () => {
  it.each([training, enginesReport, aggregate])('of kind $kind go through JSON unchanged', (report) => {
    expect(benchReport.parse(JSON.parse(JSON.stringify(report)))).toEqual(report);
  });

  it.each([training, enginesReport, aggregate])('of kind $kind become Markdown with whole tables', (report) => {
    const text = markdownOf(report, report.kind === 'training');
    expect(text).not.toMatch(/NaN|undefined|\[object/);
    const tables = text
      .trim()
      .split('\n\n')
      .filter((part) => part.startsWith('|'));
    expect(tables.length).toBeGreaterThan(1);
    for (const table of tables) {
      const widths = table.split('\n').map((line) => line.replaceAll('\\|', '').split('|').length);
      expect(new Set(widths).size).toBe(1);
    }
  });

  it('say in words what was found', () => {
    const text = markdownOf(training, true);
    expect(text).toContain('![Training rate by number of workers](bench.svg)');
    expect(text).toContain('| 4 | 100 | 3,400 (3,332 to 3,468) | 3.40 (3.40 to 3.40) | 85.0 % | 5.9 % |');
    expect(text).toContain('Universal Scalability Law: contention');
    expect(text).toContain('mlp with tfjs: too | slow');
  });
});
