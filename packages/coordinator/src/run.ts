/** A run, step after step: initial weights or a checkpoint, epochs of steps, evaluation, checkpoints, final weights. */
import {
  initializeParameters,
  LockstepError,
  learningRateAt,
  type Schedule,
  type ShardPlan,
  type SumFormat,
} from '@lockstep/core';
import { chooseEngine, isPlain } from '@lockstep/engine';
import type { DoneEvent, EpochEvent, ModelEvent, StepEvent, TrainEvent, WorkerEvent } from '@lockstep/protocol';
import { defaultNumThreads, MAX_STEPS, type StepPlan, type WorkerPool } from '@lockstep/worker';
import { CheckpointStore, type PartialEpoch, type Position } from './checkpoint.ts';
import { type TrainConfig, viewsOf } from './config.ts';
import { EpochSums, NOTHING } from './epoch-sums.ts';
import { LOCAL, type StepReport } from './fleet/index.ts';
import type { RunData } from './hold-out.ts';
import { Inbox } from './inbox.ts';
import type { LoadedModel } from './model.ts';
import { ModelCard } from './model-card.ts';
import type { Observatory } from './observe/index.ts';
import { RunFolder, weightsSha256 } from './run-folder.ts';
import { describeRun, jobIdentity, jobOf } from './run-job.ts';
import { Target } from './target.ts';
import { WireChoice } from './wire-choice.ts';
import { Workplace } from './workplace.ts';

const PROGRESS_INTERVAL_MS = 100;

/** Epochs that end sooner after a checkpoint get none: writing it takes about 10 ms of a processor. */
const CHECKPOINT_INTERVAL_MS = 1000;
/** How long the worker may go on by itself: short against a person's patience, long against a message. */
const MOMENT_MS = 150;

type Scores = Pick<DoneEvent, 'testLoss' | 'testAccuracy'>;

interface RunParts {
  readonly config: TrainConfig;
  readonly model: LoadedModel;
  readonly plan: ShardPlan;
  readonly folder: RunFolder;
  readonly workplace: Workplace;
  readonly worker: Omit<WorkerEvent, 'state'>;
  readonly checkpoints: CheckpointStore;
  readonly wire: WireChoice;
  readonly card: ModelCard;
  readonly inbox: Inbox<TrainEvent>;
  readonly resumed: boolean;
}

export class Run {
  readonly #parts: RunParts;
  readonly #config: TrainConfig;
  readonly #plan: ShardPlan;
  readonly #pool: WorkerPool;
  readonly #schedule: Schedule;
  /** Events that happen while something else is under way. */
  readonly #inbox: Inbox<TrainEvent>;
  /** The checkpoint that is being written. */
  #saving: Promise<void> = Promise.resolve();
  /** When the latest checkpoint was begun. */
  #savedAt = Number.NEGATIVE_INFINITY;
  /** Steps committed; also the version of the parameters. */
  #runStep = 0;
  /** Steps to ask the workers for at once. */
  #stepsPerMoment = 1;
  #isFinished = false;
  /** Kinds of engines that took part before the run was resumed. */
  #enginesBefore: readonly string[] = [];
  /** Of the latest step of this process; undefined before. */
  #lastFormat: SumFormat | undefined;
  #target = new Target(undefined, undefined);

  private constructor(parts: RunParts) {
    const { config, plan, workplace, inbox } = parts;
    this.#parts = parts;
    this.#config = config;
    this.#plan = plan;
    this.#pool = workplace.pool;
    this.#inbox = inbox;
    this.#schedule = {
      name: config.schedule,
      learningRate: config.learningRate,
      warmupSteps: config.warmupSteps,
      totalSteps: plan.stepsPerEpoch * config.epochs,
    };
  }

  /** Chooses the engine, makes the run's folder, or opens that of the run to go on with, starts the local worker and listens. */
  static async start(
    config: TrainConfig,
    model: LoadedModel,
    dataset: RunData,
    plan: ShardPlan,
    resumed: string | undefined,
    pages: string | undefined,
  ): Promise<Run> {
    const { network, topology } = model;
    const { batchSize, labelSmoothing, shards } = config;
    const engine = await chooseEngine(
      config.engine,
      config.device,
      { network, labelSmoothing },
      {
        microBatch: Math.ceil(batchSize / shards),
        maxGroup: shards,
        numThreads: config.workers || defaultNumThreads(),
      },
    );
    const folder =
      resumed === undefined ? await RunFolder.create(config.runDir, model.name, new Date()) : RunFolder.open(resumed);
    if (resumed === undefined) await describeRun(folder, config, model, dataset, engine);
    const job = jobOf(config, topology, engine, dataset.train.count);
    const identity = jobIdentity(job, config, dataset);
    const checkpoints = new CheckpointStore(folder.path, network.layout, identity, config.keepCheckpoints);
    const inbox = new Inbox<TrainEvent>();
    const report = (event: TrainEvent): void => inbox.push(event);
    const wire = new WireChoice(config.wire);
    const onStep = ({ runStep, wire: format, totalMs, answers }: StepReport): void => {
      const isShared = answers.some(({ member }) => member !== LOCAL);
      const decision = wire.observe({ wire: format, totalMs, isShared });
      if (decision) report({ event: 'wire', ...decision, runStep: runStep + 1 });
    };
    const workplace = await Workplace.open({
      config,
      model,
      dataset,
      plan,
      job,
      engine,
      folder,
      report,
      onStep,
      pages,
    });
    const worker = {
      event: 'worker',
      id: 'local',
      engine: engine.kind,
      device: engine.device,
      threads: workplace.pool.numThreads,
      reason: engine.reason,
    } as const;
    return new Run({
      config,
      model,
      plan,
      folder,
      workplace,
      worker,
      checkpoints,
      wire,
      card: new ModelCard({ folder, config, model, dataset, engine }),
      inbox,
      resumed: resumed !== undefined,
    });
  }

  get folder(): RunFolder {
    return this.#parts.folder;
  }

  get observatory(): Observatory {
    return this.#parts.workplace.observatory;
  }

  /** What to type on another machine, with a token that was made here. */
  get invitation(): string {
    return this.#parts.workplace.invitation;
  }

  async *events(signal: AbortSignal | undefined): AsyncGenerator<TrainEvent, void, void> {
    const started = performance.now();
    const { checkpoints, model, resumed, workplace, worker, wire } = this.#parts;
    yield workplace.listening;
    let start: Position = { epoch: 0, step: 0, runStep: 0 };
    let partialEpoch = NOTHING;
    const checkpoint = resumed ? await checkpoints.loadLatest((reason) => this.#warn(reason)) : undefined;
    if (checkpoint) {
      start = checkpoint.position;
      partialEpoch = checkpoint.partialEpoch;
      this.#runStep = start.runStep;
      this.#pool.parameters(this.#runStep).set(checkpoint.parameters);
      this.#pool.optimizerState(this.#runStep).forEach((values, i) => {
        values.set(checkpoint.optimizer[i]!);
      });
      if (checkpoint.average) this.#pool.average(this.#runStep)?.set(checkpoint.average);
      this.#enginesBefore = checkpoint.engines;
      if (checkpoint.wire) wire.resume(checkpoint.wire);
      if (checkpoint.reference) this.#pool.reference(this.#runStep)?.set(checkpoint.reference);
    } else {
      initializeParameters(model.network.layout, this.#config.seed, this.#pool.parameters(0));
      this.#pool.average(0)?.set(this.#pool.parameters(0));
      this.#pool.reference(0)?.set(this.#pool.parameters(0));
    }
    if (this.#config.workers !== 0) {
      yield* this.#inbox.during(this.#pool.prepare());
      yield { ...worker, state: 'ready' };
    }
    yield this.#describe();
    if (resumed) {
      const { epoch, step, runStep } = start;
      yield { event: 'resumed', runDir: this.folder.path, epoch: epoch + 1, step, runStep };
    }

    let last: EpochEvent | undefined;
    let { epoch } = start;
    this.#target = new Target(this.#config.targetAccuracy, checkpoint?.target);
    for (; epoch < this.#config.epochs && !this.#target.isReached; epoch++) {
      const first = epoch === start.epoch ? start.step : 0;
      for await (const event of this.#epoch(epoch, first, epoch === start.epoch ? partialEpoch : NOTHING, signal)) {
        if (event.event === 'epoch') {
          last = event;
          this.#target.evaluated(event.testAccuracy);
        }
        yield event;
      }
      if (this.#endsWith(epoch) || performance.now() - this.#savedAt >= CHECKPOINT_INTERVAL_MS) {
        await this.#save({ epoch: epoch + 1, step: 0, runStep: this.#runStep }, NOTHING);
      }
    }
    await this.#saving;
    yield* this.#inbox.drain();
    // The run was ended between its last epoch and its end: only the evaluation is repeated.
    last ??= await this.#evaluate(epoch - 1, new EpochSums(NOTHING));
    const done = await this.#finish(last, performance.now() - started);
    this.#isFinished = true;
    yield* this.#inbox.drain();
    yield done;
  }

  async *#epoch(
    epoch: number,
    first: number,
    partialEpoch: PartialEpoch,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<TrainEvent, void, void> {
    const sums = new EpochSums(partialEpoch);
    let shownAt = 0;
    for (let step = first; step < this.#plan.stepsPerEpoch; ) {
      if (signal?.aborted) await this.#interrupt(epoch, step, sums);
      const steps = yield* this.#inbox.during(this.#steps(epoch, step, sums, signal));
      step += steps.length;
      const { checkpointEvery } = this.#config;
      if (checkpointEvery > 0 && this.#runStep % checkpointEvery === 0) {
        await this.#save({ epoch, step, runStep: this.#runStep }, sums);
      }
      yield* this.#inbox.drain();
      if (this.#config.logEvery > 0) yield* steps.filter(({ runStep }) => runStep % this.#config.logEvery === 0);
      const now = performance.now();
      if (now - shownAt >= PROGRESS_INTERVAL_MS) {
        shownAt = now;
        yield this.#progress(epoch, step, sums, 'train');
      }
    }
    yield this.#progress(epoch, this.#plan.stepsPerEpoch, sums, 'evaluate');
    yield yield* this.#inbox.during(this.#evaluate(epoch, sums));
  }

  /** Several views of each picture take several times as long, so before the end the pictures as they are must do. */
  async #evaluate(epoch: number, sums: EpochSums): Promise<EpochEvent> {
    const split = this.#config.validation > 0 ? 'validation' : 'test';
    const isLast = this.#endsWith(epoch);
    let plain = !isLast && !isPlain(viewsOf(this.#config));
    let evaluation = await this.#pool.evaluate(this.#runStep, split, plain);
    if (plain && this.#target.isNear(evaluation.numCorrect / evaluation.count)) {
      plain = false;
      evaluation = await this.#pool.evaluate(this.#runStep, split);
    }
    this.#parts.workplace.observatory.evaluated(epoch + 1, evaluation.predictions);
    if (split === 'test') this.#parts.card.evaluated(evaluation.predictions);
    const count = Math.max(1, sums.count);
    return {
      event: 'epoch',
      epoch: epoch + 1,
      epochs: this.#config.epochs,
      trainLoss: sums.lossSum / count,
      trainAccuracy: sums.numCorrect / count,
      testLoss: evaluation.lossSum / evaluation.count,
      testAccuracy: evaluation.numCorrect / evaluation.count,
      ...(split === 'validation' ? { evaluatedOn: split } : {}),
      ...(plain ? { plain } : {}),
      samples: sums.count,
      samplesPerSecond: sums.samplesPerSecond,
      seconds: (performance.now() - sums.started) / 1000,
    };
  }

  /** Whether no epoch comes after this one. */
  #endsWith(epoch: number): boolean {
    return epoch + 1 === this.#config.epochs || this.#target.isReached;
  }

  get #engines(): string[] {
    return [...new Set([...this.#enginesBefore, ...this.#parts.workplace.fleet.engines])].sort();
  }

  /** Begins to write a checkpoint, once the one before is written; training goes on meanwhile. */
  async #save(position: Position, { lossSum, numCorrect, count }: PartialEpoch): Promise<void> {
    await this.#saving;
    this.#savedAt = performance.now();
    const { checkpoints, workplace, wire } = this.#parts;
    const checkpoint = {
      position,
      partialEpoch: { lossSum, numCorrect, count },
      parameters: this.#pool.parameters(position.runStep).slice(),
      optimizer: this.#pool.optimizerState(position.runStep).map((values) => values.slice()),
      average: this.#pool.average(position.runStep)?.slice(),
      reference: this.#pool.reference(position.runStep)?.slice(),
      target: this.#target.state,
      wire: wire.state,
      engines: this.#engines,
    };
    const started = performance.now();
    const ended = (result: 'saved' | 'failed'): void =>
      workplace.observatory.checkpoint(result, performance.now() - started);
    this.#saving = checkpoints.save(checkpoint).then(
      () => ended('saved'),
      (error: Error) => {
        ended('failed');
        this.#warn(`The checkpoint at step ${position.runStep} could not be saved: ${error.message}`);
      },
    );
  }

  #warn(message: string): void {
    const nextStep = 'Training goes on. Look at the free space and the permissions of the run folder.';
    this.#inbox.push({ event: 'error', fatal: false, code: 'checkpoint-failed', message, nextStep });
  }

  /**
   * Some steps from `first` on: for each the gradients of all shards, their sum along the tree, and the optimizer's update.
   * As many as the workers do in a moment, so that short steps do not wait for messages; fewer when the run is stopped.
   */
  async #steps(
    epoch: number,
    first: number,
    epochSums: EpochSums,
    signal: AbortSignal | undefined,
  ): Promise<StepEvent[]> {
    const started = performance.now();
    const { checkpointEvery } = this.#config;
    const untilCheckpoint = checkpointEvery > 0 ? checkpointEvery - (this.#runStep % checkpointEvery) : MAX_STEPS;
    const numSteps = Math.min(this.#stepsPerMoment, this.#plan.stepsPerEpoch - first, untilCheckpoint);
    const wire = this.#startFormat();
    const plans = Array.from({ length: numSteps }, (_, i): StepPlan => {
      const runStep = this.#runStep + i;
      const learningRate = learningRateAt(this.#schedule, runStep);
      return { epoch, step: first + i, runStep, wire, count: this.#plan.stepSize(first + i), learningRate };
    });
    const allSums = await this.#parts.workplace.fleet.steps(plans, this.#config.clipNorm, signal);
    this.#runStep += allSums.length;
    const msPerStep = (performance.now() - started) / Math.max(1, allSums.length);
    this.#stepsPerMoment = Math.max(1, Math.min(MAX_STEPS, Math.floor(MOMENT_MS / msPerStep)));
    const { observatory } = this.#parts.workplace;
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
      const event: StepEvent = {
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
      observatory.step(event);
      return event;
    });
  }

  /** The format of the next steps. Where rounding begins, workers have the parameters as they are. */
  #startFormat(): SumFormat {
    const { format } = this.#parts.wire;
    if (format !== 'fp32' && this.#lastFormat === 'fp32') {
      this.#pool.reference(this.#runStep)!.set(this.#pool.parameters(this.#runStep));
    }
    this.#lastFormat = format;
    return format;
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
      name: this.#parts.model.name,
      numParameters: this.#parts.model.network.layout.numParameters,
      epochs: config.epochs,
      batchSize: config.batchSize,
      shards: config.shards,
      stepsPerEpoch: this.#plan.stepsPerEpoch,
      optimizer: optimizer.name,
      learningRate: config.learningRate,
      schedule: config.schedule,
      seed: config.seed,
      ...(config.testFlip ? { testFlip: true } : {}),
      ...(config.testShift > 0 ? { testShift: config.testShift } : {}),
      ...(config.wire === 'fp32' ? {} : { wire: config.wire }),
      runDir: this.folder.path,
    };
  }

  /** Test pictures that were spared during training are evaluated now. */
  async #finalScores({ testLoss, testAccuracy, evaluatedOn }: EpochEvent): Promise<Partial<DoneEvent> & Scores> {
    if (evaluatedOn !== 'validation') return { testLoss, testAccuracy };
    const test = await this.#pool.evaluate(this.#runStep);
    this.#parts.card.evaluated(test.predictions);
    return {
      testLoss: test.lossSum / test.count,
      testAccuracy: test.numCorrect / test.count,
      validationLoss: testLoss,
      validationAccuracy: testAccuracy,
    };
  }

  async #finish(last: EpochEvent, ms: number): Promise<DoneEvent> {
    const parameters = this.#pool.result(this.#runStep).slice();
    const sha256 = weightsSha256(parameters);
    const done: DoneEvent = {
      event: 'done',
      ...(await this.#finalScores(last)),
      weightsSha256: sha256,
      runDir: this.folder.path,
      samples: this.#plan.numSamples * last.epoch,
      seconds: ms / 1000,
      engines: this.#engines,
      ...this.#target.outcome,
    };
    // Before the weights, which make the run a finished one.
    await this.#parts.card.write(done).catch((error: LockstepError) => {
      const { code, message, nextStep } = error;
      this.#inbox.push({ event: 'error', fatal: false, code, message, nextStep });
    });
    await this.folder.writeWeights(this.#parts.model.network.layout, parameters, {
      model: this.#parts.model.name,
      weightsSha256: sha256,
      testAccuracy: String(done.testAccuracy),
      ...(this.#config.testFlip ? { testFlip: 'true' } : {}),
      ...(this.#config.testShift > 0 ? { testShift: String(this.#config.testShift) } : {}),
    });
    await this.folder.removeAccess();
    return done;
  }

  async #interrupt(epoch: number, step: number, sums: EpochSums): Promise<never> {
    await this.#save({ epoch, step, runStep: this.#runStep }, sums);
    await this.#saving;
    const { path } = this.folder;
    throw new LockstepError(
      'interrupted',
      `Interrupted in epoch ${epoch + 1} after ${step} of ${this.#plan.stepsPerEpoch} steps; a checkpoint is in ${path}.`,
      `Go on with: lockstep train --resume ${path}`,
    );
  }

  /** Ends the threads and the connections. Nothing is written to the folder afterwards. */
  async close(): Promise<void> {
    await this.#parts.workplace.close(this.#isFinished);
    // Whoever leaves the events early may take the folder away next.
    await this.#saving;
  }
}
