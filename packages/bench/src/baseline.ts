/** Compares a report with an earlier one: what became slower beyond noise, and what else is not the same. */
import { readFile } from 'node:fs/promises';
import { LockstepError } from '@lockstep/core';
import { type BenchReport, benchReport, type Comparison, type Machine } from './report.ts';
import { type Estimate, geometricMean, ratioBounds } from './statistics.ts';

/** One thing that was measured, with a name that is the same in every report. */
interface Measured {
  readonly subject: string;
  /** Higher is better. */
  readonly rate: Estimate;
}

/**
 * Reads the report of an earlier run.
 * @param kind that it must have
 * @throws LockstepError `usage` when it cannot be read or is none
 */
export async function readBaseline(path: string, kind: BenchReport['kind']): Promise<BenchReport> {
  const refuse = (what: string, error?: unknown): LockstepError =>
    new LockstepError(
      'usage',
      `--baseline ${path}: ${what}.`,
      'Give the bench.json that an earlier lockstep bench of the same kind wrote.',
      { cause: error },
    );
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw refuse(`the file cannot be read (${error.code})`, error);
  });
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw refuse(`it is not JSON: ${(error as Error).message}`, error);
  }
  const parsed = benchReport.safeParse(json);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw refuse(`it is no report that this version knows: ${issue?.path.join('.') || 'file'}: ${issue?.message}`);
  }
  if (parsed.data.kind !== kind) throw refuse(`it is a report about ${parsed.data.kind}, not about ${kind}`);
  return parsed.data;
}

/**
 * Compares two reports of one kind. A subject is slower when the whole interval of the ratio, each median at the worse
 * end of its own, lies below 1 - tolerance; faster when it lies above 1 + tolerance.
 * @param path of the earlier one, for people
 * @throws LockstepError `usage` when the two have nothing in common
 */
export function compare(now: BenchReport, before: BenchReport, path: string, tolerance: number): Comparison {
  const old = new Map(measuredIn(before).map(({ subject, rate }) => [subject, rate]));
  const fresh = measuredIn(now);
  const points = fresh.flatMap(({ subject, rate }): Comparison['points'] => {
    const base = old.get(subject);
    if (!base) return [];
    const ratio = ratioBounds(rate, base);
    const verdict = ratio.high < 1 - tolerance ? 'slower' : ratio.low > 1 + tolerance ? 'faster' : 'same';
    return [{ subject, before: base.median, now: rate.median, ratio, verdict }];
  });
  if (points.length === 0) {
    throw new LockstepError(
      'usage',
      `--baseline ${path} and this run measured nothing in common: ${names(old.keys())} there, ${names(fresh.map(({ subject }) => subject))} here.`,
      'Compare runs with the same models, workers, batch sizes and engines.',
    );
  }
  const common = new Set(points.map(({ subject }) => subject));
  return {
    baseline: path,
    startedAt: before.startedAt,
    tolerance,
    differences: differencesOf(now, before),
    points,
    mean: geometricMean(points.map(({ ratio }) => ratio.median)),
    onlyBefore: [...old.keys()].filter((subject) => !common.has(subject)),
    onlyNow: fresh.map(({ subject }) => subject).filter((subject) => !common.has(subject)),
  };
}

const names = (subjects: Iterable<string>): string => [...subjects].slice(0, 3).join('; ') || 'nothing';

/** Everything with a rate in a report. */
function measuredIn(report: BenchReport): Measured[] {
  switch (report.kind) {
    case 'training':
      return report.series.flatMap(({ points, ...series }) =>
        points.map(({ workers, shards, rate }) => ({
          subject:
            `${series.model}, batch ${series.batchSize}, ${shards} shards, ${series.engine} on ${series.device}, ${series.wire}: ` +
            `${series.scaling}, ${workers} ${series.place}`,
          rate,
        })),
      );
    case 'engines':
      return report.engines.map(({ model, engine, device, microBatch, rate }) => ({
        subject: `${model}, micro-batch ${microBatch}: ${engine} on ${device}`,
        rate,
      }));
    case 'aggregate': {
      const what = `${report.workers} workers, ${report.numParameters} parameters`;
      return [
        { subject: `update, ${what}`, rate: perSecond(report.update.ms) },
        { subject: `steps over loopback, ${what}`, rate: perSecond(report.traffic.stepMs) },
      ];
    }
    // Whether a recipe reaches an accuracy is no rate.
    case 'accuracy':
      return [];
    default:
      return report satisfies never;
  }
}

const perSecond = ({ median, low, high, confidence }: Estimate): Estimate => ({
  median: 1000 / median,
  low: 1000 / high,
  high: 1000 / low,
  confidence,
});

const MACHINE_WORDS: Readonly<Record<keyof Machine, string>> = {
  cpu: 'processor',
  cores: 'number of cores',
  memoryBytes: 'memory in bytes',
  platform: 'platform',
  release: 'kernel',
  node: 'version of Node.js',
  lockstep: 'version of Lockstep',
};

/** Sentences about what may explain a difference that is not the program's. */
function differencesOf(now: BenchReport, before: BenchReport): string[] {
  const found: string[] = [];
  const differs = (what: string, old: unknown, fresh: unknown): void => {
    if (old !== fresh) found.push(`Another ${what}: ${old} before, ${fresh} now.`);
  };
  for (const [key, what] of Object.entries(MACHINE_WORDS) as [keyof Machine, string][]) {
    differs(what, before.machine[key], now.machine[key]);
  }
  differs('number of rounds', before.rounds, now.rounds);
  differs('length of a block in seconds', before.blockSeconds, now.blockSeconds);
  if (now.kind === 'training' && before.kind === 'training') {
    differs('dataset', before.data.name, now.data.name);
  }
  for (const [when, { warning }] of [
    ['before', before.load],
    ['now', now.load],
  ] as const) {
    if (warning !== null) found.push(`The machine was busy ${when}: ${warning}`);
  }
  return found;
}
