/** What the run's curves look like: loss, accuracy and throughput over epochs. */
import type { RunStatus } from '@lockstep/protocol';
import { useMemo } from 'preact/hooks';
import uPlot from 'uplot';
import { smoothed } from '../data/trend.ts';
import type { RunView } from '../data/view.ts';
import { brief, integer, loss, percent } from '../words/format.ts';
import { accuracySentence, lossSentence, splitWord, throughputSentence } from '../words/sentences.ts';
import { type Line, Plot } from './plot.tsx';

interface Props {
  readonly view: RunView;
  readonly status: RunStatus;
}

const learningLines = (split: string): readonly Line[] => [
  { name: undefined, colour: '--c-train', look: 'noise' },
  { name: 'training', colour: '--c-train', look: 'course' },
  { name: split, colour: '--c-test', look: 'points' },
];
const LEARNING = { test: learningLines('test'), validation: learningLines('validation') };
const THROUGHPUT: readonly Line[] = [{ name: 'all workers', colour: '--c-rate', look: 'area' }];

/** Position of the steps on the x axis, in epochs. */
const positions = ({ view, status: { model } }: Props): number[] =>
  view.curve.columns.runStep.map((step) => step / (model?.stepsPerEpoch ?? 1));

/** Steps and epochs on one x axis. */
function learningData(props: Props, train: readonly number[], test: 'testLoss' | 'testAccuracy') {
  const { epochs } = props.status;
  return uPlot.join([
    [positions(props), [...train], smoothed(train)],
    [epochs.map(({ epoch }) => epoch), epochs.map((epoch) => epoch[test])],
  ]);
}

/** Where nearly all values lie: the first steps of a run would else flatten all that follows. */
function rangeOf(train: readonly number[], test: readonly number[]): [number, number] {
  const values = train.toSorted((a, b) => a - b);
  if (values.length === 0) return [0, 1];
  const low = Math.min(values[Math.floor(0.01 * values.length)]!, ...test);
  const high = Math.max(values[Math.floor(0.97 * (values.length - 1))]!, ...test);
  const margin = Math.max(1e-3, 0.06 * (high - low));
  return [Math.max(0, low - margin), high + margin];
}

export function LossPlot(props: Props) {
  const { view, status } = props;
  const values = view.curve.columns.loss;
  const data = learningData(props, values, 'testLoss');
  const range = rangeOf(
    values,
    status.epochs.map(({ testLoss }) => testLoss),
  );
  return (
    <Plot
      title="Loss"
      sentence={lossSentence(values, status.epochs)}
      lines={LEARNING[splitWord(status.epochs)]}
      data={data}
      yRange={range}
      formatTick={(value) => String(Number(value.toFixed(3)))}
      formatValue={loss}
    />
  );
}

export function AccuracyPlot(props: Props) {
  const { view, status } = props;
  const values = view.curve.columns.accuracy;
  const data = learningData(props, values, 'testAccuracy');
  // Turned over, so that it is the beginning that is left out.
  const [low, high] = rangeOf(
    values.map((value) => 1 - value),
    status.epochs.map(({ testAccuracy }) => 1 - testAccuracy),
  );
  return (
    <Plot
      title="Accuracy"
      sentence={accuracySentence(values, status.epochs)}
      lines={LEARNING[splitWord(status.epochs)]}
      data={data}
      yRange={[Math.max(0, 1 - high), 1 - low]}
      formatTick={(value) => `${Number((value * 100).toFixed(1))}\u00a0%`}
      formatValue={percent}
    />
  );
}

export function ThroughputPlot(props: Props) {
  const values = props.view.curve.columns.samplesPerSecond;
  const data: uPlot.AlignedData = [positions(props), [...values]];
  const highest = useMemo(() => values.reduce((a, b) => Math.max(a, b), 0), [values, values.length]);
  return (
    <Plot
      title="Throughput"
      sentence={throughputSentence(values)}
      lines={THROUGHPUT}
      data={data}
      yRange={[0, highest > 0 ? 1.15 * highest : 1]}
      formatTick={brief}
      formatValue={(value) => `${integer(value)} samples/s`}
    />
  );
}
