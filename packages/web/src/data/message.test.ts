import { expect, it } from 'vitest';
import { parseMessage } from './message.ts';

const status = {
  event: 'status',
  state: 'training',
  startId: 'a',
  runStep: 1,
  totalSteps: 2,
  epoch: 1,
  fraction: 0.5,
  samplesPerSecond: 3,
  classNames: [],
  epochs: [],
  members: [],
  log: [],
  refused: {},
  reassigned: {},
  curve: { runStep: [1], loss: [2], accuracy: [0.5], samplesPerSecond: [3] },
};
const step = { event: 'step', runStep: 1, epoch: 1, loss: 2, accuracy: 0.5 };

it.each([status, step, { event: 'waiting', ready: 1, needed: 2 }, { event: 'of another version' }])(
  'reads %o',
  (value) => expect(parseMessage(JSON.stringify(value))).toEqual(value),
);

it.each([
  '',
  '{"event":"step"',
  'null',
  '[]',
  '{}',
  JSON.stringify({ ...step, loss: null }),
  JSON.stringify({ ...status, members: undefined }),
  JSON.stringify({ ...status, startId: undefined }),
  JSON.stringify({ ...status, curve: { ...status.curve, loss: [] } }),
  JSON.stringify({ ...status, curve: undefined }),
  JSON.stringify({ ...status, refused: [] }),
])('passes over %s', (text) => expect(parseMessage(text)).toBe(undefined));
