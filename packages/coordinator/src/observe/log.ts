/** What people read of a run's events, one sentence each. */
import type { RunStatus, TrainEvent } from '@lockstep/protocol';

type Line = Pick<RunStatus['log'][number], 'level' | 'text'>;

const percent = (fraction: number): string => `${(fraction * 100).toFixed(2)} %`;

/** Undefined for what is shown elsewhere or happens too often. */
export function logLine(event: TrainEvent): Line | undefined {
  switch (event.event) {
    case 'dataset':
      return event.notice ? { level: 'warning', text: event.notice } : undefined;
    case 'listening':
      return { level: 'info', text: `Listening on ${event.url}` };
    case 'waiting':
      return { level: 'warning', text: `Waiting: ${event.ready} of ${event.needed} workers are ready` };
    case 'reassigned': {
      if (event.cause === 'speculated') return undefined;
      const shards = event.to === event.from + 1 ? `shard ${event.from}` : `shards ${event.from} to ${event.to - 1}`;
      return {
        level: 'warning',
        text: `Step ${event.runStep + 1}: ${event.worker} computes ${shards} (${event.cause})`,
      };
    }
    case 'worker': {
      const who = event.name ? `${event.id} (${event.name})` : event.id;
      const isBad = event.state === 'quarantined' || event.state === 'recovered';
      return { level: isBad ? 'warning' : 'info', text: `${who} ${event.state}: ${event.reason}` };
    }
    case 'epoch':
      return {
        level: 'info',
        text: `Epoch ${event.epoch}: ${event.evaluatedOn ?? 'test'} accuracy ${percent(event.testAccuracy)}, loss ${event.testLoss.toFixed(4)}`,
      };
    case 'wire':
      return {
        level: 'info',
        text: `Gradients travel as ${event.format} from step ${event.runStep + 1} on: ${event.reason}`,
      };
    case 'resumed':
      return { level: 'info', text: `Resumed in epoch ${event.epoch} after ${event.step} steps` };
    case 'error':
      return { level: event.fatal ? 'error' : 'warning', text: event.message };
    case 'done':
      return { level: 'info', text: `Done: test accuracy ${percent(event.testAccuracy)}, saved in ${event.runDir}` };
    case 'model':
    case 'progress':
    case 'step':
      return undefined;
    default:
      return event satisfies never;
  }
}
