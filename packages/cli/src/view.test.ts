import type { RunStatus } from '@lockstep/protocol';
import { describe, expect, it } from 'vitest';
import { costlyUpdate, runView, sparkline } from './view.ts';

// biome-ignore lint/suspicious/noControlCharactersInRegex: colours begin with an escape
const plain = (lines: readonly string[]): string[] => lines.map((line) => line.replaceAll(/\x1b\[[0-9;]*m/g, ''));

const member = {
  id: 'worker-1',
  kind: 'remote',
  name: 'gpu-box',
  threads: 4,
  engine: 'onnx',
  device: 'cpu',
  runtime: 'node',
  state: 'ready',
  shards: { from: 3, to: 8 },
  samplesPerSecond: 12_345.6,
  bytesSent: 0,
  bytesReceived: 0,
} as const;

const status: RunStatus = {
  state: 'training',
  startedAt: 0,
  startId: 'x',
  version: '0',
  classNames: [],
  model: {
    event: 'model',
    name: 'mlp',
    numParameters: 1,
    epochs: 4,
    batchSize: 10,
    shards: 8,
    stepsPerEpoch: 100,
    optimizer: 'adam',
    learningRate: 0.1,
    schedule: 'constant',
    seed: 0,
    runDir: 'runs/x',
  },
  runStep: 200,
  totalSteps: 400,
  epoch: 2,
  fraction: 0.5,
  samplesPerSecond: 4321,
  etaSeconds: 75,
  epochs: [],
  curve: { runStep: [1, 2, 3], loss: [3, 2, 1], accuracy: [0, 0, 0], samplesPerSecond: [1, 1, 1] },
  members: [member],
  phases: { broadcast: 1, compute: 7, gather: 1.5, update: 0.5 },
  efficiency: 0.9,
  refused: {},
  reassigned: {},
  log: [],
};

describe('sparkline', () => {
  it('draws from the least to the greatest value', () => {
    expect(sparkline([0, 1, 2, 3, 4, 5, 6, 7])).toBe('▁▂▃▄▅▆▇█');
    expect(sparkline([5, 5, 5])).toBe('▁▁▁');
    expect(sparkline([])).toBe('');
    expect(sparkline([Number.NaN, 1, 2])).toBe('▁█');
  });

  it('averages what does not fit', () => {
    const values = Array.from({ length: 1000 }, (_, i) => i);
    expect(sparkline(values, 8)).toBe('▁▂▃▄▅▆▇█');
    expect(sparkline(values)).toHaveLength(24);
  });
});

describe('runView', () => {
  it('shows where the run is, its curves and its workers', () => {
    expect(plain(runView(status, 200))).toEqual([
      '████████████░░░░░░░░░░░░ training epoch 2/4 step 100/100  4,321 samples/s  1:15 left',
      `train loss    ${'█▅▁'.padEnd(24)} 1.0000`,
      'step          10.0 ms: broadcast 10 %, compute 70 %, gather 15 %, update 5 %  efficiency 90.00 %',
      'worker-1      gpu-box, 4 threads  onnx on cpu  shards 3-7  12,346/s',
    ]);
  });

  it('says why it waits and why a worker is left out', () => {
    const waiting = { ...status, state: 'waiting', reason: '1 of 2 workers are ready', samplesPerSecond: 0 } as const;
    const quarantined = { ...member, state: 'quarantined', reason: '3 failures' } as const;
    const [head, ...rest] = plain(runView({ ...waiting, members: [quarantined] }, 200));
    expect(head).toMatch(/waiting .*1 of 2 workers are ready$/);
    expect(rest.at(-1)).toBe('worker-1      gpu-box, 4 threads  quarantined  3 failures');
  });

  it('fits the terminal, however many workers and however long their names', () => {
    const members = Array.from({ length: 40 }, (_, i) => ({ ...member, id: `worker-${i}`, name: 'n'.repeat(64) }));
    const lines = plain(runView({ ...status, members }, 60));
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(60);
    expect(lines).toHaveLength(3 + 8 + 1);
    expect(lines.at(-1)).toContain('and 32 more workers');
  });
});

describe('costlyUpdate', () => {
  const slow = {
    ...status,
    model: { ...status.model!, optimizer: 'muon', batchSize: 128 },
    phases: { broadcast: 0, compute: 2, gather: 0, update: 8 },
  } as const;

  it('names the share of the update, and what to do about it', () => {
    expect(costlyUpdate(slow)).toMatch(/^80 % .*more than --batch-size 128, or --optimizer adamw/);
  });

  it.each([
    ['the gradient takes its part', { phases: { broadcast: 1, compute: 4, gather: 0, update: 8 } }],
    ['the update is another one', { model: { ...slow.model, optimizer: 'adam' } }],
    ['only few steps are done', { runStep: 99 }],
    ['nothing was measured', { phases: undefined }],
  ] as const)('is silent when %s', (_, change) => {
    expect(costlyUpdate({ ...slow, ...change })).toBeUndefined();
  });
});
