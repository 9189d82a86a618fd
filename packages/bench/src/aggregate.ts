/** `lockstep bench aggregate`: the coordinator alone, with workers that cost nothing. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseTopology } from '@lockstep/engine';
import { openTraffic } from './aggregate-traffic.ts';
import { openUpdate } from './aggregate-update.ts';
import { compare, readBaseline } from './baseline.ts';
import { type BenchContext, begin } from './context.ts';
import { type BenchEvent, Progress } from './events.ts';
import { measureMemory } from './memory.ts';
import { type AggregateConfig, type AggregateOptions, resolveAggregate } from './options.ts';
import type { AggregateReport } from './report.ts';
import { type CaseBlock, networkOf, phasesOf } from './series.ts';
import { estimate } from './statistics.ts';
import { wideModel } from './wide-model.ts';
import { throwIfInterrupted } from './within.ts';

const MEMORY_SECONDS = 0.5;

type AggregateEvent = BenchEvent<AggregateReport>;

/**
 * Measures sum and update against the memory's bandwidth, and whole steps over loopback, and yields what happens; the
 * last event has the report.
 * @throws LockstepError with a code and a next step; `interrupted` when aborted
 */
export async function* benchAggregate(
  options: AggregateOptions = {},
  context: BenchContext = {},
): AsyncGenerator<AggregateEvent, void, void> {
  const config = resolveAggregate(options);
  const baseline = config.baseline === undefined ? undefined : await readBaseline(config.baseline, 'aggregate');
  const { signal } = context;
  const topology = wideModel(config.parameters);
  const { numParameters } = parseTopology(topology).layout;
  const { found, header } = await begin(context, config);
  yield { event: 'bench', kind: 'aggregate', ...found };
  const progress = new Progress(3, 2 * config.rounds, config.seconds);
  yield progress.event('copying memory');
  const memory = await measureMemory(MEMORY_SECONDS, signal);
  progress.opened();
  const update = yield* updates(topology, config, signal, progress);
  const traffic = yield* steps(topology, numParameters, config, signal, progress);
  const ms = estimate(update.ms);
  const bytesPerSecond = (update.bytes / ms.median) * 1000;
  const report: AggregateReport = {
    ...header(),
    kind: 'aggregate',
    workers: config.synthetic,
    numParameters,
    threads: update.numThreads,
    memory,
    update: { ms, bytes: update.bytes, bytesPerSecond, shareOfMemory: bytesPerSecond / memory.allThreads },
    traffic,
    comparison: null,
  };
  if (baseline) report.comparison = compare(report, baseline, config.baseline!, config.tolerance);
  yield { event: 'report', report };
}

/** Sum and update without a network. */
async function* updates(
  topology: unknown,
  { synthetic, rounds, seconds }: AggregateConfig,
  signal: AbortSignal | undefined,
  progress: Progress,
): AsyncGenerator<AggregateEvent, UpdateTimes, void> {
  const subject = 'sum and update';
  yield progress.event(subject);
  const update = openUpdate(topology, synthetic);
  try {
    await update.block(seconds, signal);
    progress.opened();
    yield { event: 'subject', subject };
    const ms: number[] = [];
    for (let round = 1; round <= rounds; round++) {
      const value = await update.block(seconds, signal);
      ms.push(value);
      progress.measured();
      yield { event: 'block', subject, round, rate: 1000 / value, unit: 'updates/s' };
      yield progress.event(subject);
    }
    return { numThreads: update.numThreads, bytes: update.bytes, ms };
  } finally {
    await update.close();
  }
}

interface UpdateTimes {
  readonly numThreads: number;
  readonly bytes: number;
  /** Of one update, in milliseconds; one a block. */
  readonly ms: readonly number[];
}

/** Whole steps, from the broadcast of the parameters to the update. */
async function* steps(
  topology: unknown,
  numParameters: number,
  { synthetic, rounds, seconds }: AggregateConfig,
  signal: AbortSignal | undefined,
  progress: Progress,
): AsyncGenerator<AggregateEvent, AggregateReport['traffic'], void> {
  const subject = `steps with ${synthetic} workers on loopback`;
  yield progress.event(`${subject}: starting`);
  const folder = await mkdtemp(join(tmpdir(), 'lockstep-bench-'));
  try {
    const traffic = await openTraffic(topology, synthetic, folder, signal);
    try {
      progress.opened();
      yield { event: 'subject', subject };
      const numEpochs = Math.max(1, Math.round(seconds / traffic.secondsPerEpoch));
      const blocks: (CaseBlock & { readonly stepMs: number })[] = [];
      for (let round = 1; round <= rounds; round++) {
        throwIfInterrupted(signal);
        const block = await traffic.block(numEpochs);
        blocks.push(block);
        progress.measured();
        yield { event: 'block', subject, round, rate: 1000 / block.stepMs, unit: 'steps/s' };
        yield progress.event(subject);
      }
      const phases = phasesOf(blocks);
      const { before } = traffic;
      const { bytesUp = 0, bytesDown = 0 } = networkOf({ numParameters }, { before, blocks }, phases) ?? {};
      const stepMs = estimate(blocks.map((block) => block.stepMs));
      const perSecond = (bytes: number): number => (bytes / stepMs.median) * 1000;
      return {
        stepMs,
        phases,
        bytesUp,
        bytesDown,
        bytesUpPerSecond: perSecond(bytesUp),
        bytesBothPerSecond: perSecond(bytesUp + bytesDown),
      };
    } finally {
      await traffic.close();
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
