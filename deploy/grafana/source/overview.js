/** Dashboard "Lockstep: overview": how far the run is, how well it learns, how fast it goes, and who takes part. */
import { dashboard, lines, of, rate, row, stat, table, timeline } from './panels.js';

const fraction = `${of('lockstep_step')} / ${of('lockstep_steps_planned')}`;
const left = `(${of('lockstep_steps_planned')} - ${of('lockstep_step')})`;

export const overview = dashboard({
  uid: 'lockstep-overview',
  title: 'Lockstep: overview',
  description: 'One training run: how far it is, how well it learns, how fast it goes, and who takes part.',
  rows: [
    row(
      4,
      stat({
        title: 'State',
        description: 'What the run is doing: starting, waiting for workers, training, evaluating; or how it ended.',
        unit: 'none',
        query: `${of('lockstep_run_state')} == 1`,
        legend: '{{state}}',
        textMode: 'name',
        graph: false,
        width: 3,
      }),
      stat({
        title: 'Progress',
        description: 'Steps committed of those of the whole run.',
        unit: 'percentunit',
        query: fraction,
        graph: false,
        width: 3,
      }),
      stat({
        title: 'Epoch',
        description: 'The pass over the training set that is under way.',
        unit: 'none',
        query: of('lockstep_epoch'),
        graph: false,
        width: 3,
      }),
      stat({
        title: 'Step',
        description: 'Steps committed over the whole run, also before it was resumed.',
        unit: 'none',
        query: of('lockstep_step'),
        graph: false,
        width: 3,
      }),
      stat({
        title: 'Time left',
        description:
          'Steps left over the steps per second of the last moments; evaluation at the ends of epochs comes on top.',
        unit: 's',
        query: `${left} / clamp_min(${rate('lockstep_steps_total')}, 1e-9)`,
        graph: false,
        width: 3,
      }),
      stat({
        title: 'Throughput',
        description: 'Training samples per second over the last three seconds.',
        unit: 'si:samples/s',
        query: of('lockstep_samples_per_second'),
        width: 3,
      }),
      stat({
        title: 'Test accuracy',
        description: 'Share of correct predictions on the test samples after the latest epoch.',
        unit: 'percentunit',
        query: of('lockstep_test_accuracy_ratio'),
        defaults: { decimals: 2 },
        width: 3,
      }),
      stat({
        title: 'Last step',
        description:
          'How long ago a step was committed; red when that is longer than it takes to get over a lost worker.',
        unit: 's',
        query: `time() - ${of('lockstep_last_step_timestamp_seconds')}`,
        steps: [
          { color: 'green', value: null },
          { color: 'orange', value: 10 },
          { color: 'red', value: 30 },
        ],
        graph: false,
        width: 3,
      }),
    ),
    row(
      9,
      lines({
        title: 'Accuracy',
        description:
          'Share of correct predictions: of the latest step while training, and on the test samples after each epoch.',
        unit: 'percentunit',
        queries: { train: of('lockstep_train_accuracy_ratio'), test: of('lockstep_test_accuracy_ratio') },
        max: 1,
        width: 12,
      }),
      lines({
        title: 'Loss',
        description:
          'Mean cross-entropy in nats: of the latest step while training, and on the test samples after each epoch.',
        unit: 'none',
        queries: { train: of('lockstep_train_loss'), test: of('lockstep_test_loss') },
        log: true,
        width: 12,
      }),
    ),
    row(
      8,
      lines({
        title: 'Throughput over time',
        description:
          'Training samples per second: what was committed on average, and what the coordinator measured in its last three seconds.',
        unit: 'si:samples/s',
        queries: { average: rate('lockstep_samples_total'), 'last seconds': of('lockstep_samples_per_second') },
        min: 0,
        width: 12,
      }),
      lines({
        title: 'Workers by state',
        description: 'How many take part, local and remote ones, against how many are needed for a step to begin.',
        unit: 'none',
        queries: {
          '{{kind}} {{state}}': of('lockstep_workers'),
          needed: of('lockstep_workers_needed'),
        },
        min: 0,
        width: 12,
      }),
    ),
    row(
      7,
      lines({
        title: 'Scaling efficiency',
        description:
          'Throughput over the sum of what the workers can do each by itself: 100 % means that nobody waits for anything.',
        unit: 'percentunit',
        queries: { efficiency: of('lockstep_scaling_efficiency_ratio') },
        min: 0,
        width: 6,
      }),
      lines({
        title: 'Progress over time',
        description: 'Steps committed of those of the whole run: a straight line is a steady pace.',
        unit: 'percentunit',
        queries: { steps: fraction },
        min: 0,
        max: 1,
        width: 6,
      }),
      timeline({
        title: 'State over time',
        description: 'Which state the run was in when.',
        unit: 'none',
        queries: { '{{state}}': `${of('lockstep_run_state')} == 1` },
        width: 6,
      }),
      lines({
        title: 'Learning rate',
        description: "The schedule's learning rate of the latest step.",
        unit: 'none',
        queries: { 'learning rate': of('lockstep_learning_rate') },
        min: 0,
        width: 6,
      }),
    ),
    row(
      6,
      lines({
        title: 'Checkpoints',
        description:
          'Checkpoints written and failed within the interval shown; after a failure training goes on without one.',
        unit: 'none',
        queries: { '{{result}}': `increase(${of('lockstep_checkpoints_total')}[$__rate_interval])` },
        min: 0,
        width: 6,
      }),
      lines({
        title: 'Time of a checkpoint',
        description: 'How long the latest checkpoint took to write, beside the training that goes on.',
        unit: 's',
        queries: { 'latest checkpoint': of('lockstep_checkpoint_seconds') },
        min: 0,
        width: 6,
      }),
      table({
        title: 'What runs',
        description: 'Model, data, optimizer and engine of the run, and the version of the coordinator.',
        unit: 'none',
        queries: {
          run: `max by (instance, model, dataset, optimizer, engine) (${of('lockstep_run_info')})`,
          build: `max by (instance, version, node, platform) (${of('lockstep_build_info')})`,
        },
        columns: {
          model: 'Model',
          dataset: 'Dataset',
          optimizer: 'Optimizer',
          engine: 'Engine here',
          version: 'Version',
          node: 'Node',
          platform: 'Platform',
        },
        width: 12,
      }),
    ),
  ],
});
