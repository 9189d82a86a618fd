/** All that the page shows of a run, kept up from the messages of the stream. */
import type { RunStatus } from '@lockstep/protocol';
import { Curve } from './curve.ts';
import type { Message } from './message.ts';

type Predictions = NonNullable<RunStatus['predictions']>;

export class RunView {
  /** Undefined until the first word of the coordinator. */
  status: RunStatus | undefined = undefined;
  curve = new Curve();
  /** Of the epoch before, to see what has changed. */
  previousPredictions: Predictions | undefined = undefined;

  apply(message: Message): void {
    const { status } = this;
    if (message.event === 'status') this.#take(message);
    if (message.event === 'status' || !status) return;
    switch (message.event) {
      case 'step': {
        const { runStep, epoch, loss, accuracy } = message;
        this.curve.add({ runStep, loss, accuracy, samplesPerSecond: status.samplesPerSecond });
        if (runStep <= status.runStep) break;
        const fraction = status.totalSteps > 0 ? Math.min(1, runStep / status.totalSteps) : status.fraction;
        this.status = { ...status, state: 'training', reason: undefined, runStep, epoch, fraction };
        break;
      }
      case 'epoch':
        if (status.epochs.some(({ epoch }) => epoch === message.epoch)) break;
        this.status = { ...status, epochs: [...status.epochs, message] };
        break;
      case 'waiting':
        this.status = {
          ...status,
          state: 'waiting',
          reason: `${message.ready} of ${message.needed} workers are ready`,
        };
        break;
      case 'worker':
        if (message.state !== 'left') break;
        this.status = { ...status, members: status.members.filter(({ id }) => id !== message.id) };
        break;
      case 'done':
        this.status = {
          ...status,
          state: 'finished',
          fraction: 1,
          result: { testLoss: message.testLoss, testAccuracy: message.testAccuracy },
        };
        break;
      case 'error':
        if (message.fatal) this.status = { ...status, state: 'failed', reason: message.message };
        break;
      default:
      // The next status, at most a second later, says the same.
    }
  }

  #take(message: RunStatus): void {
    const known = this.status;
    // Another start: nothing of what is known belongs to it, unless it says so itself.
    if (known && known.startId !== message.startId) {
      this.status = undefined;
      this.curve = new Curve();
      this.previousPredictions = undefined;
    }
    this.curve.replace(message.curve);
    const before = this.status?.predictions;
    // The same object as long as it is the same epoch, so that nothing is drawn again.
    const predictions = before && before.epoch === message.predictions?.epoch ? before : message.predictions;
    if (before && predictions !== before) this.previousPredictions = before;
    const { predictions: _, ...status } = message;
    this.status = predictions ? { ...status, predictions } : status;
  }
}
