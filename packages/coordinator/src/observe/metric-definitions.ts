/** Every metric, once: name, type, labels and meaning. The table in the documentation is made from this. */
import type { CloseReason, RunStatus, WorkerEvent } from '@lockstep/protocol';
import type { Cause } from '../fleet/step-machine.ts';
import type { Phases } from '../fleet/step-report.ts';
import type { RefusalReason } from '../server/refusal.ts';

/** Labels with the values that each may have; none where they are not known beforehand. */
type Labels = Readonly<Record<string, readonly string[]>>;

export interface MetricDefinition {
  readonly name: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly help: string;
  readonly labels: Labels;
}

const define =
  (type: MetricDefinition['type']) =>
  (name: string, help: string, labels: Labels = {}): MetricDefinition => ({ name, type, help, labels });
const counter = define('counter');
const gauge = define('gauge');
const histogram = define('histogram');

/** All members of a union; one that is forgotten is an error of types. */
const every = <Value extends string>(values: Readonly<Record<Value, true>>): readonly Value[] =>
  Object.keys(values) as Value[];

export const RUN_STATES = every<RunStatus['state']>({
  starting: true,
  waiting: true,
  training: true,
  evaluating: true,
  finished: true,
  stopped: true,
  failed: true,
});
const PHASES = every<keyof Phases>({ broadcast: true, compute: true, gather: true, update: true });
export const MEMBER_STATES = ['joining', 'ready', 'quarantined'] as const;
export const MEMBER_KINDS = ['local', 'remote'] as const;
const CHANGES = every<WorkerEvent['state']>({
  joining: true,
  ready: true,
  recovered: true,
  quarantined: true,
  left: true,
});
const CAUSES = every<Exclude<Cause, 'planned'>>({
  lost: true,
  failed: true,
  refused: true,
  late: true,
  speculated: true,
});
/** Connections that were ended, and why answers were not taken. */
const REFUSALS = every<
  | Exclude<CloseReason, 'finished' | 'stopping' | 'leaving'>
  | 'websocket'
  | 'duplicate'
  | 'no room'
  | 'not assigned'
  | 'not finite'
  | 'other shards'
  | 'wrong entries'
  | 'wrong generation'
  | 'wrong length'
  | 'wrong slice'
>({
  version: true,
  job: true,
  malformed: true,
  silent: true,
  slowReader: true,
  late: true,
  wrong: true,
  websocket: true,
  duplicate: true,
  'no room': true,
  'not assigned': true,
  'not finite': true,
  'other shards': true,
  'wrong entries': true,
  'wrong generation': true,
  'wrong length': true,
  'wrong slice': true,
});
const TURNED_AWAY = every<RefusalReason>({
  token: true,
  blocked: true,
  origin: true,
  host: true,
  version: true,
  subprotocol: true,
  upgrade: true,
  'not-found': true,
  method: true,
  body: true,
  limit: true,
  handshake: true,
  accept: true,
  closing: true,
  internal: true,
});

export const metricDefinitions = {
  build: gauge('lockstep_build_info', 'Always 1; says what runs.', { version: [], node: [], platform: [] }),
  run: gauge('lockstep_run_info', 'Always 1; says what is trained.', {
    model: [],
    dataset: [],
    optimizer: [],
    engine: [],
  }),
  state: gauge('lockstep_run_state', '1 for the state of the run, 0 for the others.', { state: RUN_STATES }),
  samples: counter('lockstep_samples_total', 'Training samples whose gradients were applied by this process.'),
  steps: counter('lockstep_steps_total', 'Steps committed by this process.'),
  step: gauge('lockstep_step', 'Steps committed over the whole run.'),
  stepsPlanned: gauge('lockstep_steps_planned', 'Steps of the whole run.'),
  epoch: gauge('lockstep_epoch', 'Epoch under way, from 1.'),
  rate: gauge('lockstep_samples_per_second', 'Training throughput over the last seconds.'),
  trainLoss: gauge('lockstep_train_loss', 'Mean cross-entropy of the latest step, in nats.'),
  trainAccuracy: gauge('lockstep_train_accuracy_ratio', 'Share of correct predictions in the latest step.'),
  testLoss: gauge(
    'lockstep_test_loss',
    'Mean cross-entropy after the latest epoch, in nats: of the test pictures, or with --validation of those held out.',
  ),
  testAccuracy: gauge(
    'lockstep_test_accuracy_ratio',
    'Share of correct predictions after the latest epoch: of the test pictures, or with --validation of those held out.',
  ),
  learningRate: gauge('lockstep_learning_rate', 'Learning rate of the latest step.'),
  stepSeconds: histogram('lockstep_step_seconds', 'Time that a step took, from its first assignment to its update.'),
  phaseSeconds: histogram('lockstep_step_phase_seconds', 'Time of a step by what it was spent on.', { phase: PHASES }),
  lastStep: gauge('lockstep_last_step_timestamp_seconds', 'When this process committed its latest step.'),
  stallBound: gauge(
    'lockstep_stall_bound_seconds',
    'Longest that a step waits for a member that falls silent before others do its work.',
  ),
  efficiency: gauge('lockstep_scaling_efficiency_ratio', "Throughput over the sum of the workers' own rates."),
  workers: gauge('lockstep_workers', 'Workers by state and kind.', { state: MEMBER_STATES, kind: MEMBER_KINDS }),
  workersNeeded: gauge('lockstep_workers_needed', 'Workers without which no step begins.'),
  worker: gauge('lockstep_worker_info', 'Always 1; says who a worker is.', {
    worker: [],
    kind: MEMBER_KINDS,
    name: [],
    engine: [],
    device: [],
  }),
  workerRate: gauge('lockstep_worker_samples_per_second', "A worker's own rate while it computes.", { worker: [] }),
  workerShards: gauge('lockstep_worker_shards', 'Shards of the latest step that a worker computed.', { worker: [] }),
  workerRoundTrip: gauge('lockstep_worker_round_trip_seconds', 'From a ping to its answer.', { worker: [] }),
  workerHeldUp: counter(
    'lockstep_worker_held_up_seconds_total',
    'Time in which the step waited for this worker alone.',
    { worker: [] },
  ),
  bytes: counter('lockstep_network_bytes_total', 'Bytes of messages to (sent) and from (received) remote workers.', {
    direction: ['sent', 'received'],
  }),
  reassigned: counter('lockstep_reassigned_shards_total', 'Shards given to another worker than planned, by cause.', {
    cause: CAUSES,
  }),
  refused: counter(
    'lockstep_refused_total',
    'Messages refused, connections ended, and partial sums not needed, by reason.',
    { reason: REFUSALS },
  ),
  refusedConnections: counter(
    'lockstep_refused_connections_total',
    'Connections and requests turned away, by reason.',
    { reason: TURNED_AWAY },
  ),
  workerChanges: counter('lockstep_worker_changes_total', 'Changes of state of workers.', { state: CHANGES }),
  checkpoints: counter('lockstep_checkpoints_total', 'Checkpoints, by result.', { result: ['saved', 'failed'] }),
  checkpointSeconds: gauge('lockstep_checkpoint_seconds', 'Time that the latest checkpoint took to write.'),
  viewers: gauge('lockstep_viewers', 'Pages that follow the run.'),
} as const satisfies Record<string, MetricDefinition>;

export type MetricKey = keyof typeof metricDefinitions;
