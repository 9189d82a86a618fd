/** A uPlot in a figure: heading, a sentence that says the same, a legend with values, and the lines themselves. */
import { useEffect, useId, useRef, useState } from 'preact/hooks';
import uPlot from 'uplot';
import { onThemeChange } from '../theme.ts';
import { NONE } from '../words/format.ts';

export interface Line {
  /** Undefined: a companion of the next line, without an entry in the legend. */
  readonly name: string | undefined;
  /** Custom property that holds its colour. */
  readonly colour: string;
  readonly look: 'noise' | 'course' | 'points' | 'area';
}

interface Props {
  readonly title: string;
  readonly sentence: string;
  readonly lines: readonly Line[];
  /** x in epochs, then one column per line. */
  readonly data: uPlot.AlignedData;
  readonly yRange: readonly [number, number];
  readonly formatTick: (value: number) => string;
  readonly formatValue: (value: number) => string;
}

const Y_AXIS_WIDTH = 50;
/** Pixels between points. */
const MIN_SPACE = 14;

/** Colours are read when they are drawn, as they depend on the theme. */
const colour = (name: string) => (): string => getComputedStyle(document.documentElement).getPropertyValue(name);

/** Whether points can be told apart; where not, the line is enough. */
function hasRoom({ data, width }: uPlot, index: number): boolean {
  let count = 0;
  for (const y of data[index]!) if (Number.isFinite(y)) count++;
  return count * MIN_SPACE < width;
}

function toSeries({ colour: name, look }: Line): uPlot.Series {
  const stroke = colour(name);
  switch (look) {
    case 'noise':
      return { stroke, width: 1, alpha: 0.3, points: { show: false } };
    case 'course':
      return { stroke, width: 2, points: { show: false } };
    case 'area':
      return { stroke, width: 2, fill: colour(`${name}-area`), points: { show: false } };
    case 'points':
      return { stroke, width: 1.5, dash: [2, 4], points: { show: hasRoom, size: 7, fill: stroke, stroke } };
  }
}

/** The latest known value at or before a point. */
function valueAt(column: uPlot.AlignedData[number] | undefined, index: number): number | undefined {
  for (let i = index; column && i >= 0; i--) if (Number.isFinite(column[i])) return column[i]!;
  return undefined;
}

export function Plot({ title, sentence, lines, data, yRange, formatTick, formatValue }: Props) {
  const id = useId();
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>(null);
  const [hovered, setHovered] = useState<number | null>(null);
  // uPlot asks for these long after it was made.
  const latest = useRef({ yRange, formatTick });
  latest.current = { yRange, formatTick };

  useEffect(() => {
    const element = box.current!;
    const axis: uPlot.Axis = {
      stroke: colour('--c-quiet'),
      font: `12px ${getComputedStyle(element).fontFamily}`,
      grid: { stroke: colour('--c-grid'), width: 1 },
      ticks: { show: false },
    };
    const made = new uPlot(
      {
        width: element.clientWidth,
        height: element.clientHeight,
        padding: [8, 8, 0, 0],
        legend: { show: false },
        cursor: { drag: { x: false, y: false }, y: false, points: { size: 7 } },
        scales: { x: { time: false }, y: { range: () => [...latest.current.yRange] } },
        axes: [
          { ...axis, size: 26, gap: 4, label: 'epoch', labelSize: 18, labelGap: 0, labelFont: axis.font! },
          {
            ...axis,
            size: Y_AXIS_WIDTH,
            gap: 6,
            values: (_, splits) => splits.map((y) => latest.current.formatTick(y)),
          },
        ],
        series: [{}, ...lines.map(toSeries)],
        hooks: { setCursor: [({ cursor }) => setHovered(cursor.idx ?? null)] },
      },
      [[], ...lines.map(() => [])] as unknown as uPlot.AlignedData,
      element,
    );
    plot.current = made;
    const observer = new ResizeObserver(() =>
      made.setSize({ width: element.clientWidth, height: element.clientHeight }),
    );
    observer.observe(element);
    const forget = onThemeChange(() => made.redraw(false));
    return () => {
      forget();
      observer.disconnect();
      made.destroy();
    };
    // The lines of a plot are always the same.
  }, []);

  useEffect(() => plot.current?.setData(data), [data]);

  const numPoints = data[0].length;
  const index = hovered ?? numPoints - 1;
  const x = hovered === null ? undefined : data[0][hovered];
  return (
    <figure
      class={`card plot ${numPoints === 0 ? 'is-empty' : ''}`}
      aria-labelledby={`${id}-title`}
      data-points={numPoints}
    >
      <h2 id={`${id}-title`}>{title}</h2>
      <figcaption id={`${id}-sentence`}>{sentence}</figcaption>
      <ul class="legend">
        {lines.map((line, i) => {
          if (line.name === undefined) return null;
          const value = valueAt(data[i + 1], index);
          return (
            <li key={line.name} class={`legend-${line.look}`}>
              <span class="swatch" style={{ '--swatch': `var(${line.colour})` }} aria-hidden="true" />
              {line.name} <span class="legend-value">{value === undefined ? NONE : formatValue(value)}</span>
            </li>
          );
        })}
        <li class="legend-x" aria-hidden="true">
          {x === undefined ? '' : `epoch ${Number(x.toFixed(2))}`}
        </li>
      </ul>
      <div class="plot-box" ref={box} role="img" aria-labelledby={`${id}-title`} aria-describedby={`${id}-sentence`} />
    </figure>
  );
}
