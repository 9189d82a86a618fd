/** What a run does: the job of its workers, the digest by which a checkpoint knows it, and what is written down of it. */
import { createHash } from 'node:crypto';
import { isAugmented } from '@lockstep/core';
import type { EngineChoice } from '@lockstep/engine';
import type { Job } from '@lockstep/worker';
import { type TrainConfig, viewsOf, withoutAccess } from './config.ts';
import type { RunData } from './hold-out.ts';
import type { LoadedModel } from './model.ts';
import type { RunFolder } from './run-folder.ts';

/** @param numSamples in the training set */
export function jobOf(config: TrainConfig, topology: unknown, engine: EngineChoice, numSamples: number): Job {
  const { flip, shift, erase } = config;
  const augmentation = { flip, shift, erase };
  return {
    topology,
    engine: engine.kind,
    device: engine.device,
    labelSmoothing: config.labelSmoothing,
    augmentation: isAugmented(augmentation) ? augmentation : undefined,
    optimizer: config.optimizer,
    ema: config.ema,
    views: viewsOf(config),
    seed: config.seed,
    numSamples,
    numShards: config.shards,
    batchSize: config.batchSize,
    keepsReference: config.wire !== 'fp32',
    reduction: config.reduction,
  };
}

/** Writes down what is trained, on which data and by what. */
export async function describeRun(
  folder: RunFolder,
  config: TrainConfig,
  model: LoadedModel,
  dataset: RunData,
  engine: EngineChoice,
): Promise<void> {
  const { train: _, test: __, validation, classNames: ___, ...provenance } = dataset;
  // Before the configuration, which makes it a run that can be resumed.
  await folder.writeModel(model.network.modelTopology);
  await folder.writeConfig({
    startedAt: new Date().toISOString(),
    node: process.version,
    platform: `${process.platform}-${process.arch}`,
    engine,
    config: withoutAccess(config),
    dataset: {
      ...provenance,
      trainSamples: dataset.train.count,
      testSamples: dataset.test.count,
      validationSamples: validation?.count,
    },
  });
}

/** A digest of all that determines the result of a run. */
export function jobIdentity(job: Job, config: TrainConfig, dataset: RunData): string {
  const { epochs, learningRate, schedule, warmupSteps, clipNorm, targetAccuracy } = config;
  const validation = config.validation || undefined;
  // What is as it was before there was a choice stays out, so that earlier checkpoints are known again.
  const { keepsReference: _, reduction: __, device, ...asBefore } = job;
  const gpu = job.engine === 'onnx' && device !== 'cpu' ? device : undefined;
  const wire = config.wire === 'fp32' ? undefined : config.wire;
  const reduction = config.reduction === 'exact' ? undefined : config.reduction;
  const schedules = {
    epochs,
    learningRate,
    schedule,
    warmupSteps,
    clipNorm,
    targetAccuracy,
    validation,
    wire,
    reduction,
  };
  const parts = { job: asBefore, gpu, ...schedules, dataset: dataset.sha256 };
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex');
}
