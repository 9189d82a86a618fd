/** A whole run of a recipe, as `python/train_recipe.py` takes it. */
import { type LoadedModel, resolveConfig, type TrainOptions, trainOptions } from '@lockstep/coordinator';
import { learningRateAt, type OptimizerConfig } from '@lockstep/core';
import type { Recipe } from '@lockstep/engine';
import { describeNetwork, type NetworkDescription } from './network-description.ts';

/** What a recipe says of a run, word for word. */
type Settings = Pick<
  Recipe,
  'epochs' | 'batchSize' | 'labelSmoothing' | 'flip' | 'shift' | 'erase' | 'ema' | 'testFlip' | 'testShift'
>;

export interface TorchJob extends Settings {
  readonly network: NetworkDescription;
  /** Folder with the four files, plain. */
  readonly dataDir: string;
  /** Only so many samples; null for all. */
  readonly limitTrain: number | null;
  readonly limitTest: number | null;
  readonly seed: number;
  readonly optimizer: OptimizerConfig;
  /** Of every step of the run. */
  readonly learningRates: readonly number[];
}

/** Where a run finds its pictures. */
export interface TorchData {
  readonly folder: string;
  /** Samples in the training set, before a limit. */
  readonly numTrain: number;
}

/**
 * The job that trains a model as Lockstep would with the same options, in steps of as many samples.
 * @param options as for `train()`; what only concerns where Lockstep computes is left aside
 */
export function torchJob({ network, recipe }: LoadedModel, options: TrainOptions, data: TorchData): TorchJob {
  const config = resolveConfig(trainOptions.parse(options), recipe);
  const { epochs, batchSize, optimizer, learningRate, schedule, warmupSteps, seed } = config;
  const numTrain = Math.min(data.numTrain, config.limitTrain ?? Infinity);
  const totalSteps = epochs * Math.ceil(numTrain / batchSize);
  const plan = { name: schedule, learningRate, warmupSteps, totalSteps };
  const { labelSmoothing, flip, shift, erase, ema, testFlip, testShift } = config;
  return {
    network: describeNetwork(network),
    dataDir: data.folder,
    limitTrain: config.limitTrain ?? null,
    limitTest: config.limitTest ?? null,
    seed,
    epochs,
    batchSize,
    optimizer,
    learningRates: Array.from({ length: totalSteps }, (_, step) => learningRateAt(plan, step)),
    labelSmoothing,
    flip,
    shift,
    erase,
    ema,
    testFlip,
    testShift,
  };
}
