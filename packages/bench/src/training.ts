/** `lockstep bench`: how training scales over workers, measured on real runs. */
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadModel } from '@lockstep/coordinator';
import { LockstepError } from '@lockstep/core';
import { compare, readBaseline } from './baseline.ts';
import { casesOf, nameOf } from './cases.ts';
import { type BenchContext, begin } from './context.ts';
import { prepareData } from './data.ts';
import { EngineSubject } from './engine-subject.ts';
import { type BenchEvent, Progress } from './events.ts';
import { measureMemory } from './memory.ts';
import { type OpenCase, openCase, type Place, type Setting, tokenFor } from './open-case.ts';
import { type BenchConfig, type BenchOptions, resolveBench } from './options.ts';
import { predictAll } from './predictions.ts';
import type { EngineRate, Series, Skipped, TrainingReport } from './report.ts';
import { rotate } from './rotation.ts';
import { buildSeries, type MeasuredCase } from './series.ts';
import { estimate } from './statistics.ts';
import { throwIfInterrupted } from './within.ts';

/** Of a memory measurement, in seconds. */
const MEMORY_SECONDS = 0.3;

type TrainingEvent = BenchEvent<TrainingReport>;

/**
 * Measures how training scales, and yields what happens; the last event has the report. All subjects of a model are open
 * at a time, and blocks of them take turns. Leaving the loop, or aborting `context.signal`, ends all runs and processes.
 * @throws LockstepError with a code and a next step; `interrupted` when aborted
 */
export async function* benchTraining(
  options: BenchOptions = {},
  context: BenchContext = {},
): AsyncGenerator<TrainingEvent, void, void> {
  const config = resolveBench(options);
  const baseline = config.baseline === undefined ? undefined : await readBaseline(config.baseline, 'training');
  const settings = await settingsOf(config);
  const finish = await begin(context, config);
  yield { event: 'bench', kind: 'training', ...finish.found };
  const folder = await mkdtemp(join(tmpdir(), 'lockstep-bench-'));
  try {
    const dataFolder = join(folder, 'data');
    await mkdir(dataFolder);
    const { dataset, dataDir } = config;
    const env = context.env ?? process.env;
    const { signal, onDownload } = context;
    const data = await prepareData({ dataset, dataDir, env, onProgress: onDownload, signal }, dataFolder);
    yield { event: 'dataset', name: data.name, source: data.source, notice: data.notice };
    throwIfInterrupted(signal);
    const memory = await measureMemory(config.quick ? MEMORY_SECONDS / 2 : MEMORY_SECONDS, signal);

    const numCases = settings.reduce((sum, { batchSize }) => sum + casesOf(config, batchSize).length, 0);
    // The engine alone is a subject too.
    const numSubjects = numCases + settings.length;
    const progress = new Progress(numSubjects, numSubjects * config.rounds, config.seconds);
    const place: Place = {
      config,
      context,
      data,
      folder,
      dataFolder,
      token: tokenFor(config),
      port: config.port,
      progress,
    };
    const series: Series[] = [];
    const engineAlone: EngineRate[] = [];
    const skipped: Skipped[] = [];
    for (const setting of settings) {
      try {
        const found = yield* measureSetting(setting, place);
        series.push(...found.series);
        engineAlone.push(found.engineAlone);
      } catch (error) {
        if (!(error instanceof LockstepError && error.code === 'engine-unavailable') || config.engines.length === 1) {
          throw error;
        }
        const skip = { what: `${setting.model.name} with ${setting.engine}`, reason: error.message };
        skipped.push(skip);
        yield { event: 'skipped', ...skip };
      }
    }
    const report: TrainingReport = {
      ...finish.header(),
      kind: 'training',
      data: { name: data.name, sha256: data.sha256, samples: data.train.count },
      memory,
      series,
      engineAlone,
      predictions: predictAll(series, config),
      skipped,
      comparison: null,
    };
    if (baseline) report.comparison = compare(report, baseline, config.baseline!, config.tolerance);
    yield { event: 'report', report };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function settingsOf({ models, engines, batchSizes, wire }: BenchConfig): Promise<Setting[]> {
  const loaded = await Promise.all(models.map(async (given) => ({ given, model: await loadModel(given) })));
  return loaded.flatMap(({ given, model }) =>
    engines.flatMap((engine) =>
      batchSizes.flatMap((batchSize) =>
        wire.map((format): Setting => {
          return { model, given, engine, batchSize, wire: format };
        }),
      ),
    ),
  );
}

async function* measureSetting(
  setting: Setting,
  place: Place,
): AsyncGenerator<TrainingEvent, { series: Series[]; engineAlone: EngineRate }, void> {
  const { config, context, progress } = place;
  const { model, batchSize } = setting;
  const { signal } = context;
  const microBatch = Math.max(1, Math.floor(batchSize / config.shards));
  const order = {
    topology: model.topology,
    engine: setting.engine,
    // A thread by itself, against which threads are measured.
    device: setting.engine === 'tensorflow' || setting.engine === 'tfjs' ? 'auto' : 'cpu',
    microBatch,
    maxGroup: config.shards,
    maxCallSeconds: Infinity,
    pictures: place.data.train,
  };
  const title = [
    model.name,
    ...(config.engines.length > 1 ? [setting.engine] : []),
    ...(config.wire.length > 1 ? [setting.wire] : []),
  ].join(', ');
  yield progress.event(`${title}: opening the engine`);
  const alone = await EngineSubject.open(order, signal);
  const open: OpenCase[] = [];
  try {
    // Twice: the first is slow while the processor's caches and the engine's memory fill.
    await alone.block(config.seconds / 4);
    const { rate } = await alone.block(config.seconds / 2);
    progress.opened();
    yield { event: 'subject', subject: `${title}: engine alone` };
    for (const what of casesOf(config, batchSize)) {
      const name = `${title}: ${nameOf(what)}`;
      yield progress.event(`${name}: starting`);
      open.push(await openCase(what, name, setting, rate, place));
      progress.opened();
      yield { event: 'subject', subject: name };
    }
    const aloneRates: number[] = [];
    const subjects = [alone, ...open];
    const measure = async (subject: EngineSubject | OpenCase): Promise<number> => {
      if (subject instanceof EngineSubject) {
        const block = await subject.block(config.seconds);
        aloneRates.push(block.rate);
        return block.rate;
      }
      const { rate, steps, status } = await subject.run.block(subject.epochsPerBlock);
      subject.blocks.push({ rate, steps, phases: status.phases, members: status.members });
      return rate;
    };
    for await (const { subject, round, block } of rotate(subjects, config.rounds, signal, measure)) {
      progress.measured();
      const name = subject instanceof EngineSubject ? `${title}: engine alone` : subject.name;
      yield { event: 'block', subject: name, round: round + 1, rate: block, unit: 'samples/s' };
      yield progress.event(name);
    }
    const cases = open.map(({ what, before, blocks }): MeasuredCase => {
      return { ...what, before: { members: before.status.members }, blocks };
    });
    const [first] = open;
    const group = {
      model: model.name,
      numParameters: model.network.layout.numParameters,
      ...(first?.run.engine ?? alone),
      wire: setting.wire,
      batchSize,
    };
    const { engine, device } = alone;
    return {
      series: buildSeries({ ...group, engine: group.engine, device: group.device }, cases),
      engineAlone: { model: model.name, engine, device, microBatch, rates: aloneRates, rate: estimate(aloneRates) },
    };
  } finally {
    await Promise.all([alone.close(), ...open.map(({ run }) => run.close())]);
  }
}
