/** What a step took, and who held it up: for displays, metrics and traces. Moments are milliseconds since 1970. */
import type { SumFormat } from '@lockstep/core';
import type { StepMarks, StepPosition } from '@lockstep/worker';
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

/** One member's answer to one assignment. */
export interface Answer {
  readonly member: string;
  readonly from: number;
  readonly to: number;
  readonly sentAt: number;
  readonly answeredAt: number;
  /** When it began to compute, by the coordinator's clock. */
  readonly startedAt: number;
  readonly computeMs: number;
}

export interface StepReport {
  readonly wire: SumFormat;
  /** Of the first of them. */
  readonly runStep: number;
  /** Steps that were done in one go; durations are means over them. */
  readonly numSteps: number;
  readonly startedAt: number;
  readonly totalMs: number;
  readonly phases: Phases;
  readonly answers: readonly Answer[];
  /** Whose answer came last, and how long it alone was waited for. */
  readonly heldUp: { readonly member: string; readonly ms: number } | undefined;
  /** Per step, per local thread; for a shared step only of the update. */
  readonly marks: readonly (readonly StepMarks[])[];
}

const mean = (values: readonly number[]): number =>
  values.length === 0 ? 0 : values.reduce((sum, value) => sum + value, 0) / values.length;

/** Steps that the local threads did among themselves. */
export function localReport(
  { runStep, wire }: StepPosition,
  numSteps: number,
  numShards: number,
  startedAt: number,
  totalMs: number,
  marks: StepMarks[][],
): StepReport {
  // Each step begins when the one before has ended; what is left of the total is the way to the threads and back.
  const compute = mean(marks.map((threads) => Math.max(...threads.map(({ computed, started }) => computed - started))));
  const update = mean(marks.map((threads) => Math.max(...threads.map(({ ended, gathered }) => ended - gathered))));
  const answer = { member: LOCAL, from: 0, to: numShards, sentAt: startedAt, answeredAt: startedAt + totalMs };
  return {
    runStep,
    wire,
    numSteps,
    startedAt,
    totalMs,
    phases: { broadcast: 0, compute, gather: Math.max(0, totalMs - compute - update), update },
    answers: marks.length > 0 ? [{ ...answer, startedAt, computeMs: compute }] : [],
    heldUp: undefined,
    marks,
  };
}

export interface SharedStep {
  readonly plan: StepPosition;
  readonly startedAt: number;
  /** When all first assignments were handed to the network. */
  readonly broadcastAt: number;
  /** When the last partial sum was there. */
  readonly gatheredAt: number;
  readonly endedAt: number;
  /** In the order in which they came. */
  readonly answers: readonly Answer[];
  readonly marks: StepMarks[][];
}

/** A step in which several members had a part. */
export function sharedReport({
  plan: { runStep, wire },
  startedAt,
  broadcastAt,
  gatheredAt,
  endedAt,
  answers,
  marks,
}: SharedStep): StepReport {
  const waited = gatheredAt - broadcastAt;
  const compute = Math.min(waited, Math.max(0, ...answers.map(({ computeMs }) => computeMs)));
  const [last, before] = [answers.at(-1), answers.at(-2)];
  return {
    runStep,
    wire,
    numSteps: 1,
    startedAt,
    totalMs: endedAt - startedAt,
    phases: { broadcast: broadcastAt - startedAt, compute, gather: waited - compute, update: endedAt - gatheredAt },
    answers,
    heldUp: last && before && { member: last.member, ms: last.answeredAt - before.answeredAt },
    marks,
  };
}
