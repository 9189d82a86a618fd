/** Predictions for a report, from the series in it. Pure functions. */
import type { BenchConfig } from './options.ts';
import { division, predictStep } from './prediction.ts';
import type { Point, Prediction, Series } from './report.ts';

interface Link {
  readonly name: string;
  readonly bytesPerSecond: number | null;
  readonly roundTripMs: number;
}

const BITS = 8;
const GIGA = 1e9;

/** What is usual between the machines of one room; the latencies include both operating systems. */
const USUAL = [
  { gigabits: 10, latencyMs: 0.2 },
  { gigabits: 1, latencyMs: 0.5 },
] as const;

/**
 * One prediction for each link and each setting in which a worker was measured over a socket.
 * @param bandwidth in Gbit/s @param latency round trip in milliseconds
 */
export function predictAll(
  series: readonly Series[],
  { predict, bandwidth, latency }: Pick<BenchConfig, 'predict' | 'bandwidth' | 'latency'>,
): Prediction[] {
  return series.flatMap((measured) => {
    if (measured.place === 'local' || measured.scaling !== 'strong' || predict.length === 0) return [];
    const base = measured.points.find(({ network, phases }) => network && phases);
    if (!base) return [];
    return linksFor(base, bandwidth, latency).map((link) => predictOver(measured, base, link, predict));
  });
}

function linksFor({ network }: Point, bandwidth: number | undefined, latency: number | undefined): Link[] {
  const named = (gigabits: number, roundTripMs: number): Link => ({
    name: `${gigabits} Gbit/s, ${roundTripMs} ms`,
    bytesPerSecond: (gigabits * GIGA) / BITS,
    roundTripMs,
  });
  if (bandwidth !== undefined) return [named(bandwidth, latency ?? USUAL[0].latencyMs)];
  return [
    { name: 'as measured', bytesPerSecond: null, roundTripMs: network!.roundTripMs },
    ...USUAL.map(({ gigabits, latencyMs }) => named(gigabits, latency ?? latencyMs)),
  ];
}

function predictOver(measured: Series, base: Point, link: Link, counts: readonly number[]): Prediction {
  const network = base.network!;
  const phases = base.phases!;
  const { slowestShare, busy } = division(base.shards, base.workers);
  const costs = {
    batchSize: base.batchSize,
    numShards: base.shards,
    computeMs: phases.compute / slowestShare,
    updateMs: phases.update,
    bytesDown: network.bytesDown / busy,
    bytesUp: network.bytesUp / Math.max(1, network.partialSums),
    bytesPerSecond: network.bytesPerSecond,
  };
  const asMeasured = link.bytesPerSecond === null;
  const points = counts.map((workers) => {
    const step = predictStep(costs, { ...link, bytesPerSecond: link.bytesPerSecond ?? undefined }, workers);
    const point = asMeasured ? measured.points.find((candidate) => candidate.workers === workers) : undefined;
    return { ...step, measured: point ? point.rate.median / step.rate : null };
  });
  const { model, engine, wire } = measured;
  return { model, engine, wire, batchSize: base.batchSize, shards: base.shards, link, points };
}
