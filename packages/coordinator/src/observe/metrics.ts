/** The run as Prometheus metrics. Most are read off the record when they are asked for, so that training pays nothing. */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { MemberFacts, StepReport } from '../fleet/index.ts';
import {
  MEMBER_KINDS,
  MEMBER_STATES,
  type MetricDefinition,
  type MetricKey,
  metricDefinitions,
  RUN_STATES,
} from './metric-definitions.ts';
import type { RunRecord } from './record.ts';

const STEP_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
/** Sums over metrics of their own, and misnamed: only counters end in "total". */
const MISNAMED = ['nodejs_active_handles_total', 'nodejs_active_requests_total', 'nodejs_active_resources_total'];

/** What the metrics know beside the record. */
export interface MetricSources {
  members(): readonly MemberFacts[];
  /** Bytes over all connections, ended ones included. */
  bytes(): { readonly sent: number; readonly received: number };
  refused(): Record<string, number>;
  refusedConnections(): Record<string, number>;
  reassigned(): Record<string, number>;
  viewers(): number;
  readonly engine: string;
  readonly minWorkers: number;
  readonly stallBoundSeconds: number;
}

type Labels = Record<string, string | number>;

/** Of Node itself: once, however many runs the process sees, since they are never given up. */
let processRegistry: Registry | undefined;

function processMetrics(): Registry {
  if (!processRegistry) {
    processRegistry = new Registry();
    collectDefaultMetrics({ register: processRegistry });
    for (const name of MISNAMED) processRegistry.removeSingleMetric(name);
  }
  return processRegistry;
}

export class RunMetrics {
  readonly #registry = new Registry();
  readonly #record: RunRecord;
  readonly #sources: MetricSources;
  readonly #gauges = new Map<MetricKey, Gauge>();
  readonly #counters = new Map<MetricKey, Counter>();
  readonly #stepSeconds: Histogram;
  readonly #phaseSeconds: Histogram;

  constructor(record: RunRecord, sources: MetricSources) {
    this.#record = record;
    this.#sources = sources;
    const registers = [this.#registry];
    const definitions = Object.entries(metricDefinitions) as [MetricKey, MetricDefinition][];
    for (const [key, { name, help, labels, type }] of definitions) {
      const settings = { name, help, labelNames: Object.keys(labels), registers };
      if (type === 'gauge') this.#gauges.set(key, new Gauge(settings));
      else if (type === 'counter') this.#counters.set(key, new Counter(settings));
      if (type !== 'histogram') this.#clear(key);
    }
    const histogram = ({ name, help, labels }: MetricDefinition): Histogram =>
      new Histogram({ name, help, labelNames: Object.keys(labels), registers, buckets: STEP_BUCKETS });
    this.#stepSeconds = histogram(metricDefinitions.stepSeconds);
    this.#phaseSeconds = histogram(metricDefinitions.phaseSeconds);
    processMetrics();
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  /** In the Prometheus text format. */
  async text(): Promise<string> {
    this.#refresh();
    const [own, ofProcess] = await Promise.all([this.#registry.metrics(), processMetrics().metrics()]);
    return `${own}\n${ofProcess}`;
  }

  /** What steps took. */
  report({ numSteps, totalMs, phases }: StepReport): void {
    for (let i = 0; i < numSteps; i++) this.#stepSeconds.observe(totalMs / 1000);
    for (const [phase, ms] of Object.entries(phases)) {
      for (let i = 0; i < numSteps; i++) this.#phaseSeconds.observe({ phase }, ms / 1000);
    }
  }

  checkpoint(result: 'saved' | 'failed', seconds: number): void {
    this.#counters.get('checkpoints')!.inc({ result });
    this.#gauges.get('checkpointSeconds')!.set(seconds);
  }

  workerChanged(state: string): void {
    this.#counters.get('workerChanges')!.inc({ state });
  }

  /** Takes away all series, except that counters begin at 0 as far as their labels are known: else Prometheus sees no first increase. */
  #clear(key: MetricKey): void {
    const gauge = this.#gauges.get(key);
    gauge?.reset();
    // Without labels it would be 0 now, which is a value like any other.
    if (Object.keys(metricDefinitions[key].labels).length === 0) gauge?.remove();
    const counter = this.#counters.get(key);
    if (!counter) return;
    counter.reset();
    for (const [label, values] of Object.entries<readonly string[]>(metricDefinitions[key].labels)) {
      for (const value of values) counter.inc({ [label]: value }, 0);
    }
  }

  /** Sets a metric to what it is now. Series that are not named any more disappear. */
  #set(key: MetricKey, series: readonly (readonly [Labels, number | undefined])[]): void {
    this.#clear(key);
    const gauge = this.#gauges.get(key);
    const counter = this.#counters.get(key);
    for (const [labels, value] of series) {
      if (value === undefined) continue;
      gauge?.set(labels, value);
      counter?.inc(labels, value);
    }
  }

  #refresh(): void {
    const record = this.#record;
    const { model, dataset, latestStep: step, latestEpoch: epoch } = record;
    const sources = this.#sources;
    const one = (key: MetricKey, value: number | undefined): void => this.#set(key, [[{}, value]]);
    const platform = `${process.platform}-${process.arch}`;
    this.#set('build', [[{ version: record.version, node: process.version, platform }, 1]]);
    if (model && dataset) {
      const { engine } = sources;
      this.#set('run', [[{ model: model.name, dataset: dataset.name, optimizer: model.optimizer, engine }, 1]]);
      one('stepsPlanned', model.epochs * model.stepsPerEpoch);
    }
    this.#set(
      'state',
      RUN_STATES.map((state) => [{ state }, state === record.state ? 1 : 0]),
    );
    one('samples', record.numSamples);
    one('steps', record.numSteps);
    one('step', record.runStep);
    one('epoch', record.epoch);
    one('rate', record.samplesPerSecond);
    one('trainLoss', step?.loss);
    one('trainAccuracy', step?.accuracy);
    one('learningRate', step?.learningRate);
    one('testLoss', epoch?.testLoss);
    one('testAccuracy', epoch?.testAccuracy);
    one('lastStep', record.lastStepAt === undefined ? undefined : record.lastStepAt / 1000);
    one('stallBound', sources.stallBoundSeconds);
    one('efficiency', record.efficiency);
    one('viewers', sources.viewers());
    const { sent, received } = sources.bytes();
    this.#set('bytes', [
      [{ direction: 'sent' }, sent],
      [{ direction: 'received' }, received],
    ]);
    const byReason = (counts: Record<string, number>, label: string): (readonly [Labels, number])[] =>
      Object.entries(counts).map(([reason, count]) => [{ [label]: reason }, count]);
    this.#set('reassigned', byReason(sources.reassigned(), 'cause'));
    this.#set('refused', byReason(sources.refused(), 'reason'));
    this.#set('refusedConnections', byReason(sources.refusedConnections(), 'reason'));
    this.#refreshWorkers();
  }

  #refreshWorkers(): void {
    const record = this.#record;
    const members = this.#sources.members().filter(({ state }) => state !== 'connected');
    this.#set('workersNeeded', [[{}, this.#sources.minWorkers]]);
    this.#set(
      'workers',
      MEMBER_KINDS.flatMap((kind) =>
        MEMBER_STATES.map((state) => {
          const count = members.filter((member) => member.kind === kind && member.state === state).length;
          return [{ state, kind }, count] as const;
        }),
      ),
    );
    const each = (key: MetricKey, value: (member: MemberFacts) => number | undefined): void =>
      this.#set(
        key,
        members.map((member) => [{ worker: member.id }, value(member)]),
      );
    this.#set(
      'worker',
      members.map(({ id, kind, name, engine, device }) => [{ worker: id, kind, name, engine, device }, 1]),
    );
    each('workerRate', ({ id }) => record.ownRate(id));
    each('workerShards', ({ id }) => record.shardsOf(id));
    each('workerRoundTrip', ({ roundTripMs }) => (roundTripMs === undefined ? undefined : roundTripMs / 1000));
    each('workerHeldUp', ({ id }) => (record.heldUpMs.get(id) ?? 0) / 1000);
  }
}
