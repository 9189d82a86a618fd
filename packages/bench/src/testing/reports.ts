/** Reports for tests, with figures that a person can follow. */
import type { AggregateReport, EnginesReport, Header, Point, Series, TrainingReport } from '../report.ts';
import { buildSeries, type MeasuredCase } from '../series.ts';
import { estimate } from '../statistics.ts';

export const header: Header = {
  format: 1,
  startedAt: '2026-01-02T03:04:05.000Z',
  seconds: 60,
  command: 'lockstep bench | tee log',
  machine: {
    cpu: 'Test <CPU> & Co',
    cores: 4,
    memoryBytes: 8 * 2 ** 30,
    platform: 'linux-x64',
    release: '6.0',
    node: 'v20.19.0',
    lockstep: '0.1.0',
  },
  load: { average: [0.1, 0.2, 0.3], busy: 0.01, warning: null },
  rounds: 6,
  blockSeconds: 1,
};

const PHASES = { broadcast: 1, compute: 6, gather: 2, update: 1 };

/** Six rounds around a rate, a percent apart, so that every interval is known. */
export const roundsAround = (rate: number): number[] => [-2, -1, 0, 0, 1, 2].map((step) => rate * (1 + step / 100));

const member = (id: string, bytes: number) => ({
  id,
  kind: 'remote' as const,
  name: id,
  threads: 1,
  engine: 'onnx',
  device: 'cpu',
  runtime: 'node',
  state: 'ready' as const,
  roundTripMs: 1,
  bytesSent: bytes,
  bytesReceived: bytes / 2,
});

/** A case whose blocks have ten steps; each step sends 4000 bytes to each remote worker. */
function measuredCase(what: Partial<MeasuredCase> & { readonly workers: number; readonly rate: number }): MeasuredCase {
  const { place = 'local', scaling = 'strong', workers, rate } = what;
  const members = (block: number) =>
    place === 'local' ? [] : Array.from({ length: workers }, (_, i) => member(`worker-${i + 1}`, block * 40_000));
  return {
    place,
    scaling,
    batchSize: scaling === 'weak' ? 100 * workers : 100,
    shards: 8,
    before: { members: members(0) },
    blocks: roundsAround(rate).map((value, i) => ({ rate: value, steps: 10, phases: PHASES, members: members(i + 1) })),
    ...what,
  };
}

const group = {
  model: 'mlp',
  numParameters: 997,
  engine: 'onnx',
  device: 'cpu',
  wire: 'fp32',
  batchSize: 100,
} as const;

export const someSeries: readonly Series[] = buildSeries(group, [
  measuredCase({ workers: 1, rate: 1000 }),
  measuredCase({ workers: 2, rate: 1900 }),
  measuredCase({ workers: 4, rate: 3400 }),
  measuredCase({ workers: 8, rate: 5600 }),
  measuredCase({ workers: 4, rate: 3800, scaling: 'weak' }),
  measuredCase({ workers: 1, rate: 800, place: 'remote' }),
]);

export const pointOf = (place: Series['place'], scaling: Series['scaling'], workers: number): Point =>
  someSeries
    .find((series) => series.place === place && series.scaling === scaling)!
    .points.find((point) => point.workers === workers)!;

const engines = [
  {
    model: 'mlp',
    engine: 'onnx',
    device: 'cpu',
    microBatch: 64,
    rates: roundsAround(1200),
    rate: estimate(roundsAround(1200)),
  },
];

export const training: TrainingReport = {
  ...header,
  kind: 'training',
  data: { name: 'synthetic', sha256: 'ab', samples: 60_000 },
  memory: { oneThread: 1e10, allThreads: 2e10 },
  series: [...someSeries],
  engineAlone: engines,
  predictions: [],
  skipped: [{ what: 'mlp with tfjs', reason: 'too | slow' }],
  comparison: null,
};

export const enginesReport: EnginesReport = { ...header, kind: 'engines', engines, skipped: [], comparison: null };

export const aggregate: AggregateReport = {
  ...header,
  kind: 'aggregate',
  workers: 8,
  numParameters: 1_000_000,
  threads: 4,
  memory: training.memory,
  update: { ms: estimate(roundsAround(5)), bytes: 5.6e7, bytesPerSecond: 1.12e10, shareOfMemory: 0.56 },
  traffic: {
    stepMs: estimate(roundsAround(50)),
    phases: PHASES,
    bytesUp: 3.2e7,
    bytesDown: 3.2e7,
    bytesUpPerSecond: 6.4e8,
    bytesBothPerSecond: 1.28e9,
  },
  comparison: null,
};
