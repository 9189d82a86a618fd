/** Dashboard "Lockstep: why is it slow": where the time of a step goes, and who and what holds it up. */
import { dashboard, heatmap, lines, of, rate, row } from './panels.js';

const quantile = (q) => `histogram_quantile(${q}, sum by (le) (${rate('lockstep_step_seconds_bucket')}))`;
const mean = `${rate('lockstep_step_seconds_sum')} / ${rate('lockstep_step_seconds_count')}`;
const phases = (metric) => `sum by (phase) (${rate(metric)})`;

export const slow = dashboard({
  uid: 'lockstep-slow',
  title: 'Lockstep: why is it slow',
  description:
    'Where the time of a step goes: computing, network, update, waiting for one worker, or the coordinator itself.',
  rows: [
    row(
      9,
      lines({
        title: 'Time of a step',
        description:
          'Half, nine of ten, and 99 of 100 steps took no longer than this; the mean lies far above the half when few steps are very slow.',
        unit: 's',
        queries: { half: quantile(0.5), 'nine of ten': quantile(0.9), '99 of 100': quantile(0.99), mean },
        min: 0,
        width: 12,
      }),
      heatmap({
        title: 'All steps by their time',
        description:
          'How many steps took how long: two bands mean two kinds of steps, such as with and without a straggler.',
        unit: 's',
        query: `sum by (le) (increase(${of('lockstep_step_seconds_bucket')}[$__rate_interval]))`,
        width: 12,
      }),
    ),
    row(
      9,
      lines({
        title: 'Phases of a step',
        description:
          'Mean time of a step: sending parameters, the slowest worker computing, gathering beyond that, sum and update.',
        unit: 's',
        queries: {
          '{{phase}}': `${phases('lockstep_step_phase_seconds_sum')} / ${phases('lockstep_step_phase_seconds_count')}`,
        },
        stacked: true,
        min: 0,
        width: 12,
      }),
      lines({
        title: 'Share of the phases',
        description:
          'Of the time of all steps. Much compute: more workers help. Much gather or broadcast: network, or too small batches.',
        unit: 'percentunit',
        queries: {
          '{{phase}}': `${phases('lockstep_step_phase_seconds_sum')} / ignoring (phase) group_left () sum(${rate('lockstep_step_phase_seconds_sum')})`,
        },
        stacked: true,
        min: 0,
        max: 1,
        width: 12,
      }),
    ),
    row(
      8,
      lines({
        title: 'Who held the step up',
        description: 'Share of the time in which all others had answered and the step waited for this worker alone.',
        unit: 'percentunit',
        queries: { '{{worker}}': rate('lockstep_worker_held_up_seconds_total') },
        stacked: true,
        min: 0,
        width: 8,
      }),
      lines({
        title: 'Scaling efficiency',
        description:
          'Throughput over the sum of what the workers can do each by itself; what is missing is spent waiting.',
        unit: 'percentunit',
        queries: { efficiency: of('lockstep_scaling_efficiency_ratio') },
        min: 0,
        width: 8,
      }),
      lines({
        title: 'Time outside steps',
        description: 'Share of the time in which no step was under way: evaluation, checkpoints, waiting for workers.',
        unit: 'percentunit',
        queries: { 'outside steps': `clamp_min(1 - ${rate('lockstep_step_seconds_sum')}, 0)` },
        min: 0,
        max: 1,
        width: 8,
      }),
    ),
    row(
      8,
      lines({
        title: 'Network',
        description:
          "Bytes per second of messages to and from all remote workers; compare it with what the coordinator's line can do.",
        unit: 'Bps',
        queries: { '{{direction}}': rate('lockstep_network_bytes_total') },
        min: 0,
        width: 8,
      }),
      lines({
        title: 'Bytes per step',
        description: 'Bytes sent and received for one step: two to three times the parameters per worker is usual.',
        unit: 'bytes',
        queries: {
          '{{direction}}': `${rate('lockstep_network_bytes_total')} / ignoring (direction) group_left () ${rate('lockstep_steps_total')}`,
        },
        min: 0,
        width: 8,
      }),
      lines({
        title: 'Round trips',
        description: 'Time from a ping to its answer: the network, and how busy both ends are.',
        unit: 's',
        queries: { '{{worker}}': of('lockstep_worker_round_trip_seconds') },
        min: 0,
        width: 8,
      }),
    ),
    row(
      8,
      lines({
        title: 'Work done twice or again',
        description:
          'Shards per second given to another worker than planned, by cause; speculated ones cost nothing that was not idle.',
        unit: 'none',
        queries: { '{{cause}}': rate('lockstep_reassigned_shards_total') },
        min: 0,
        width: 8,
      }),
      lines({
        title: 'Event loop lag',
        description:
          "How late the coordinator's main thread gets to what is due; above some milliseconds it holds everybody up.",
        unit: 's',
        queries: {
          half: of('nodejs_eventloop_lag_p50_seconds'),
          '99 of 100': of('nodejs_eventloop_lag_p99_seconds'),
          longest: of('nodejs_eventloop_lag_max_seconds'),
        },
        min: 0,
        width: 8,
      }),
      lines({
        title: 'Garbage collection',
        description: "Share of the time that the coordinator's main thread collects garbage, by kind.",
        unit: 'percentunit',
        queries: { '{{kind}}': rate('nodejs_gc_duration_seconds_sum') },
        stacked: true,
        min: 0,
        width: 8,
      }),
    ),
    row(
      8,
      lines({
        title: 'Processor',
        description: "Cores that the coordinator keeps busy, its local worker's threads included.",
        unit: 'none',
        queries: {
          user: rate('process_cpu_user_seconds_total'),
          system: rate('process_cpu_system_seconds_total'),
        },
        stacked: true,
        min: 0,
        width: 8,
      }),
      lines({
        title: 'Memory',
        description: 'Resident memory of the coordinator, and of that the JavaScript heap in use.',
        unit: 'bytes',
        queries: { resident: of('process_resident_memory_bytes'), heap: of('nodejs_heap_size_used_bytes') },
        min: 0,
        width: 8,
      }),
      lines({
        title: 'Viewers',
        description: 'Live pages that follow the run; each is sent the whole status once a second.',
        unit: 'none',
        queries: { viewers: of('lockstep_viewers') },
        min: 0,
        width: 8,
      }),
    ),
  ],
});
