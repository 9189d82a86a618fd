/** Evaluates the saved weights of a run. */
import { fillFromTensors, optimizerDefaults } from '@lockstep/core';
import { chooseEngine, type EngineKind, parseTopology } from '@lockstep/engine';
import { defaultNumThreads, WorkerPool } from '@lockstep/worker';
import { checkFits } from './model.ts';
import { readRun, weightsSha256 } from './run-folder.ts';
import { type DataSelection, describeData, loadData, type RunContext } from './setup.ts';

export interface EvaluateOptions extends DataSelection {
  /** Folder of a run, or `latest`. */
  readonly run: string;
  readonly workers: number | undefined;
  readonly engine: EngineKind | 'auto';
  readonly device: string;
}

export interface EvaluationReport {
  readonly runDir: string;
  readonly dataset: ReturnType<typeof describeData>;
  readonly engine: string;
  readonly testLoss: number;
  readonly testAccuracy: number;
  readonly samples: number;
  readonly weightsSha256: string;
}

/**
 * Loss and accuracy of a run's weights on the test pictures.
 * @throws LockstepError
 */
export async function evaluate(options: EvaluateOptions, context: RunContext = {}): Promise<EvaluationReport> {
  const run = await readRun(options.run);
  const network = parseTopology(run.modelTopology);
  const dataset = await loadData(options, context);
  checkFits(network, dataset);
  const engine = await chooseEngine(options.engine, options.device, { network, labelSmoothing: 0 });
  const { layout } = network;
  const pool = new WorkerPool({
    job: {
      topology: run.modelTopology,
      engine: engine.kind,
      labelSmoothing: 0,
      optimizer: optimizerDefaults.sgd,
      seed: 0,
      // Nothing is trained.
      numSamples: 1,
      numShards: 1,
      batchSize: 1,
    },
    network,
    train: undefined,
    test: dataset.test,
    numThreads: options.workers ?? defaultNumThreads(),
    onRecovery: undefined,
  });
  try {
    const parameters = pool.parameters(0);
    fillFromTensors(layout, parameters, run.tensors, run.path);
    const { lossSum, numCorrect, count } = await pool.evaluate(0);
    return {
      runDir: run.path,
      dataset: describeData(dataset),
      engine: `${engine.kind} on ${engine.device}`,
      testLoss: lossSum / count,
      testAccuracy: numCorrect / count,
      samples: count,
      weightsSha256: weightsSha256(parameters),
    };
  } finally {
    await pool.close();
  }
}
