/** What machines that are not there would reach, from what was measured. Pure functions; the formula is in the README. */
import { coveringNodes } from '@lockstep/core';

/** One worker's step and its traffic, as measured. */
export interface StepCosts {
  readonly batchSize: number;
  readonly numShards: number;
  /** One worker computes all shards of a step in so many milliseconds. */
  readonly computeMs: number;
  /** The sum along the tree and the optimizer's update. */
  readonly updateMs: number;
  /** Sent to each worker per step: the parameters. */
  readonly bytesDown: number;
  /** One partial sum. */
  readonly bytesUp: number;
  /** What the coordinator packs, moves and checks per second over a link that is no limit. */
  readonly bytesPerSecond: number;
}

/** Between the coordinator and its workers. */
export interface LinkCosts {
  /** Of the coordinator's own link, which all workers share; undefined: no limit beyond what was measured. */
  readonly bytesPerSecond: number | undefined;
  readonly roundTripMs: number;
}

/** Milliseconds of a step by what they are spent on, and the rate that follows. */
export interface PredictedStep {
  readonly workers: number;
  /** Samples per second. */
  readonly rate: number;
  readonly stepMs: number;
  readonly computeMs: number;
  readonly transferMs: number;
  readonly latencyMs: number;
  readonly updateMs: number;
}

/** @param workers machines, each as fast as the one that was measured */
export function predictStep(costs: StepCosts, link: LinkCosts, workers: number): PredictedStep {
  const { batchSize, bytesDown, bytesUp } = costs;
  // Nobody would start more workers than there are shards.
  const numShards = Math.max(costs.numShards, 2 ** Math.ceil(Math.log2(workers)));
  const { slowestShare, partialSums, busy } = division(numShards, workers);
  const computeMs = costs.computeMs * slowestShare;
  const bytes = busy * bytesDown + partialSums * bytesUp;
  const secondsPerByte = 1 / costs.bytesPerSecond + (link.bytesPerSecond === undefined ? 0 : 1 / link.bytesPerSecond);
  const transferMs = bytes * secondsPerByte * 1000;
  const latencyMs = link.roundTripMs;
  const { updateMs } = costs;
  const stepMs = computeMs + transferMs + latencyMs + updateMs;
  return { workers, rate: (batchSize / stepMs) * 1000, stepMs, computeMs, transferMs, latencyMs, updateMs };
}

/** How shards divide among equal workers. */
export interface Division {
  /** Of all shards, that the worker with the most computes. */
  readonly slowestShare: number;
  /** Nodes of the reduction tree that cover the workers' ranges: each is a message's vector. */
  readonly partialSums: number;
  /** Workers with a shard. */
  readonly busy: number;
}

export function division(numShards: number, workers: number): Division {
  const cut = (i: number): number => Math.floor((numShards * i) / workers);
  let most = 0;
  let partialSums = 0;
  let busy = 0;
  for (let i = 0; i < workers; i++) {
    const range = { from: cut(i), to: cut(i + 1) };
    if (range.to === range.from) continue;
    busy++;
    most = Math.max(most, range.to - range.from);
    partialSums += coveringNodes(range, numShards).length;
  }
  return { slowestShare: most / numShards, partialSums, busy };
}

/** The number of workers with the highest predicted rate, the first of equals. */
export function bestPrediction<Step extends PredictedStep>(steps: readonly Step[]): Step | undefined {
  return steps.reduce<Step | undefined>((best, step) => (best && best.rate >= step.rate ? best : step), undefined);
}
