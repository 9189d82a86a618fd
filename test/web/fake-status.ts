/** A made-up run as `/api/status` would tell of it, at any step of it. The same step gives the same status. */
import { CLASS_NAMES } from '@lockstep/dataset';
import type { EpochEvent, MemberStatus, RunStatus, StepEvent } from '@lockstep/protocol';

const EPOCHS = 10;
const STEPS_PER_EPOCH = 118;
const BATCH_SIZE = 512;
const SHARDS = 8;
const NUM_PICTURES = 40;
const TEST_PER_CLASS = 1000;
const STARTED_AT = Date.UTC(2026, 4, 17, 12, 0, 0);

/** Between 0 and 1, the same for the same numbers. */
function chance(...seeds: readonly number[]): number {
  let hash = 0x9e3779b9;
  for (const seed of seeds) {
    hash = Math.imul(hash ^ (seed + 1), 0x85ebca6b);
    hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
    hash ^= hash >>> 16;
  }
  return (hash >>> 0) / 2 ** 32;
}

const courseOfLoss = (step: number): number => 0.24 + 0.35 * Math.exp(-step / 400) + 1.7 * Math.exp(-step / 18);
const courseOfAccuracy = (step: number): number => 0.915 - 0.13 * Math.exp(-step / 400) - 0.65 * Math.exp(-step / 18);

export function stepAt(runStep: number): StepEvent {
  return {
    event: 'step',
    epoch: Math.floor((runStep - 1) / STEPS_PER_EPOCH) + 1,
    step: ((runStep - 1) % STEPS_PER_EPOCH) + 1,
    runStep,
    loss: courseOfLoss(runStep) * (0.85 + 0.3 * chance(runStep)),
    accuracy: Math.min(1, courseOfAccuracy(runStep) + 0.05 * (chance(runStep, 1) - 0.5)),
    samples: BATCH_SIZE,
    learningRate: 0.001,
    seconds: 0.004,
  };
}

/** Classes that look alike. */
const ALIKE: Readonly<Record<number, number>> = { 0: 6, 2: 4, 4: 2, 5: 7, 6: 0, 7: 9, 9: 7 };

function confusionAfter(epoch: number): number[][] {
  const mistakes = 0.085 + 0.13 * Math.exp((-epoch * STEPS_PER_EPOCH) / 400);
  return CLASS_NAMES.map((_, label) => {
    const wrong = TEST_PER_CLASS * mistakes * (ALIKE[label] === undefined ? 0.3 : 1.5) * (0.8 + 0.4 * chance(label, 9));
    const row = CLASS_NAMES.map((_, predicted) => {
      if (predicted === label) return 0;
      return Math.floor(wrong * (ALIKE[label] === predicted ? 0.6 : 0.09 * chance(label, predicted)));
    });
    row[label] = TEST_PER_CLASS - row.reduce((a, b) => a + b, 0);
    return row;
  });
}

export function epochAt(epoch: number): EpochEvent {
  const step = epoch * STEPS_PER_EPOCH;
  const confusion = confusionAfter(epoch);
  return {
    event: 'epoch',
    epoch,
    epochs: EPOCHS,
    trainLoss: courseOfLoss(step),
    trainAccuracy: courseOfAccuracy(step),
    testLoss: courseOfLoss(step) + 0.07 + 0.01 * chance(epoch),
    testAccuracy: confusion.reduce((sum, row, label) => sum + row[label]!, 0) / (CLASS_NAMES.length * TEST_PER_CLASS),
    samples: 60_000,
    samplesPerSecond: 128_000 + 9000 * chance(epoch, 2),
    seconds: 0.52 + 0.1 * chance(epoch, 3),
  };
}

function predictionsAfter(epoch: number): NonNullable<RunStatus['predictions']> {
  const { testAccuracy } = epochAt(epoch);
  const pictures = Array.from({ length: NUM_PICTURES }, (_, i) => {
    const label = i % CLASS_NAMES.length;
    const isWrong = chance(i, 7) < 1.6 * (1 - testAccuracy);
    return { label, predicted: isWrong ? (ALIKE[label] ?? (label + 3) % 10) : label };
  });
  return { epoch, confusion: confusionAfter(epoch), pictures };
}

export function member(index: number, changes: Partial<MemberStatus> = {}): MemberStatus {
  const speed = 38_000 + 16_000 * chance(index, 11);
  return {
    id: index === 0 ? 'local' : `w${index}`,
    kind: index === 0 ? 'local' : 'remote',
    name: ['this machine', 'gpu-box', 'attic', 'lab-7'][index] ?? `node-${index}`,
    threads: 2 + (index % 3) * 3,
    engine: 'onnx',
    device: index === 1 ? 'cuda' : 'cpu',
    runtime: 'node',
    state: 'ready',
    samplesPerSecond: speed,
    ...(index === 0 ? {} : { roundTripMs: 0.3 + 2 * chance(index, 12) }),
    waitMs: index === 2 ? 1.84 : 0,
    bytesSent: index * 812_345_678,
    bytesReceived: index * 611_234_567,
    ...changes,
  };
}

/** As many members as asked for, with the shards divided among them. */
export function members(count: number, shards = SHARDS): MemberStatus[] {
  return Array.from({ length: count }, (_, i) => {
    const [from, to] = [Math.floor((i * shards) / count), Math.floor(((i + 1) * shards) / count)];
    return member(i, from === to ? {} : { shards: { from, to } });
  });
}

/** The run after some steps, with three workers, as a coordinator that began with it tells. */
export function statusAt(runStep: number, changes: Partial<RunStatus> = {}): RunStatus {
  const steps = Array.from({ length: runStep }, (_, i) => stepAt(i + 1));
  const done = Math.floor(runStep / STEPS_PER_EPOCH);
  const epochs = Array.from({ length: done }, (_, i) => epochAt(i + 1));
  const totalSteps = EPOCHS * STEPS_PER_EPOCH;
  const rateAt = (step: number): number => 128_000 + 14_000 * (chance(step >> 3, 5) - 0.5) - (step < 60 ? 40_000 : 0);
  const at = (seconds: number): number => STARTED_AT + 1000 * seconds;
  return {
    state: 'training',
    startedAt: STARTED_AT,
    startId: 'first',
    version: '0.1.0',
    classNames: [...CLASS_NAMES],
    dataset: {
      event: 'dataset',
      name: 'fashion-mnist',
      source: '/data/fashion-mnist',
      reason: 'found in LOCKSTEP_DATA_DIR',
      sha256: 'a'.repeat(64),
      trainSamples: 60_000,
      testSamples: 10_000,
    },
    model: {
      event: 'model',
      name: 'mlp',
      numParameters: 203_530,
      epochs: EPOCHS,
      batchSize: BATCH_SIZE,
      shards: SHARDS,
      stepsPerEpoch: STEPS_PER_EPOCH,
      optimizer: 'adam',
      learningRate: 0.001,
      schedule: 'stable-decay',
      seed: 0,
      runDir: 'runs/2026-05-17T12-00-00-mlp',
    },
    runStep,
    totalSteps,
    epoch: Math.min(EPOCHS, Math.floor(Math.max(0, runStep - 1) / STEPS_PER_EPOCH) + (runStep > 0 ? 1 : 0)),
    fraction: runStep / totalSteps,
    samplesPerSecond: runStep > 0 ? rateAt(runStep) : 0,
    ...(runStep > 0 ? { etaSeconds: ((totalSteps - runStep) * BATCH_SIZE) / 128_000, efficiency: 0.917 } : {}),
    epochs,
    curve: {
      runStep: steps.map(({ runStep }) => runStep),
      loss: steps.map(({ loss }) => loss),
      accuracy: steps.map(({ accuracy }) => accuracy),
      samplesPerSecond: steps.map(({ runStep }) => rateAt(runStep)),
    },
    members: members(3),
    ...(runStep > 0 ? { phases: { broadcast: 0.42, compute: 2.71, gather: 0.63, update: 0.31 } } : {}),
    refused: { duplicate: 3, version: 1 },
    reassigned: { lost: 2, speculated: 11 },
    ...(done > 0 ? { predictions: predictionsAfter(done) } : {}),
    log: [
      { at: at(0), level: 'info', text: 'Listening on ws://127.0.0.1:7070' },
      { at: at(1), level: 'info', text: 'local ready: the fastest engine that works on the cpu of this machine' },
      { at: at(3), level: 'info', text: 'w1 (gpu-box) joining: gpu-box prepares its engine and data' },
      { at: at(5), level: 'warning', text: 'Step 212: w1 computes shards 3 to 4 (lost)' },
      ...epochs.map(({ epoch, testAccuracy }) => ({
        at: at(5 + epoch),
        level: 'info' as const,
        text: `Epoch ${epoch}: test accuracy ${(100 * testAccuracy).toFixed(2)} %`,
      })),
    ],
    ...changes,
  };
}
