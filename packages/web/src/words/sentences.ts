/** What the page says in sentences: its state, and for each picture that it draws the same in words. */
import type { RunStatus } from '@lockstep/protocol';
import { smoothed, type Trend, trendOf } from '../data/trend.ts';
import { integer, loss, percent, plural, rate } from './format.ts';

type Predictions = NonNullable<RunStatus['predictions']>;

const STATES: Record<RunStatus['state'], string> = {
  starting: 'Starting',
  waiting: 'Waiting',
  training: 'Training',
  evaluating: 'Evaluating',
  finished: 'Finished',
  stopped: 'Stopped',
  failed: 'Failed',
};

export const stateWord = (state: RunStatus['state']): string => STATES[state];

export const isOver = ({ state }: RunStatus): boolean =>
  state === 'finished' || state === 'stopped' || state === 'failed';

/** Where the run is. */
export function position({ model, runStep, totalSteps, epoch }: RunStatus): string | undefined {
  if (!model) return undefined;
  if (totalSteps > 0 && runStep >= totalSteps) return `all ${plural(model.epochs, 'epoch')} done`;
  const current = Math.max(1, epoch);
  const step = Math.max(0, runStep - (current - 1) * model.stepsPerEpoch);
  return `epoch ${current} of ${model.epochs}, step ${integer(step)} of ${integer(model.stepsPerEpoch)}`;
}

/** Which pictures the model is measured by. */
export const splitWord = (epochs: RunStatus['epochs']): 'test' | 'validation' => epochs.at(-1)?.evaluatedOn ?? 'test';

/** What the page has of accuracies: once the run is over of the test pictures, until then of those that epochs are measured by. */
export function latestAccuracy({ epochs, result }: Pick<RunStatus, 'epochs' | 'result'>) {
  const last = epochs.at(-1);
  if (result) return { split: 'test', accuracy: result.testAccuracy } as const;
  return last && ({ split: splitWord(epochs), accuracy: last.testAccuracy } as const);
}

/** Explains why the last epoch stands out; undefined where it does not. */
export const viewsSentence = (epochs: RunStatus['epochs']): string | undefined =>
  epochs.some(({ plain }) => plain)
    ? 'The last epoch is measured by the mean over several views of each picture; those before it by the pictures as they are.'
    : undefined;

const heading = (trend: Trend | undefined): string => (trend ? `, ${trend}` : '');

export function lossSentence(values: readonly number[], epochs: RunStatus['epochs']): string {
  if (values.length === 0) return 'No step yet.';
  const last = epochs.at(-1);
  const test = last ? `; ${splitWord(epochs)} loss ${loss(last.testLoss)} after epoch ${last.epoch}` : '';
  return `Training loss ${loss(smoothed(values).at(-1)!)}${heading(trendOf(values))}${test}.`;
}

export function accuracySentence(values: readonly number[], epochs: RunStatus['epochs']): string {
  if (values.length === 0) return 'No step yet.';
  const last = epochs.at(-1);
  const test = last ? `; ${splitWord(epochs)} accuracy ${percent(last.testAccuracy)} after epoch ${last.epoch}` : '';
  return `Training accuracy ${percent(smoothed(values).at(-1)!, 1)}${heading(trendOf(values))}${test}.`;
}

export function throughputSentence(values: readonly number[]): string {
  const known = values.filter((value) => value > 0);
  const last = known.at(-1);
  if (last === undefined) return 'No step yet.';
  const sorted = known.toSorted((a, b) => a - b);
  const at = (share: number): string => rate(sorted[Math.floor(share * (sorted.length - 1))]!);
  return `${rate(last)} samples per second; so far mostly ${at(0.1)} to ${at(0.9)}.`;
}

/** The two classes that are mixed up most. */
export function confusionSentence({ confusion, epoch }: Predictions, classNames: readonly string[]): string {
  let worst = { label: 0, predicted: 0, count: 0 };
  let [right, all] = [0, 0];
  confusion.forEach((row, label) => {
    row.forEach((count, predicted) => {
      all += count;
      if (label === predicted) right += count;
      else if (count > worst.count) worst = { label, predicted, count };
    });
  });
  const start = `${integer(right)} of ${integer(all)} pictures are named right after epoch ${epoch}.`;
  if (worst.count === 0) return start;
  const [label, predicted] = [classNames[worst.label], classNames[worst.predicted]];
  return `${start} The most frequent mistake: ${label} taken for ${predicted} (${integer(worst.count)} times).`;
}

export function picturesSentence({ pictures, epoch }: Predictions, previous: Predictions | undefined): string {
  const right = pictures.filter(({ label, predicted }) => label === predicted).length;
  const changed = pictures.filter(
    ({ predicted }, i) => previous && previous.pictures[i]?.predicted !== predicted,
  ).length;
  const change = previous
    ? `, ${changed === 0 ? 'none' : changed} named otherwise than after epoch ${previous.epoch}`
    : '';
  return `${right} of ${pictures.length} right after epoch ${epoch}${change}.`;
}

/** Answers that were not taken, and workers that were sent away. */
const REFUSALS: Readonly<Record<string, string>> = {
  duplicate: 'answer came second',
  'not assigned': 'answer to no question',
  'not finite': 'numbers that are not finite',
  version: 'other version of the protocol',
  job: 'worker with another job',
  malformed: 'message that makes no sense',
  silent: 'worker fell silent',
  slowReader: 'worker does not read',
  late: 'worker not ready in time',
  wrong: 'engine that computes wrong gradients',
  websocket: 'broken connection',
};

const REASSIGNMENTS: Readonly<Record<string, string>> = {
  planned: 'as planned',
  lost: 'worker was lost',
  failed: 'worker failed',
  refused: 'answer was refused',
  late: 'no answer in time',
  speculated: 'slow, so computed twice',
};

const words = (known: Readonly<Record<string, string>>, reason: string): string =>
  known[reason] ??
  reason.replaceAll(/[-_]/g, ' ').replaceAll(/(?<=[a-z])[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);

export const refusalWords = (reason: string): string => words(REFUSALS, reason);
export const reassignmentWords = (cause: string): string => words(REASSIGNMENTS, cause);
