/** `lockstep bench engines`: what the engines of this machine reach by themselves, one thread each. */
import { loadModel } from '@lockstep/coordinator';
import { LockstepError } from '@lockstep/core';
import { compare, readBaseline } from './baseline.ts';
import { type BenchContext, begin } from './context.ts';
import { type EngineBlock, EngineSubject } from './engine-subject.ts';
import { type BenchEvent, Progress } from './events.ts';
import { type EnginesConfig, type EnginesOptions, resolveEngines } from './options.ts';
import type { EngineRate, EnginesReport, Skipped } from './report.ts';
import { rotate } from './rotation.ts';
import { estimate } from './statistics.ts';
import { throwIfInterrupted } from './within.ts';

/** Micro-batches of a step, as many as a run has by default: some engines take several at a time. */
const SHARDS = 8;
/** A call that takes so many times as long as a block should stays the only one of its subject. */
const TOO_SLOW = 5;
/** Nobody wants to wait longer for one call. */
const MAX_CALL_SECONDS = 20;

type EnginesEvent = BenchEvent<EnginesReport>;

/** A model at a micro-batch on an engine. */
interface Subject {
  readonly name: string;
  readonly model: string;
  readonly microBatch: number;
  readonly run: EngineSubject;
  readonly rates: number[];
  isSlow: boolean;
}

/**
 * Measures gradients per second of each engine, model and micro-batch, in turns, and yields what happens; the last event
 * has the report. An engine that does not work here is skipped, with the reason.
 * @throws LockstepError with a code and a next step; `interrupted` when aborted; `engine-unavailable` when none works
 */
export async function* benchEngines(
  options: EnginesOptions = {},
  context: BenchContext = {},
): AsyncGenerator<EnginesEvent, void, void> {
  const config = resolveEngines(options);
  const baseline = config.baseline === undefined ? undefined : await readBaseline(config.baseline, 'engines');
  const models = await Promise.all(config.models.map(loadModel));
  const { found, header } = await begin(context, config);
  yield { event: 'bench', kind: 'engines', ...found };
  const numSubjects = models.length * config.engines.length * config.microBatches.length;
  const progress = new Progress(numSubjects, numSubjects * config.rounds, config.seconds);
  const maxCallSeconds = config.quick ? MAX_CALL_SECONDS / 4 : MAX_CALL_SECONDS;
  const engines: EngineRate[] = [];
  const skipped: Skipped[] = [];
  for (const model of models) {
    const subjects: Subject[] = [];
    try {
      for (const engine of config.engines) {
        for (const microBatch of config.microBatches) {
          const name = `${model.name}, micro-batch ${microBatch}: ${engine}`;
          yield progress.event(`${name}: opening`);
          // The others find their own; only `onnx` can be put on a device.
          const device = engine === 'onnx' ? config.device : 'auto';
          const order = { topology: model.topology, engine, device, microBatch, maxGroup: SHARDS, maxCallSeconds };
          const opened = await openOrReason(order, context.signal);
          progress.opened();
          if (typeof opened === 'string') {
            const skip = { what: name, reason: opened };
            skipped.push(skip);
            yield { event: 'skipped', ...skip };
            // A larger micro-batch would not help.
            break;
          }
          subjects.push({ name, model: model.name, microBatch, run: opened, rates: [], isSlow: false });
          yield { event: 'subject', subject: name };
        }
      }
      yield* measure(subjects, config, context.signal, progress);
      engines.push(...subjects.map(rateOf));
    } finally {
      await Promise.all(subjects.map(({ run }) => run.close()));
    }
  }
  if (engines.length === 0) {
    throw new LockstepError(
      'engine-unavailable',
      `No engine works: ${skipped.map(({ what, reason }) => `${what}: ${reason}`).join('; ')}`,
      'Name others with --engines, or run `npm ci` again and look at its output.',
    );
  }
  const report: EnginesReport = { ...header(), kind: 'engines', engines, skipped, comparison: null };
  if (baseline) report.comparison = compare(report, baseline, config.baseline!, config.tolerance);
  yield { event: 'report', report };
}

async function openOrReason(
  order: Parameters<typeof EngineSubject.open>[0],
  signal: AbortSignal | undefined,
): Promise<EngineSubject | string> {
  try {
    return await EngineSubject.open(order, signal);
  } catch (error) {
    if (error instanceof LockstepError && error.code === 'engine-unavailable') return error.message;
    throw error;
  }
}

async function* measure(
  subjects: readonly Subject[],
  { rounds, seconds }: EnginesConfig,
  signal: AbortSignal | undefined,
  progress: Progress,
): AsyncGenerator<EnginesEvent, void, void> {
  for (const subject of subjects) {
    throwIfInterrupted(signal);
    const { first } = subject.run;
    subject.isSlow = first.seconds > TOO_SLOW * seconds;
    if (subject.isSlow) {
      subject.rates.push(first.rate);
      continue;
    }
    yield progress.event(`${subject.name}: warming up`);
    await subject.run.block(seconds / 2);
  }
  const blockOf = async ({ run, isSlow }: Subject): Promise<EngineBlock | undefined> =>
    isSlow ? undefined : run.block(seconds);
  for await (const { subject, round, block } of rotate(subjects, rounds, signal, blockOf)) {
    progress.measured();
    if (!block) continue;
    subject.rates.push(block.rate);
    yield { event: 'block', subject: subject.name, round: round + 1, rate: block.rate, unit: 'samples/s' };
    yield progress.event(subject.name);
  }
}

function rateOf({ model, microBatch, run: { engine, device }, rates }: Subject): EngineRate {
  return { model, engine, device, microBatch, rates, rate: estimate(rates) };
}
