/** The training curve that the page draws: what the latest status said, and the steps that came after it. */
import type { RunStatus } from '@lockstep/protocol';

type Columns = RunStatus['curve'];

export interface CurvePoint {
  readonly runStep: number;
  readonly loss: number;
  readonly accuracy: number;
  readonly samplesPerSecond: number;
}

/** More than a screen has pixels for. */
export const MAX_POINTS = 2000;

type Column = keyof Columns;

const copyOf = ({ runStep, loss, accuracy, samplesPerSecond }: Columns): Columns => ({
  runStep: [...runStep],
  loss: [...loss],
  accuracy: [...accuracy],
  samplesPerSecond: [...samplesPerSecond],
});

/** At most half of what fits, evenly over the steps: what lies in one part of them becomes its mean, at its last step. */
function thinned(columns: Columns): Columns {
  const { runStep } = columns;
  const [first, last] = [runStep[0]!, runStep.at(-1)!];
  const width = (last - first + 1) / (MAX_POINTS / 2);
  const partOf = (i: number): number => Math.floor((runStep[i]! - first) / width);
  const ends = runStep.flatMap((_, i) => (i + 1 === runStep.length || partOf(i + 1) > partOf(i) ? [i + 1] : []));
  const means = (name: Column): number[] =>
    ends.map((end, part) => {
      const values = columns[name].slice(ends[part - 1] ?? 0, end);
      return values.reduce((sum, value) => sum + value, 0) / values.length;
    });
  return {
    runStep: ends.map((end) => runStep[end - 1]!),
    loss: means('loss'),
    accuracy: means('accuracy'),
    samplesPerSecond: means('samplesPerSecond'),
  };
}

export class Curve {
  #columns: Columns = { runStep: [], loss: [], accuracy: [], samplesPerSecond: [] };

  get columns(): Readonly<Columns> {
    return this.#columns;
  }

  get length(): number {
    return this.#columns.runStep.length;
  }

  /** Adds a step; one that is there already is passed over. */
  add({ runStep, loss, accuracy, samplesPerSecond }: CurvePoint): void {
    const columns = this.#columns;
    if (runStep <= (columns.runStep.at(-1) ?? -1)) return;
    columns.runStep.push(runStep);
    columns.loss.push(loss);
    columns.accuracy.push(accuracy);
    columns.samplesPerSecond.push(samplesPerSecond);
    if (this.length > MAX_POINTS) this.#columns = thinned(columns);
  }

  /** Takes another curve, and keeps what it knows beyond its end: a thinned curve lags behind the steps. */
  replace(columns: Columns): void {
    const known = this.#columns;
    const end = columns.runStep.at(-1) ?? -1;
    const first = known.runStep.findIndex((runStep) => runStep > end);
    this.#columns = columns.runStep.length > MAX_POINTS ? thinned(columns) : copyOf(columns);
    if (first < 0) return;
    for (let i = first; i < known.runStep.length; i++) {
      const [loss, accuracy] = [known.loss[i]!, known.accuracy[i]!];
      this.add({ runStep: known.runStep[i]!, loss, accuracy, samplesPerSecond: known.samplesPerSecond[i]! });
    }
  }
}
