/** Dashboard "Lockstep: workers": who they are, what each does, and what became of those that failed. */
import { dashboard, lines, of, rate, row, table } from './panels.js';

/** What happened within the interval shown, by a label. */
const by = (label, metric) => ({
  [`{{${label}}}`]: `sum by (${label}) (increase(${of(metric)}[$__rate_interval]))`,
});

export const workers = dashboard({
  uid: 'lockstep-workers',
  title: 'Lockstep: workers',
  description: 'Everybody who computes for a run: who they are, what each does, and what became of those that failed.',
  rows: [
    row(
      8,
      table({
        title: 'Workers',
        description:
          'Everybody who takes part now; the local worker has no round trip, and whoever left is not listed.',
        unit: 'none',
        queries: {
          who: `max by (worker, kind, name, engine, device) (${of('lockstep_worker_info')})`,
          rate: `max by (worker) (${of('lockstep_worker_samples_per_second')})`,
          shards: `max by (worker) (${of('lockstep_worker_shards')})`,
          'round trip': `max by (worker) (${of('lockstep_worker_round_trip_seconds')})`,
          'held up': `max by (worker) (${rate('lockstep_worker_held_up_seconds_total')})`,
        },
        columns: {
          worker: 'Worker',
          name: 'Name',
          kind: 'Kind',
          engine: 'Engine',
          device: 'Device',
          'Value #B': 'Own rate',
          'Value #C': 'Shards',
          'Value #D': 'Round trip',
          'Value #E': 'Held up',
        },
        units: { 'Own rate': 'si:samples/s', 'Round trip': 's', 'Held up': 'percentunit' },
        sortBy: [{ displayName: 'Own rate', desc: true }],
        width: 24,
      }),
    ),
    row(
      8,
      lines({
        title: 'Own rates',
        description: 'Samples per second of each worker while it computes: what it could do if it never waited.',
        unit: 'si:samples/s',
        queries: { '{{worker}}': of('lockstep_worker_samples_per_second') },
        min: 0,
        width: 12,
      }),
      lines({
        title: 'Shards',
        description: 'How many shards of the latest step each worker computed; work is divided by measured speed.',
        unit: 'none',
        queries: { '{{worker}}': of('lockstep_worker_shards') },
        stacked: true,
        min: 0,
        width: 12,
      }),
    ),
    row(
      8,
      lines({
        title: 'Held up the step',
        description: 'Share of the time in which all others had answered and the step waited for this worker alone.',
        unit: 'percentunit',
        queries: { '{{worker}}': rate('lockstep_worker_held_up_seconds_total') },
        stacked: true,
        min: 0,
        width: 12,
      }),
      lines({
        title: 'Round trips',
        description: 'Time from a ping to its answer, once a second: the network, and how busy both ends are.',
        unit: 's',
        queries: { '{{worker}}': of('lockstep_worker_round_trip_seconds') },
        min: 0,
        width: 12,
      }),
    ),
    row(
      8,
      lines({
        title: 'Bytes',
        description:
          'Bytes per second of messages to and from all remote workers: parameters and data go out, gradients come in.',
        unit: 'Bps',
        queries: { '{{direction}}': rate('lockstep_network_bytes_total') },
        min: 0,
        width: 12,
      }),
      lines({
        title: 'Changes of state',
        description:
          'Workers that began to join, became ready, were put into quarantine, or left within the interval shown.',
        unit: 'none',
        queries: by('state', 'lockstep_worker_changes_total'),
        min: 0,
        width: 12,
      }),
    ),
    row(
      8,
      lines({
        title: 'Reassigned shards',
        description:
          'Shards given to another worker than planned: theirs was lost, failed, refused or late; or it was slow and an idle one computed them too (speculated).',
        unit: 'none',
        queries: by('cause', 'lockstep_reassigned_shards_total'),
        min: 0,
        width: 8,
      }),
      lines({
        title: 'Refused',
        description:
          'Messages and answers of workers that were not taken, and connections that were ended; a duplicate is a speculation that was not needed.',
        unit: 'none',
        queries: by('reason', 'lockstep_refused_total'),
        min: 0,
        width: 8,
      }),
      lines({
        title: 'Turned away',
        description: 'Connections and requests that were not let in at all, such as those with a wrong token.',
        unit: 'none',
        queries: by('reason', 'lockstep_refused_connections_total'),
        min: 0,
        width: 8,
      }),
    ),
  ],
});
