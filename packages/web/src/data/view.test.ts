import type { DoneEvent, EpochEvent, RunStatus, StepEvent } from '@lockstep/protocol';
import { expect, it } from 'vitest';
import { RunView } from './view.ts';

const status = (changes: Partial<RunStatus> = {}): RunStatus & { event: 'status' } => ({
  event: 'status',
  state: 'training',
  startedAt: 0,
  startId: 'first',
  version: '0.1.0',
  classNames: ['a', 'b'],
  runStep: 2,
  totalSteps: 10,
  epoch: 1,
  fraction: 0.2,
  samplesPerSecond: 100,
  epochs: [],
  curve: { runStep: [1, 2], loss: [2, 1], accuracy: [0.1, 0.2], samplesPerSecond: [90, 100] },
  members: [],
  refused: {},
  reassigned: {},
  log: [],
  ...changes,
});

const step = (runStep: number): StepEvent => ({
  event: 'step',
  epoch: 1,
  step: runStep,
  runStep,
  loss: 0.5,
  accuracy: 0.3,
  samples: 8,
  learningRate: 0.1,
  seconds: 0.01,
});

const predictions = (epoch: number, predicted: number) => ({
  epoch,
  confusion: [
    [1, 0],
    [0, 1],
  ],
  pictures: [{ label: 0, predicted }],
});

function viewOf(...messages: Parameters<RunView['apply']>[0][]): RunView {
  const view = new RunView();
  for (const message of messages) view.apply(message);
  return view;
}

it('knows nothing before the first status', () => {
  const view = viewOf(step(1));
  expect(view.status).toBe(undefined);
  expect(view.curve.length).toBe(0);
});

it('goes on from step to step', () => {
  const view = viewOf(status({ state: 'waiting', reason: '1 of 2 workers are ready' }), step(3), step(4));
  expect(view.status).toMatchObject({ runStep: 4, fraction: 0.4, state: 'training', reason: undefined });
  expect(view.curve.columns.runStep).toEqual([1, 2, 3, 4]);
  expect(view.curve.columns.samplesPerSecond).toEqual([90, 100, 100, 100]);
});

it('begins anew with another start, and keeps what that says', () => {
  const view = viewOf(
    status({ predictions: predictions(1, 0) }),
    step(3),
    status({ startId: 'second', predictions: predictions(2, 1) }),
  );
  expect(view.curve.columns.runStep).toEqual([1, 2]);
  expect(view.previousPredictions).toBe(undefined);
  expect(view.status?.predictions?.epoch).toBe(2);
});

it('remembers the predictions of the epoch before', () => {
  const view = viewOf(status({ predictions: predictions(1, 1) }));
  const first = view.status?.predictions;
  view.apply(status({ predictions: predictions(1, 1) }));
  expect(view.status?.predictions).toBe(first);
  view.apply(status({ predictions: predictions(2, 0) }));
  expect(view.previousPredictions).toBe(first);
  expect(view.status?.predictions?.pictures).toEqual([{ label: 0, predicted: 0 }]);
});

it('takes an epoch once', () => {
  const epoch = { event: 'epoch', epoch: 1, testAccuracy: 0.8 } as EpochEvent;
  expect(viewOf(status(), epoch, epoch).status?.epochs).toEqual([epoch]);
});

it('tells how a run waits and ends', () => {
  const waiting = viewOf(status(), { event: 'waiting', ready: 1, needed: 2 });
  expect(waiting.status).toMatchObject({ state: 'waiting', reason: '1 of 2 workers are ready' });
  const done = { event: 'done', testLoss: 0.3, testAccuracy: 0.9 } as DoneEvent;
  expect(viewOf(status(), done).status).toMatchObject({ state: 'finished', result: { testAccuracy: 0.9 } });
  const error = { event: 'error', code: 'x', message: 'It broke.' } as const;
  expect(viewOf(status(), { ...error, fatal: false }).status?.state).toBe('training');
  expect(viewOf(status(), { ...error, fatal: true }).status).toMatchObject({ state: 'failed', reason: 'It broke.' });
});
