/** A training curve of bounded length: when it is full, every second point goes, and from then on fewer are kept. */

const MAX_POINTS = 1000;

export interface CurvePoint {
  readonly runStep: number;
  readonly loss: number;
  readonly accuracy: number;
  readonly samplesPerSecond: number;
}

export class Curve {
  #points: CurvePoint[] = [];
  #stride = 1;

  add(point: CurvePoint): void {
    if (point.runStep % this.#stride !== 0) return;
    this.#points.push(point);
    if (this.#points.length < MAX_POINTS) return;
    this.#stride *= 2;
    this.#points = this.#points.filter(({ runStep }) => runStep % this.#stride === 0);
  }

  /** By columns, as plots want them. */
  get columns() {
    return {
      runStep: this.#points.map(({ runStep }) => runStep),
      loss: this.#points.map(({ loss }) => loss),
      accuracy: this.#points.map(({ accuracy }) => accuracy),
      samplesPerSecond: this.#points.map(({ samplesPerSecond }) => samplesPerSecond),
    };
  }
}
