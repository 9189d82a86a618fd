/** Evaluates the saved weights of a run. */
import { fillFromTensors, optimizerDefaults } from '@lockstep/core';
import { chooseEngine, numEngineThreads, parseTopology } from '@lockstep/engine';
import { computeOptions, WorkerPool } from '@lockstep/worker';
import { z } from 'zod';
import { checkAgainst, dataOptions, runOption, viewOptions } from './config.ts';
import { checkFits } from './model.ts';
import { readRun, savedViews, weightsSha256 } from './run-folder.ts';
import { type ScoreReport, scorePredictions } from './scores.ts';
import { describeData, loadData, type RunContext } from './setup.ts';

export const evaluateOptions = z.strictObject({
  run: runOption,
  ...dataOptions,
  ...computeOptions,
  ...viewOptions,
  limitTest: z.int().positive().optional().describe('evaluate on the first N samples only'),
});
export type EvaluateOptions = z.input<typeof evaluateOptions>;

export interface EvaluationReport extends ScoreReport {
  readonly runDir: string;
  readonly model: string;
  readonly dataset: ReturnType<typeof describeData>;
  readonly engine: string;
  readonly testLoss: number;
  readonly testAccuracy: number;
  readonly samples: number;
  /** Whether the mean over each picture and its mirror image was taken, and over both moved by so many pixels. */
  readonly testFlip: boolean;
  readonly testShift: number;
  readonly weightsSha256: string;
  readonly classNames: readonly string[];
  /** [samples] predicted class of each test picture. */
  readonly predictions: Uint8Array;
}

/**
 * Loss, accuracy and scores of a run's weights on the test pictures.
 * @throws LockstepError
 */
export async function evaluate(options: EvaluateOptions = {}, context: RunContext = {}): Promise<EvaluationReport> {
  const config = checkAgainst(evaluateOptions, options, 'evaluate');
  const run = await readRun(config.run);
  const network = parseTopology(run.modelTopology);
  const dataset = await loadData(config, context);
  checkFits(network, dataset);
  const engine = await chooseEngine(config.engine, config.device, { network, labelSmoothing: 0 });
  const views = savedViews(run, config);
  const { layout } = network;
  const pool = new WorkerPool({
    job: {
      topology: run.modelTopology,
      engine: engine.kind,
      device: engine.device,
      labelSmoothing: 0,
      augmentation: undefined,
      optimizer: optimizerDefaults.sgd,
      ema: 0,
      keepsReference: false,
      reduction: 'exact',
      views,
      seed: 0,
      // Nothing is trained.
      numSamples: 1,
      numShards: 1,
      batchSize: 1,
    },
    network,
    train: undefined,
    test: dataset.test,
    numThreads: numEngineThreads(engine, config.workers),
    onRecovery: undefined,
  });
  try {
    const parameters = pool.parameters(0);
    fillFromTensors(layout, parameters, run.tensors, run.path);
    const { lossSum, numCorrect, count, predictions } = await pool.evaluate(0);
    return {
      runDir: run.path,
      model: network.name,
      dataset: describeData(dataset),
      engine: `${engine.kind} on ${engine.device}`,
      testLoss: lossSum / count,
      testAccuracy: numCorrect / count,
      samples: count,
      testFlip: views.flip,
      testShift: views.shift,
      weightsSha256: weightsSha256(parameters),
      classNames: dataset.classNames,
      predictions,
      ...scorePredictions(dataset.test.labels, predictions, dataset.classNames),
    };
  } finally {
    await pool.close();
  }
}
