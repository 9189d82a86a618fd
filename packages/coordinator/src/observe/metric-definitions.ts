/** Every metric, once: name, type, labels and meaning. The table in the documentation is made from this. */

export interface MetricDefinition {
  readonly name: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly help: string;
  readonly labels: readonly string[];
}

const define =
  (type: MetricDefinition['type']) =>
  (name: string, help: string, labels: readonly string[] = []): MetricDefinition => ({ name, type, help, labels });
const counter = define('counter');
const gauge = define('gauge');
const histogram = define('histogram');

export const metricDefinitions = {
  build: gauge('lockstep_build_info', 'Always 1; says what runs.', ['version', 'node', 'platform']),
  run: gauge('lockstep_run_info', 'Always 1; says what is trained.', ['model', 'dataset', 'optimizer', 'engine']),
  state: gauge('lockstep_run_state', '1 for the state of the run, 0 for the others.', ['state']),
  samples: counter('lockstep_samples_total', 'Training samples whose gradients were applied.'),
  steps: counter('lockstep_steps_total', 'Steps committed by this process.'),
  step: gauge('lockstep_step', 'Steps committed over the whole run.'),
  stepsPlanned: gauge('lockstep_steps_planned', 'Steps of the whole run.'),
  epoch: gauge('lockstep_epoch', 'Epoch under way, from 1.'),
  rate: gauge('lockstep_samples_per_second', 'Training throughput over the last seconds.'),
  trainLoss: gauge('lockstep_train_loss', 'Mean cross-entropy of the latest step, in nats.'),
  trainAccuracy: gauge('lockstep_train_accuracy_ratio', 'Share of correct predictions in the latest step.'),
  testLoss: gauge('lockstep_test_loss', 'Mean cross-entropy on the test samples after the latest epoch, in nats.'),
  testAccuracy: gauge('lockstep_test_accuracy_ratio', 'Share of correct test predictions after the latest epoch.'),
  learningRate: gauge('lockstep_learning_rate', 'Learning rate of the latest step.'),
  stepSeconds: histogram('lockstep_step_seconds', 'Time from one committed step to the next.'),
  phaseSeconds: histogram('lockstep_step_phase_seconds', 'Time of a step by what it was spent on.', ['phase']),
  lastStep: gauge('lockstep_last_step_timestamp_seconds', 'When the latest step was committed.'),
  stallBound: gauge(
    'lockstep_stall_bound_seconds',
    'Longest that a step waits for a member that falls silent before others do its work.',
  ),
  efficiency: gauge('lockstep_scaling_efficiency_ratio', "Throughput over the sum of the workers' own rates."),
  workers: gauge('lockstep_workers', 'Workers by state and kind.', ['state', 'kind']),
  workersNeeded: gauge('lockstep_workers_needed', 'Workers without which no step begins.'),
  worker: gauge('lockstep_worker_info', 'Always 1; says who a worker is.', [
    'worker',
    'kind',
    'name',
    'engine',
    'device',
  ]),
  workerRate: gauge('lockstep_worker_samples_per_second', "A worker's own rate while it computes.", ['worker']),
  workerShards: gauge('lockstep_worker_shards', 'Shards of the latest step that a worker was given.', ['worker']),
  workerRoundTrip: gauge('lockstep_worker_round_trip_seconds', 'From a ping to its answer.', ['worker']),
  workerHeldUp: counter(
    'lockstep_worker_held_up_seconds_total',
    'Time in which the step waited for this worker alone.',
    ['worker'],
  ),
  bytes: counter('lockstep_network_bytes_total', 'Bytes of messages to (sent) and from (received) remote workers.', [
    'direction',
  ]),
  reassigned: counter('lockstep_reassigned_shards_total', 'Shards given to another worker than planned, by cause.', [
    'cause',
  ]),
  refused: counter(
    'lockstep_refused_total',
    'Messages refused, connections ended, and partial sums not needed, by reason.',
    ['reason'],
  ),
  refusedConnections: counter(
    'lockstep_refused_connections_total',
    'Connections and requests turned away, by reason.',
    ['reason'],
  ),
  recoveries: counter('lockstep_worker_changes_total', 'Changes of state of workers.', ['state']),
  checkpoints: counter('lockstep_checkpoints_total', 'Checkpoints, by result.', ['result']),
  checkpointSeconds: gauge('lockstep_checkpoint_seconds', 'Time that the latest checkpoint took to write.'),
  viewers: gauge('lockstep_viewers', 'Pages that follow the run.'),
} as const satisfies Record<string, MetricDefinition>;

export type MetricKey = keyof typeof metricDefinitions;
