/** The way into a run: what to train, on which data, and then its events. */
import { ShardPlan } from '@lockstep/core';
import type { TrainEvent } from '@lockstep/protocol';
import { checkOptions, modelOf, resolveConfig, resumeConfig, type TrainConfig, type TrainOptions } from './config.ts';
import { holdOut } from './hold-out.ts';
import { checkFits, type LoadedModel, loadModel, savedModel } from './model.ts';
import { Run } from './run.ts';
import { readUnfinishedRun } from './run-folder.ts';
import { describeData, loadData, type RunContext } from './setup.ts';

/**
 * Trains a model and yields what happens. Leaving the loop, or aborting `context.signal`, ends the run and its threads.
 *
 * The final weights depend on the options and the data, not on `workers`: the same options give the same
 * `weightsSha256` for any number of them (with one kind of engine, and but for `native` on one kind of processor).
 *
 * @throws LockstepError with a code and a next step; `interrupted` when aborted, after a checkpoint was saved
 */
export async function* train(
  options: TrainOptions = {},
  context: RunContext = {},
): AsyncGenerator<TrainEvent, void, void> {
  const { config, model, resumed } = await prepare(options);
  const dataset = holdOut(await loadData(config, context), config.validation, config.seed);
  checkFits(model.network, dataset);
  const plan = new ShardPlan(dataset.train.count, config.shards, config.batchSize);
  const described = { ...describeData(dataset), validationSamples: dataset.validation?.count };
  yield described;

  const run = await Run.start(config, model, dataset, plan, resumed, context.pages);
  try {
    context.onInvitation?.(run.invitation);
    context.onStart?.(() => run.observatory.status());
    run.observatory.event(described);
    await run.folder.appendEvent(described);
    for await (const event of run.events(context.signal)) {
      run.observatory.event(event);
      if (event.event !== 'progress') await run.folder.appendEvent(event);
      yield event;
    }
  } catch (error) {
    run.observatory.ended(error);
    throw error;
  } finally {
    await run.close();
  }
}

interface Prepared {
  readonly config: TrainConfig;
  readonly model: LoadedModel;
  /** Folder of the run to go on with. */
  readonly resumed: string | undefined;
}

/** What to train: as the options say, or as the run to be resumed began. */
async function prepare(options: TrainOptions): Promise<Prepared> {
  if (options.resume === undefined) {
    const checked = checkOptions(options);
    const model = await loadModel(modelOf(checked));
    return { config: resolveConfig(checked, model.recipe), model, resumed: undefined };
  }
  const saved = await readUnfinishedRun(options.resume);
  const config = resumeConfig(options, saved.config);
  return { config, model: savedModel(saved.modelTopology), resumed: saved.path };
}
