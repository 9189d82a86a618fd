/** Events, members and reports of a run that never was, for tests of what looks at runs. */
import type { ModelEvent, StepEvent, TrainEvent } from '@lockstep/protocol';
import type { MemberFacts, StepReport } from '../../fleet/index.ts';
import { RunRecord } from '../record.ts';

const CLASSES = ['shirt', 'boot', 'bag'];

export const model: ModelEvent = {
  event: 'model',
  name: 'mlp',
  numParameters: 10,
  epochs: 2,
  batchSize: 80,
  shards: 8,
  stepsPerEpoch: 50,
  optimizer: 'adam',
  learningRate: 0.001,
  schedule: 'constant',
  seed: 0,
  runDir: 'runs/x',
};

export const dataset: TrainEvent = {
  event: 'dataset',
  name: 'synthetic',
  source: 'drawn',
  reason: 'nothing else was found',
  sha256: 'a'.repeat(64),
  trainSamples: 4000,
  testSamples: 100,
};

export const step = (runStep: number, more: Partial<StepEvent> = {}): StepEvent => ({
  event: 'step',
  epoch: 1 + Math.floor((runStep - 1) / 50),
  step: 1 + ((runStep - 1) % 50),
  runStep,
  loss: 1 / runStep,
  accuracy: 0.5,
  samples: 80,
  learningRate: 0.001,
  seconds: 0.01,
  ...more,
});

export const epoch = (number: number, testAccuracy = 0.8): TrainEvent => ({
  event: 'epoch',
  epoch: number,
  epochs: 2,
  trainLoss: 0.5,
  trainAccuracy: 0.7,
  testLoss: 0.6,
  testAccuracy,
  samples: 4000,
  samplesPerSecond: 1000,
  seconds: 4,
});

export const done: TrainEvent = {
  event: 'done',
  testLoss: 0.6,
  testAccuracy: 0.8,
  weightsSha256: 'b'.repeat(64),
  runDir: 'runs/x',
  samples: 8000,
  seconds: 8,
};

export const progress = (phase: 'train' | 'evaluate'): TrainEvent => ({
  event: 'progress',
  epoch: 1,
  epochs: 2,
  step: 1,
  stepsPerEpoch: 50,
  fraction: 0.01,
  samplesPerSecond: 100,
  trainLoss: 1,
  trainAccuracy: 0.5,
  phase,
});

type WorkerState = Extract<TrainEvent, { event: 'worker' }>['state'];

export const worker = (id: string, state: WorkerState): TrainEvent => ({
  event: 'worker',
  id,
  state,
  engine: 'onnx',
  device: 'cpu',
  threads: 1,
  reason: 'it said so',
});

export const member = (id: string, more: Partial<MemberFacts> = {}): MemberFacts => ({
  id,
  kind: id === 'local' ? 'local' : 'remote',
  name: id,
  threads: 1,
  engine: 'onnx',
  device: 'cpu',
  runtime: 'node',
  state: 'ready',
  reason: undefined,
  shards: undefined,
  roundTripMs: id === 'local' ? undefined : 2,
  bytesSent: 0,
  bytesReceived: 0,
  ...more,
});

/** @param computeMs by member, each of which had as many of the eight shards as the others */
export function report(computeMs: Readonly<Record<string, number>>, more: Partial<StepReport> = {}): StepReport {
  const members = Object.entries(computeMs);
  const share = 8 / members.length;
  return {
    runStep: 0,
    wire: 'fp32',
    numSteps: 1,
    startedAt: 0,
    totalMs: 20,
    phases: { broadcast: 1, compute: 10, gather: 5, update: 4 },
    answers: members.map(([id, ms], i) => ({
      member: id,
      from: i * share,
      to: (i + 1) * share,
      sentAt: 0,
      answeredAt: ms,
      startedAt: 0,
      computeMs: ms,
    })),
    heldUp: undefined,
    marks: [],
    ...more,
  };
}

/** A record of a run in which the given members take part; they may be changed. */
export function newRecord(members: MemberFacts[] = []): RunRecord {
  return new RunRecord('1.2.3', CLASSES, {
    members: () => members,
    refused: () => ({ duplicate: 3 }),
    reassigned: () => ({ lost: 2 }),
  });
}
