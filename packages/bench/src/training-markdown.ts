/** The sections of a report about training. */
import type { Fit, TooFew } from './fits.ts';
import { factorText, gigabytesText, intervalText, megabytesText, msText, percentText, rateText } from './format.ts';
import { heading, table } from './markdown-parts.ts';
import { bestPrediction } from './prediction.ts';
import type { EngineRate, Point, Prediction, Series, TrainingReport } from './report.ts';
import { joinedEfficiency } from './series.ts';

export function trainingSections({ series, engineAlone, predictions, memory, data }: TrainingReport): string[] {
  return [
    ...series.flatMap(seriesSection),
    ...aloneSection(engineAlone, series),
    ...predictionSections(predictions),
    heading('Around it'),
    `Memory is copied at ${gigabytesText(memory.oneThread)} by one thread and at ${gigabytesText(memory.allThreads)} by one a core. Data: ${data.name}, ${data.samples.toLocaleString('en-US')} training samples.`,
  ];
}

const PLACES = { local: 'local threads', remote: 'processes on loopback', joined: 'joined workers' } as const;

function seriesSection(series: Series): string[] {
  const { model, engine, device, batchSize, place, scaling, points, wire } = series;
  const growing = scaling === 'weak' ? ' for each worker' : '';
  return [
    heading(`${model}: ${PLACES[place]}, ${scaling} scaling`),
    `Batch ${batchSize}${growing}, ${engine} on ${device}, gradients as ${wire}. Median and interval; ${confidenceOf(points)}.`,
    rateTable(series),
    phaseTable(points),
    ...(points.some(({ network }) => network) ? [networkTable(points)] : []),
    ...(place === 'joined' ? points.map(memberTable) : []),
    ...(series.amdahl && series.usl ? [lawsOf(series.amdahl, series.usl)] : []),
  ];
}

function confidenceOf(points: readonly Point[]): string {
  const least = Math.min(...points.map(({ rate }) => rate.confidence));
  return least >= 0.95
    ? 'the interval holds the true median with at least 95 %'
    : `with so few blocks the interval holds the true median with only ${percentText(least)}`;
}

function rateTable({ points, place, scaling }: Series): string {
  const versusLocal = points.some(({ againstLocal }) => againstLocal);
  const hasShare = scaling === 'strong' && points.some(({ serialShare }) => serialShare !== null);
  const head = ['workers', 'batch', 'samples/s', 'speed-up', 'efficiency'];
  if (hasShare) head.push('serial share');
  if (versusLocal) head.push('against local');
  if (place === 'joined') head.push('of the sum of the workers');
  const rows = points.map((point) => {
    const { workers, batchSize, rate, speedup, efficiency, serialShare, againstLocal } = point;
    const row = [
      String(workers),
      String(batchSize),
      intervalText(rate, rateText),
      speedup ? intervalText(speedup, factorText) : '',
      efficiency ? percentText(efficiency.median) : '',
    ];
    if (hasShare) row.push(serialShare === null ? '' : percentText(serialShare));
    if (versusLocal) row.push(againstLocal ? intervalText(againstLocal, factorText) : '');
    const joined = place === 'joined' ? joinedEfficiency(point) : undefined;
    if (place === 'joined') row.push(joined ? percentText(joined.median) : '');
    return row;
  });
  return table(head, rows);
}

function phaseTable(points: readonly Point[]): string {
  const rows = points.map(({ workers, stepMs, phases }) => {
    if (!phases) return [String(workers), msText(stepMs), '', '', '', ''];
    const { broadcast, compute, gather, update } = phases;
    const total = broadcast + compute + gather + update;
    const share = (ms: number): string => (total > 0 ? percentText(ms / total) : '');
    return [String(workers), msText(stepMs), share(broadcast), share(compute), share(gather), share(update)];
  });
  return table(['workers', 'step in ms', 'broadcast', 'compute', 'gather', 'update'], rows);
}

function networkTable(points: readonly Point[]): string {
  const rows = points.flatMap(({ workers, network }) => {
    if (!network) return [];
    const { roundTripMs, bytesDown, bytesUp, bytesPerSecond } = network;
    return [
      [
        String(workers),
        msText(roundTripMs),
        megabytesText(bytesDown),
        megabytesText(bytesUp),
        gigabytesText(bytesPerSecond),
      ],
    ];
  });
  return table(['workers', 'round trip in ms', 'down a step', 'up a step', 'effective bandwidth'], rows);
}

function memberTable({ members }: Point): string {
  const rows = members.map(({ name, threads, engine, device, rate }) => [
    name,
    String(threads),
    `${engine} on ${device}`,
    rateText(rate),
  ]);
  return table(['worker', 'threads', 'engine', 'samples/s while it computes'], rows);
}

/** What the laws say, or why they say nothing. */
export function lawsOf(amdahl: Fit | TooFew, usl: Fit | TooFew): string {
  const few = (name: string, { needed, found }: TooFew): string =>
    `${name}: not fitted; it takes ${needed} different numbers of workers, and there ${found === 1 ? 'is' : 'are'} ${found}.`;
  const deviation = ({ worstDeviation }: Fit): string => `off by at most ${percentText(worstDeviation)}`;
  const first =
    amdahl.kind === 'too-few'
      ? few("Amdahl's law", amdahl)
      : `Amdahl's law: serial share ${percentText(amdahl.sigma)}, so at most ${amdahl.sigma > 0 ? factorText(1 / amdahl.sigma) : 'unlimited'} times one worker; ${deviation(amdahl)}.`;
  const second =
    usl.kind === 'too-few'
      ? few('Universal Scalability Law', usl)
      : `Universal Scalability Law: contention ${percentText(usl.sigma)}, coherency ${usl.kappa.toExponential(1)}; ${bestOf(usl)}; ${deviation(usl)}.`;
  return `- ${first}\n- ${second}`;
}

const bestOf = ({ bestWorkers, bestRate }: Fit): string =>
  bestWorkers === null
    ? 'more workers are better as far as it can tell'
    : `best with ${bestWorkers} ${bestWorkers === 1 ? 'worker' : 'workers'}: ${rateText(bestRate!)} samples/s`;

/** How much of the engine's own rate one worker keeps. */
function aloneSection(engineAlone: readonly EngineRate[], series: readonly Series[]): string[] {
  if (engineAlone.length === 0) return [];
  const rows = engineAlone.map(({ model, engine, device, microBatch, rate }) => {
    const local = series.find(
      (one) => one.model === model && one.engine === engine && one.place === 'local' && one.scaling === 'strong',
    );
    const one = local?.points.find(({ workers }) => workers === 1);
    const kept = one ? percentText(one.rate.median / rate.median) : '';
    return [model, String(microBatch), `${engine} on ${device}`, intervalText(rate, rateText), kept];
  });
  return [
    heading('The engine alone'),
    'One thread that computes gradients and nothing else.',
    table(['model', 'micro-batch', 'engine', 'samples/s', 'kept by one worker'], rows),
  ];
}

function predictionSections(predictions: readonly Prediction[]): string[] {
  if (predictions.length === 0) return [];
  return [
    heading('Machines that are not there'),
    'Each as fast as the one worker that was measured. A step takes the slowest share of the gradients, all bytes over the bandwidth, a round trip, and the update; there are at least as many shards as workers.',
    ...predictions.flatMap(predictionSection),
  ];
}

function predictionSection({ model, batchSize, wire, link, points }: Prediction): string[] {
  const wasMeasured = points.some(({ measured }) => measured !== null);
  const head = ['workers', 'samples/s', 'step in ms', 'compute', 'transfer', 'latency', 'update'];
  const rows = points.map(({ workers, rate, stepMs, computeMs, transferMs, latencyMs, updateMs, measured }) => [
    String(workers),
    rateText(rate),
    ...[stepMs, computeMs, transferMs, latencyMs, updateMs].map(msText),
    ...(wasMeasured ? [measured === null ? '' : factorText(measured)] : []),
  ]);
  const best = bestPrediction(points);
  const verdict = best ? ` Best of these: ${best.workers} ${best.workers === 1 ? 'worker' : 'workers'}.` : '';
  return [
    `**${model}**, batch ${batchSize}, gradients as ${wire}, link ${link.name}.${verdict}`,
    table(wasMeasured ? [...head, 'measured / predicted'] : head, rows),
  ];
}
