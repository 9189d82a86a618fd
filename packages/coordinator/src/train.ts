/** The run, top to bottom: data, model, worker, and then step after step. */
import { initializeParameters, LockstepError, learningRateAt, type Schedule, ShardPlan } from '@lockstep/core';
import type { ImageDataset } from '@lockstep/dataset';
import { chooseEngine } from '@lockstep/engine';
import type { DoneEvent, EpochEvent, ModelEvent, StepEvent, TrainEvent, WorkerEvent } from '@lockstep/protocol';
import { defaultNumThreads, MAX_STEPS, type StepPlan, type StepSums, WorkerPool } from '@lockstep/worker';
import { checkOptions, resolveConfig, type TrainConfig, type TrainOptions } from './config.ts';
import { checkFits, type LoadedModel, loadModel } from './model.ts';
import { RunFolder, weightsSha256 } from './run-folder.ts';
import { describeData, loadData, type RunContext } from './setup.ts';

const PROGRESS_INTERVAL_MS = 100;
/** How long the worker may go on by itself: short against a person's patience, long against a message. */
const MOMENT_MS = 80;

/**
 * Trains a model and yields what happens. Leaving the loop, or aborting `context.signal`, ends the run and its threads.
 *
 * The final weights depend on the options and the data, not on `workers`: the same options give the same
 * `weightsSha256` for any number of them (on one kind of engine and processor).
 *
 * @throws LockstepError with a code and a next step; `interrupted` when aborted, after a checkpoint was saved
 */
export async function* train(
  options: TrainOptions = {},
  context: RunContext = {},
): AsyncGenerator<TrainEvent, void, void> {
  const checked = checkOptions(options);
  const model = await loadModel(checked.model);
  const config = resolveConfig(checked, model.recipe);
  const dataset = await loadData(config, context);
  checkFits(model.network, dataset);
  const plan = new ShardPlan(dataset.train.count, config.shards, config.batchSize);
  const described = describeData(dataset);
  yield described;

  const run = await Run.start(config, model, dataset, plan);
  try {
    await run.folder.appendEvent(described);
    for await (const event of run.events(context.signal)) {
      if (event.event !== 'progress') await run.folder.appendEvent(event);
      yield event;
    }
  } finally {
    await run.close();
  }
}

/** Sums over the steps of an epoch so far. */
class EpochSums {
  lossSum = 0;
  numCorrect = 0;
  count = 0;
  readonly started = performance.now();
  #lastStepAt = this.started;

  add(sums: StepSums): void {
    this.lossSum += sums.lossSum;
    this.numCorrect += sums.numCorrect;
    this.count += sums.count;
    this.#lastStepAt = performance.now();
  }

  /** Of all that happened since the epoch began, not of the steps alone. */
  get samplesPerSecond(): number {
    return (this.count / Math.max(1e-3, this.#lastStepAt - this.started)) * 1000;
  }
}

class Run {
  readonly folder: RunFolder;
  readonly #config: TrainConfig;
  readonly #model: LoadedModel;
  readonly #plan: ShardPlan;
  readonly #pool: WorkerPool;
  readonly #schedule: Schedule;
  readonly #worker: Omit<WorkerEvent, 'state'>;
  /** Events that happened while a step was under way. */
  readonly #pending: TrainEvent[] = [];
  /** Steps committed; also the version of the parameters. */
  #runStep = 0;
  /** Steps to ask the worker for at once. */
  #stepsPerMoment = 1;

  private constructor(
    config: TrainConfig,
    model: LoadedModel,
    plan: ShardPlan,
    folder: RunFolder,
    worker: Omit<WorkerEvent, 'state'>,
    createPool: (onRecovery: (reason: string) => void) => WorkerPool,
  ) {
    this.#config = config;
    this.#model = model;
    this.#plan = plan;
    this.folder = folder;
    this.#worker = worker;
    this.#pool = createPool((reason) => this.#pending.push({ ...this.#worker, state: 'recovered', reason }));
    this.#schedule = {
      name: config.schedule,
      learningRate: config.learningRate,
      warmupSteps: config.warmupSteps,
      totalSteps: plan.stepsPerEpoch * config.epochs,
    };
  }

  /** Chooses the engine, makes the run's folder and starts the local worker. */
  static async start(config: TrainConfig, model: LoadedModel, dataset: ImageDataset, plan: ShardPlan): Promise<Run> {
    const { network, topology } = model;
    const engine = await chooseEngine(config.engine, config.device, { network, labelSmoothing: config.labelSmoothing });
    const folder = await RunFolder.create(config.runDir, model.name, new Date());
    const numThreads = config.workers ?? defaultNumThreads();
    const { train: _, test: __, classNames: ___, ...provenance } = dataset;
    await folder.writeConfig({
      startedAt: new Date().toISOString(),
      node: process.version,
      platform: `${process.platform}-${process.arch}`,
      engine,
      config,
      dataset: { ...provenance, trainSamples: dataset.train.count, testSamples: dataset.test.count },
    });
    await folder.writeModel(network.modelTopology);
    const worker = {
      event: 'worker',
      id: 'local',
      engine: engine.kind,
      device: engine.device,
      threads: numThreads,
      reason: engine.reason,
    } as const;
    const job = {
      topology,
      engine: engine.kind,
      labelSmoothing: config.labelSmoothing,
      optimizer: config.optimizer,
      seed: config.seed,
      numSamples: dataset.train.count,
      numShards: config.shards,
      batchSize: config.batchSize,
    };
    const { train: trainSplit, test } = dataset;
    return new Run(config, model, plan, folder, worker, (onRecovery) => {
      return new WorkerPool({ job, layout: network.layout, train: trainSplit, test, numThreads, onRecovery });
    });
  }

  async *events(signal: AbortSignal | undefined): AsyncGenerator<TrainEvent, void, void> {
    const started = performance.now();
    const { layout } = this.#model.network;
    initializeParameters(layout, this.#config.seed, this.#pool.parameters(0));
    await this.#pool.prepare();
    yield { ...this.#worker, state: 'ready' };
    yield this.#describe();

    let last: EpochEvent | undefined;
    for (let epoch = 0; epoch < this.#config.epochs; epoch++) {
      for await (const event of this.#epoch(epoch, signal)) {
        if (event.event === 'epoch') last = event;
        yield event;
      }
    }
    yield await this.#finish(last!, performance.now() - started);
  }

  async *#epoch(epoch: number, signal: AbortSignal | undefined): AsyncGenerator<TrainEvent, void, void> {
    const sums = new EpochSums();
    let shownAt = 0;
    for (let step = 0; step < this.#plan.stepsPerEpoch; ) {
      if (signal?.aborted) await this.#interrupt(epoch, step, sums);
      const steps = await this.#steps(epoch, step, sums);
      step += steps.length;
      yield* this.#pending.splice(0);
      if (this.#config.logEvery > 0) yield* steps.filter(({ runStep }) => runStep % this.#config.logEvery === 0);
      const now = performance.now();
      if (now - shownAt >= PROGRESS_INTERVAL_MS) {
        shownAt = now;
        yield this.#progress(epoch, step, sums, 'train');
      }
    }
    yield this.#progress(epoch, this.#plan.stepsPerEpoch, sums, 'evaluate');
    const test = await this.#pool.evaluate(this.#runStep);
    yield {
      event: 'epoch',
      epoch: epoch + 1,
      epochs: this.#config.epochs,
      trainLoss: sums.lossSum / sums.count,
      trainAccuracy: sums.numCorrect / sums.count,
      testLoss: test.lossSum / test.count,
      testAccuracy: test.numCorrect / test.count,
      samples: sums.count,
      samplesPerSecond: sums.samplesPerSecond,
      seconds: (performance.now() - sums.started) / 1000,
    };
  }

  /**
   * Some steps from `first` on: for each the gradients of all shards, their sum along the tree, and the optimizer's update.
   * As many as the worker does in a moment, so that short steps do not wait for messages.
   */
  async #steps(epoch: number, first: number, epochSums: EpochSums): Promise<StepEvent[]> {
    const started = performance.now();
    const numSteps = Math.min(this.#stepsPerMoment, this.#plan.stepsPerEpoch - first);
    const plans = Array.from({ length: numSteps }, (_, i): StepPlan => {
      const runStep = this.#runStep + i;
      const learningRate = learningRateAt(this.#schedule, runStep);
      return { epoch, step: first + i, runStep, count: this.#plan.stepSize(first + i), learningRate };
    });
    const allSums = await this.#pool.step(plans, this.#config.clipNorm);
    this.#runStep += numSteps;
    const msPerStep = (performance.now() - started) / numSteps;
    this.#stepsPerMoment = Math.max(1, Math.min(MAX_STEPS, Math.floor(MOMENT_MS / msPerStep)));
    return allSums.map((sums, i): StepEvent => {
      const { step, runStep, learningRate } = plans[i]!;
      if (!Number.isFinite(sums.lossSum)) {
        throw new LockstepError(
          'diverged',
          `The loss became ${sums.lossSum} in epoch ${epoch + 1}, step ${step + 1} (learning rate ${learningRate}).`,
          'Use a smaller --learning-rate, --warmup-steps, or --clip-norm 1.',
        );
      }
      epochSums.add(sums);
      return {
        event: 'step',
        epoch: epoch + 1,
        step: step + 1,
        runStep: runStep + 1,
        loss: sums.lossSum / sums.count,
        accuracy: sums.numCorrect / sums.count,
        samples: sums.count,
        learningRate,
        seconds: msPerStep / 1000,
      };
    });
  }

  #progress(epoch: number, step: number, sums: EpochSums, phase: 'train' | 'evaluate'): TrainEvent {
    const { epochs } = this.#config;
    const { stepsPerEpoch } = this.#plan;
    return {
      event: 'progress',
      epoch: epoch + 1,
      epochs,
      step,
      stepsPerEpoch,
      fraction: (epoch * stepsPerEpoch + step) / (epochs * stepsPerEpoch),
      samplesPerSecond: sums.samplesPerSecond,
      trainLoss: sums.lossSum / sums.count,
      trainAccuracy: sums.numCorrect / sums.count,
      phase,
    };
  }

  #describe(): ModelEvent {
    const { optimizer, ...config } = this.#config;
    return {
      event: 'model',
      name: this.#model.name,
      numParameters: this.#model.network.layout.numParameters,
      epochs: config.epochs,
      batchSize: config.batchSize,
      shards: config.shards,
      stepsPerEpoch: this.#plan.stepsPerEpoch,
      optimizer: optimizer.name,
      learningRate: config.learningRate,
      schedule: config.schedule,
      seed: config.seed,
      runDir: this.folder.path,
    };
  }

  async #finish(last: EpochEvent, ms: number): Promise<DoneEvent> {
    const parameters = this.#pool.parameters(this.#runStep).slice();
    const sha256 = weightsSha256(parameters);
    await this.folder.writeWeights(this.#model.network.layout, parameters, {
      model: this.#model.name,
      weightsSha256: sha256,
      testAccuracy: String(last.testAccuracy),
    });
    return {
      event: 'done',
      testLoss: last.testLoss,
      testAccuracy: last.testAccuracy,
      weightsSha256: sha256,
      runDir: this.folder.path,
      samples: last.samples * this.#config.epochs,
      seconds: ms / 1000,
    };
  }

  async #interrupt(epoch: number, step: number, sums: EpochSums): Promise<never> {
    const { lossSum, numCorrect, count } = sums;
    await this.folder.writeCheckpoint(
      this.#model.network.layout,
      this.#pool.parameters(this.#runStep),
      this.#pool.optimizerState(this.#runStep),
      {
        position: JSON.stringify({ epoch, step, runStep: this.#runStep }),
        epochSums: JSON.stringify({ lossSum, numCorrect, count }),
      },
    );
    throw new LockstepError(
      'interrupted',
      `Interrupted in epoch ${epoch + 1} after ${step} of ${this.#plan.stepsPerEpoch} steps; a checkpoint is in ${this.folder.path}.`,
      'Start again to train from the beginning.',
    );
  }

  async close(): Promise<void> {
    await this.#pool.close();
  }
}
