/** What a tab shows of what its worker tells. */
import type { JoinEvent, RunStatus } from '@lockstep/protocol';
import { expect, it } from 'vitest';
import { deviceWords, phaseReason, phaseWord, sentence } from './sentences.ts';
import type { Phase } from './tab.ts';
import { TabRecord } from './view.ts';

const working: Phase = { name: 'working' };
const plain = (text: string | undefined): string | undefined => text?.replaceAll('\u00a0', ' ');

const joined: JoinEvent = {
  event: 'joined',
  member: 'worker-3',
  engine: 'onnx',
  device: 'wasm',
  threads: 2,
  reason: 'this browser finds no GPU',
  jobHash: '',
  model: 'mlp',
  numParameters: 10,
  batchSize: 8,
  shards: 4,
  held: 0,
};
const status = { state: 'training', version: '1', totalSteps: 40, epochs: [{ testAccuracy: 0.75 }] } as RunStatus;
const step = (runStep: number, samples: number): JoinEvent => ({
  event: 'step',
  epoch: 2,
  runStep,
  from: 0,
  to: 1,
  samples,
  computeMs: 10,
});

it('tells from the first dial to the end where it is', () => {
  const record = new TabRecord();
  const says = (event?: JoinEvent): (string | undefined)[] => {
    if (event) record.event(event, 1000);
    const view = record.view(1000);
    return [phaseWord(working, view), plain(phaseReason(working, view))];
  };
  expect(says({ event: 'connecting', url: '', attempt: 1 })).toEqual(['Connecting', undefined]);
  record.status(status);
  expect(says()[0]).toBe('Preparing');
  expect(says(joined)).toEqual(['Joined', 'Ready; the coordinator has work for it soon.']);
  expect(says({ event: 'fetching', shard: 0, doneBytes: 500, totalBytes: 2000 })[1]).toBe(
    'Fetching data: 500 B of 2 kB.',
  );
  expect(says({ event: 'fetching', shard: 0, doneBytes: 2000, totalBytes: 2000 })[1]).toContain('Ready');
  expect(says(step(5, 16))).toEqual(['Training', undefined]);
  expect(says({ event: 'waiting', reason: 'the connection broke', retryInMs: 1500 })).toEqual([
    'Not connected',
    'The connection broke. Another try within 2 s.',
  ]);
  expect(phaseReason({ name: 'finished' }, record.view(1000))).toContain('75.00');
});

it('counts samples, and each step once', () => {
  const record = new TabRecord();
  for (const event of [step(5, 16), step(5, 8), step(6, 16)]) record.event(event, 1000);
  expect(record.view(1000)).toMatchObject({ samples: 40, steps: 2, runStep: 6, epoch: 2 });
});

it('says whether a token is missing or wrong', () => {
  expect(phaseReason({ name: 'token', wasGiven: false }, undefined)).not.toContain('wrong');
  expect(phaseReason({ name: 'token', wasGiven: true }, undefined)).toContain('wrong');
});

it.each([
  [deviceWords('wasm'), 'WebAssembly'],
  [deviceWords('webgpu: nvidia ampere'), 'WebGPU (nvidia ampere)'],
  [sentence('it broke'), 'It broke.'],
  [sentence('It broke!'), 'It broke!'],
])('writes %s', (written, expected) => expect(written).toBe(expected));
