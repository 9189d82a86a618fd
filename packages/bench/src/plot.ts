/** The plot of a report: throughput against workers, one panel for each model, engine and batch size, as SVG. */
import { type ScaleLinear, scaleLinear } from 'd3-scale';
import { line } from 'd3-shape';
import { rateAt } from './fits.ts';
import { rateText } from './format.ts';
import type { BenchReport, Series } from './report.ts';
import { element, words } from './svg.ts';

const WIDTH = 760;
const TITLE_HEIGHT = 58;
const PANEL_HEIGHT = 330;
const MARGIN = { top: 40, right: 230, bottom: 52, left: 82 };
const CAP = 4;
/** Between series, in pixels. */
const APART = 6;

/** Colours that people tell apart, and that stand out from light and from dark paper. */
const STYLE = `
svg { --ink: #1f2328; --soft: #59636e; --grid: #d8dee4; --paper: #ffffff; --a: #0969da; --b: #bc4c00; --c: #8250df; --d: #1a7f37; }
@media (prefers-color-scheme: dark) {
  svg { --ink: #f0f6fc; --soft: #9198a1; --grid: #3d444d; --paper: #0d1117; --a: #4493f8; --b: #f0883e; --c: #ab7df8; --d: #3fb950; }
}
text { font: 13px system-ui, sans-serif; fill: var(--ink); }
.heading { font-size: 17px; font-weight: 600; }
.panel { font-size: 14px; font-weight: 600; }
.soft { fill: var(--soft); font-size: 12px; }
.paper { fill: var(--paper); }
.grid { stroke: var(--grid); stroke-width: 1; }
.curve { fill: none; stroke-width: 2; }
.ideal { fill: none; stroke: var(--soft); stroke-width: 1.5; stroke-dasharray: 2 4; }
.law { fill: none; stroke-width: 1.5; stroke-dasharray: 7 4; }
`;

/** How a kind of series is drawn. */
const LOOKS = [
  { place: 'local', scaling: 'strong', color: 'var(--a)', label: 'local threads' },
  { place: 'local', scaling: 'weak', color: 'var(--d)', label: 'local threads, growing batch' },
  { place: 'remote', scaling: 'strong', color: 'var(--b)', label: 'processes on loopback' },
  { place: 'remote', scaling: 'weak', color: 'var(--c)', label: 'on loopback, growing batch' },
  { place: 'joined', scaling: 'strong', color: 'var(--b)', label: 'joined workers' },
  { place: 'joined', scaling: 'weak', color: 'var(--c)', label: 'joined workers, growing batch' },
] as const;

/** Series of one panel: the same model, engine and batch. */
type Panel = readonly [Series, ...Series[]];

/** Undefined where there is nothing to draw: no series, or a report without numbers of workers. */
export function plotOf(report: BenchReport): string | undefined {
  if (report.kind !== 'training' || report.series.length === 0) return undefined;
  const panels = panelsOf(report.series);
  const height = TITLE_HEIGHT + panels.length * PANEL_HEIGHT;
  const heading = `Training rate by number of workers`;
  const where = `${report.machine.cpu}, ${report.machine.cores} cores; median and ${sureness(report.series)} % interval of ${report.rounds} blocks; ${report.startedAt.slice(0, 10)}`;
  const summary = report.series.flatMap(({ model, place, scaling, points }) =>
    points.map(
      ({ workers, rate }) => `${model}, ${scaling}, ${workers} ${place}: ${rateText(rate.median)} samples per second`,
    ),
  );
  return element(
    'svg',
    {
      xmlns: 'http://www.w3.org/2000/svg',
      viewBox: `0 0 ${WIDTH} ${height}`,
      width: WIDTH,
      height,
      role: 'img',
      'aria-labelledby': 'title description',
    },
    [
      words('title', { id: 'title' }, heading),
      words('desc', { id: 'description' }, `${summary.join('; ')}.`),
      words('style', {}, STYLE),
      element('rect', { class: 'paper', width: WIDTH, height }),
      words('text', { class: 'heading', x: 16, y: 28 }, heading),
      words('text', { class: 'soft', x: 16, y: 47 }, where),
      ...panels.map((panel, i) => panelOf(panel, TITLE_HEIGHT + i * PANEL_HEIGHT)),
    ],
  );
}

/** How sure the intervals are, in percent: what was asked for, or less where there are too few blocks. */
function sureness(series: readonly Series[]): number {
  const least = Math.min(...series.flatMap(({ points }) => points.map(({ rate }) => rate.confidence)));
  return Math.min(95, Math.floor(least * 100));
}

function panelsOf(series: readonly Series[]): Panel[] {
  const panels = new Map<string, [Series, ...Series[]]>();
  for (const one of series) {
    const key = [one.model, one.engine, one.device, one.batchSize, one.wire].join('|');
    const panel = panels.get(key);
    if (panel) panel.push(one);
    else panels.set(key, [one]);
  }
  return [...panels.values()];
}

/** Where values are on a panel. */
interface Axes {
  readonly x: ScaleLinear<number, number>;
  readonly y: ScaleLinear<number, number>;
}

function panelOf(panel: Panel, top: number): string {
  const [{ model, engine, device, batchSize, wire }] = panel;
  const points = panel.flatMap((series) => series.points);
  const most = Math.max(2, ...points.map(({ workers }) => workers));
  const highest = Math.max(...points.map(({ rate }) => rate.high));
  const right = WIDTH - MARGIN.right;
  const bottom = PANEL_HEIGHT - MARGIN.bottom;
  const x = scaleLinear().domain([0, most]).range([MARGIN.left, right]);
  const y = scaleLinear()
    .domain([0, highest * 1.1])
    .nice(5)
    .range([bottom, MARGIN.top]);
  const axes = { x, y };
  return element('g', { class: 'chart', transform: `translate(0 ${top})` }, [
    words('text', { class: 'panel', x: 16, y: 20 }, `${model}, batch ${batchSize}, ${engine} on ${device}, ${wire}`),
    ...gridOf(axes, most),
    ...idealOf(panel, axes),
    ...LOOKS.flatMap(({ place, scaling, color }) => {
      const index = panel.findIndex((one) => one.place === place && one.scaling === scaling);
      // A little apart, or intervals at the same number of workers would hide each other.
      const shift = (index - (panel.length - 1) / 2) * APART;
      const shifted = { x: x.copy().range(x.range().map((at) => at + shift)), y };
      return index < 0 ? [] : seriesOf(panel[index]!, color, shifted);
    }),
    ...legendOf(panel, right + 18),
  ]);
}

function gridOf({ x, y }: Axes, most: number): string[] {
  const [left = 0, right = 0] = x.range();
  const [bottom = 0, top = 0] = y.range();
  const rates = y
    .ticks(5)
    .flatMap((rate) => [
      element('line', { class: 'grid', x1: left, x2: right, y1: y(rate), y2: y(rate) }),
      words('text', { class: 'soft', x: left - 8, y: y(rate) + 4, 'text-anchor': 'end' }, rate.toLocaleString('en-US')),
    ]);
  const whole = x.ticks(Math.min(most, 8)).filter((workers) => Number.isInteger(workers));
  const workers = whole.map((count) =>
    words('text', { class: 'soft', x: x(count), y: bottom + 18, 'text-anchor': 'middle' }, String(count)),
  );
  const middle = (top + bottom) / 2;
  return [
    ...rates,
    ...workers,
    words('text', { x: (left + right) / 2, y: bottom + 40, 'text-anchor': 'middle' }, 'workers'),
    words(
      'text',
      { x: 18, y: middle, 'text-anchor': 'middle', transform: `rotate(-90 18 ${middle})` },
      'samples per second',
    ),
  ];
}

/** What it would be if every worker reached as much as one local one. */
function idealOf(panel: Panel, { x, y }: Axes): string[] {
  const one = oneWorker(panel);
  if (!one) return [];
  const [, most = 1] = x.domain();
  const [, highest = 0] = y.domain();
  // As far as the panel goes.
  const end = Math.min(most, highest / one.rate.median);
  const path = line<number>(
    (workers) => x(workers),
    (workers) => y(workers * one.rate.median),
  )([0, end]);
  return [element('path', { class: 'ideal', d: path ?? '' }, [words('title', {}, 'ideal')])];
}

function oneWorker(panel: Panel): Series['points'][number] | undefined {
  const strong = panel.filter(({ scaling }) => scaling === 'strong');
  const points = strong.map((series) => series.points.find(({ workers }) => workers === 1));
  return points.find((point) => point !== undefined);
}

function seriesOf(series: Series, color: string, { x, y }: Axes): string[] {
  const { points, usl, place, scaling } = series;
  const style = `stroke: ${color}`;
  const curve = line<Series['points'][number]>(
    ({ workers }) => x(workers),
    ({ rate }) => y(rate.median),
  )(points);
  const parts = [element('path', { class: 'curve', style, d: curve ?? '' })];
  if (usl?.kind === 'fit') {
    const [, most = 1] = x.domain();
    const steps = Array.from({ length: 61 }, (_, i) => 1 + ((most - 1) * i) / 60);
    const path = line<number>(
      (workers) => x(workers),
      (workers) => y(rateAt(usl, workers)),
    )(steps);
    parts.push(
      element('path', { class: 'law', style, d: path ?? '' }, [words('title', {}, 'Universal Scalability Law')]),
    );
  }
  return [
    ...parts,
    ...points.map(({ workers, rate }) => {
      const at = x(workers);
      const bar = { style, x1: at, x2: at, y1: y(rate.low), y2: y(rate.high) };
      const cap = (value: number): string =>
        element('line', { style, x1: at - CAP, x2: at + CAP, y1: y(value), y2: y(value) });
      const said = `${workers} ${place}, ${scaling}: ${rateText(rate.median)} samples per second (${rateText(rate.low)} to ${rateText(rate.high)})`;
      return element('g', { class: 'point' }, [
        words('title', {}, said),
        element('line', bar),
        cap(rate.low),
        cap(rate.high),
        element('circle', { cx: at, cy: y(rate.median), r: 4, style: `fill: ${color}` }),
      ]);
    }),
  ];
}

function legendOf(panel: Panel, left: number): string[] {
  const entries = LOOKS.flatMap(({ place, scaling, color, label }) => {
    const series = panel.find((one) => one.place === place && one.scaling === scaling);
    if (!series) return [];
    const own = { className: 'curve', style: `stroke: ${color}`, label };
    return series.usl?.kind === 'fit'
      ? [own, { className: 'law', style: `stroke: ${color}`, label: 'Universal Scalability Law' }]
      : [own];
  });
  if (oneWorker(panel)) entries.push({ className: 'ideal', style: '', label: 'ideal' });
  return entries.flatMap(({ className, style, label }, i) => {
    const at = MARGIN.top + 10 + i * 22;
    return [
      element('line', { class: className, ...(style ? { style } : {}), x1: left, x2: left + 26, y1: at, y2: at }),
      words('text', { class: 'soft', x: left + 34, y: at + 4 }, label),
    ];
  });
}
