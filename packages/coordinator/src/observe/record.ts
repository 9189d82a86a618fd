/** What has happened in a run so far, kept up from its events: the source of every display and metric. */
import { randomUUID } from 'node:crypto';
import { LockstepError } from '@lockstep/core';
import type {
  DatasetEvent,
  EpochEvent,
  MemberStatus,
  ModelEvent,
  RunStatus,
  StepEvent,
  TrainEvent,
} from '@lockstep/protocol';
import type { MemberFacts, StepReport } from '../fleet/index.ts';
import { Curve } from './curve.ts';
import { logLine } from './log.ts';
import { Average, Rate } from './rate.ts';

/** Where the record looks when it is asked. */
export interface RecordSources {
  members(): readonly MemberFacts[];
  refused(): Record<string, number>;
  reassigned(): Record<string, number>;
}

const RATE_WINDOW_MS = 3_000;
const MAX_LOG_LINES = 200;

type State = RunStatus['state'];

export class RunRecord {
  readonly startId = randomUUID();
  readonly startedAt = Date.now();
  readonly version: string;
  readonly #sources: RecordSources;
  readonly #classNames: readonly string[];
  #state: State = 'starting';
  #reason: string | undefined;
  #dataset: DatasetEvent | undefined;
  #model: ModelEvent | undefined;
  #latest: StepEvent | undefined;
  /** Where the run goes on, before its first step. */
  #resumed: Extract<TrainEvent, { event: 'resumed' }> | undefined;
  #numSteps = 0;
  #numSamples = 0;
  #lastStepAt: number | undefined;
  readonly #epochs: EpochEvent[] = [];
  readonly #curve = new Curve();
  readonly #log: RunStatus['log'] = [];
  readonly #samples = new Rate(RATE_WINDOW_MS);
  readonly #steps = new Rate(RATE_WINDOW_MS);
  readonly #ownRates = new Map<string, Average>();
  /** Of the latest step, by who computed them. */
  #shards = new Map<string, number>();
  readonly #waits = new Map<string, { latestMs: number; totalMs: number }>();
  readonly #phases = {
    broadcast: new Average(),
    compute: new Average(),
    gather: new Average(),
    update: new Average(),
  };
  #predictions: RunStatus['predictions'];
  #result: RunStatus['result'];

  constructor(version: string, classNames: readonly string[], sources: RecordSources) {
    this.version = version;
    this.#classNames = classNames;
    this.#sources = sources;
  }

  get model(): ModelEvent | undefined {
    return this.#model;
  }

  get dataset(): DatasetEvent | undefined {
    return this.#dataset;
  }

  get latestStep(): StepEvent | undefined {
    return this.#latest;
  }

  /** Committed over the whole run. */
  get runStep(): number {
    return this.#latest?.runStep ?? this.#resumed?.runStep ?? 0;
  }

  /** Under way, from 1; 0 before the first step. */
  get epoch(): number {
    return this.#latest?.epoch ?? this.#resumed?.epoch ?? 0;
  }

  get latestEpoch(): EpochEvent | undefined {
    return this.#epochs.at(-1);
  }

  /** Committed by this process. */
  get numSteps(): number {
    return this.#numSteps;
  }

  /** Trained by this process. */
  get numSamples(): number {
    return this.#numSamples;
  }

  /** Milliseconds since 1970. */
  get lastStepAt(): number | undefined {
    return this.#lastStepAt;
  }

  get state(): State {
    return this.#state;
  }

  get samplesPerSecond(): number {
    return this.#samples.perSecond;
  }

  /** Total time that each member alone was waited for, in milliseconds. */
  get heldUpMs(): ReadonlyMap<string, number> {
    return new Map([...this.#waits].map(([id, { totalMs }]) => [id, totalMs]));
  }

  /** Rate of the run over the sum of its members' own rates. */
  get efficiency(): number | undefined {
    const own = [...this.#shards.keys()].reduce((sum, id) => sum + (this.ownRate(id) ?? 0), 0);
    return own > 0 && this.samplesPerSecond > 0 ? this.samplesPerSecond / own : undefined;
  }

  event(event: TrainEvent): void {
    switch (event.event) {
      case 'dataset':
        this.#dataset = event;
        break;
      case 'model':
        this.#model = event;
        break;
      case 'waiting':
        this.#become('waiting', `${event.ready} of ${event.needed} workers are ready`);
        break;
      case 'progress':
        this.#become(event.phase === 'evaluate' ? 'evaluating' : 'training', undefined);
        break;
      case 'epoch':
        // Evaluation is no time of training.
        this.#samples.pause();
        this.#steps.pause();
        this.#epochs.push(event);
        break;
      case 'resumed':
        this.#resumed = event;
        break;
      case 'worker':
        if (event.state === 'left') this.#forget(event.id);
        break;
      case 'done':
        this.#result = { testLoss: event.testLoss, testAccuracy: event.testAccuracy };
        this.#become('finished', undefined);
        break;
      default:
    }
    const line = logLine(event);
    if (line) this.#say(line.level, line.text);
  }

  /** A committed step. */
  step(event: StepEvent): void {
    if (this.#state !== 'training') this.#become('training', undefined);
    this.#latest = event;
    this.#numSteps++;
    this.#numSamples += event.samples;
    this.#lastStepAt = Date.now();
    this.#samples.add(event.samples);
    this.#steps.add(1);
    const { runStep, loss, accuracy } = event;
    this.#curve.add({ runStep, loss, accuracy, samplesPerSecond: this.#samples.perSecond });
  }

  /** What steps took. */
  report({ phases, answers, heldUp }: StepReport): void {
    for (const name of ['broadcast', 'compute', 'gather', 'update'] as const) this.#phases[name].add(phases[name]);
    const { batchSize = 0, shards = 1 } = this.#model ?? {};
    this.#shards = new Map();
    const present = new Set(this.#sources.members().map(({ id }) => id));
    for (const { member, from, to, computeMs } of answers) {
      // It may have gone since it answered.
      if (!present.has(member)) continue;
      this.#shards.set(member, (this.#shards.get(member) ?? 0) + to - from);
      const rate = this.#ownRates.get(member) ?? new Average();
      this.#ownRates.set(member, rate);
      if (computeMs > 0) rate.add(((batchSize * (to - from)) / shards / computeMs) * 1000);
    }
    for (const wait of this.#waits.values()) wait.latestMs = 0;
    if (!heldUp || !present.has(heldUp.member)) return;
    const { member, ms } = heldUp;
    this.#waits.set(member, { latestMs: ms, totalMs: (this.#waits.get(member)?.totalMs ?? 0) + ms });
  }

  /** What the model says about the test pictures. @param numPictures the first of them are shown */
  evaluated(epoch: number, labels: Uint8Array, predicted: Uint8Array, numPictures: number): void {
    const confusion = this.#classNames.map(() => this.#classNames.map(() => 0));
    predicted.forEach((prediction, i) => {
      confusion[labels[i]!]![prediction]!++;
    });
    const pictures = [...predicted.subarray(0, numPictures)].map((prediction, i) => {
      return { label: labels[i]!, predicted: prediction };
    });
    this.#predictions = { epoch, confusion, pictures };
  }

  /** The run ended by an error. */
  ended(error: unknown): void {
    const isInterrupted = error instanceof LockstepError && error.code === 'interrupted';
    const message = error instanceof Error ? error.message : String(error);
    this.#become(isInterrupted ? 'stopped' : 'failed', message);
    this.#say(isInterrupted ? 'info' : 'error', message);
  }

  status(): RunStatus {
    const { epochs = 0, stepsPerEpoch = 0 } = this.#model ?? {};
    const totalSteps = epochs * stepsPerEpoch;
    const { runStep, epoch } = this;
    const stepRate = this.#steps.perSecond;
    const isOver = this.#state === 'finished' || this.#state === 'failed' || this.#state === 'stopped';
    const phases = {
      broadcast: this.#phases.broadcast.value ?? 0,
      compute: this.#phases.compute.value ?? 0,
      gather: this.#phases.gather.value ?? 0,
      update: this.#phases.update.value ?? 0,
    };
    return {
      state: this.#state,
      reason: this.#reason,
      startedAt: this.startedAt,
      startId: this.startId,
      version: this.version,
      classNames: [...this.#classNames],
      dataset: this.#dataset,
      model: this.#model,
      runStep,
      totalSteps,
      epoch,
      // A run may stop before its last epoch.
      fraction: this.#state === 'finished' ? 1 : totalSteps > 0 ? Math.min(1, runStep / totalSteps) : 0,
      samplesPerSecond: this.#samples.perSecond,
      etaSeconds: !isOver && stepRate > 0 ? (totalSteps - runStep) / stepRate : undefined,
      epochs: this.#epochs,
      result: this.#result,
      curve: this.#curve.columns,
      members: this.#members(),
      phases: this.#phases.compute.value === undefined ? undefined : phases,
      efficiency: this.efficiency,
      refused: this.#sources.refused(),
      reassigned: this.#sources.reassigned(),
      predictions: this.#predictions,
      log: this.#log,
    };
  }

  #members(): MemberStatus[] {
    return this.#sources.members().map((member) => ({
      ...member,
      samplesPerSecond: this.#ownRates.get(member.id)?.value,
      waitMs: this.#waits.get(member.id)?.latestMs,
    }));
  }

  /** A member's own rate, in samples per second. */
  ownRate(id: string): number | undefined {
    return this.#ownRates.get(id)?.value;
  }

  /** How many shards of the latest step a member computed. */
  shardsOf(id: string): number {
    return this.#shards.get(id) ?? 0;
  }

  /** Forgets members that are gone. */
  #forget(id: string): void {
    this.#ownRates.delete(id);
    this.#shards.delete(id);
    this.#waits.delete(id);
  }

  #become(state: State, reason: string | undefined): void {
    this.#state = state;
    this.#reason = reason;
  }

  #say(level: 'info' | 'warning' | 'error', text: string): void {
    this.#log.push({ at: Date.now(), level, text });
    if (this.#log.length > MAX_LOG_LINES) this.#log.shift();
  }
}
