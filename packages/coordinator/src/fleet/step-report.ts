/** What a step took, and who held it up: for displays and metrics. */
import type { StepTimes } from '@lockstep/worker';
import { LOCAL } from './crew.ts';

/** Milliseconds of a step, by what they were spent on. */
export interface Phases {
  /** Parameters and assignments are handed to the network. */
  readonly broadcast: number;
  /** The slowest member computes. */
  readonly compute: number;
  /** Beyond computing, until the last partial sum is there. */
  readonly gather: number;
  /** Sum along the tree and the optimizer's update. */
  readonly update: number;
}

/** One member's answer. */
export interface Answer {
  readonly member: string;
  /** Of the step's shards. */
  readonly numShards: number;
  /** Since the step's start. */
  readonly atMs: number;
  readonly computeMs: number;
}

export interface StepReport {
  /** Of the first of them. */
  readonly runStep: number;
  /** Steps that were done in one go; times are means over them. */
  readonly numSteps: number;
  readonly totalMs: number;
  readonly phases: Phases;
  readonly answers: readonly Answer[];
  /** Whose answer came last, and how long it alone was waited for. */
  readonly heldUp: { readonly member: string; readonly ms: number } | undefined;
}

/** Steps that the local threads did among themselves. */
export function localReport(
  runStep: number,
  numSteps: number,
  numShards: number,
  totalMs: number,
  times: StepTimes,
): StepReport {
  const { computeMs, updateMs } = times;
  const gather = Math.max(0, totalMs - computeMs - updateMs);
  return {
    runStep,
    numSteps,
    totalMs,
    phases: { broadcast: 0, compute: computeMs, gather, update: updateMs },
    answers: [{ member: LOCAL, numShards, atMs: computeMs, computeMs }],
    heldUp: undefined,
  };
}

/** A step in which several members had a part. @param answers in the order in which they came */
export function sharedReport(
  runStep: number,
  broadcastMs: number,
  gatheredMs: number,
  updateMs: number,
  answers: readonly Answer[],
): StepReport {
  const compute = Math.min(gatheredMs - broadcastMs, Math.max(0, ...answers.map(({ computeMs }) => computeMs)));
  const [last, before] = [answers.at(-1), answers.at(-2)];
  return {
    runStep,
    numSteps: 1,
    totalMs: gatheredMs + updateMs,
    phases: { broadcast: broadcastMs, compute, gather: gatheredMs - broadcastMs - compute, update: updateMs },
    answers,
    heldUp: last && before && { member: last.member, ms: last.atMs - before.atMs },
  };
}
