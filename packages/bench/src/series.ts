/** From measured blocks to series: speed-ups, efficiencies, phases, network and laws. Pure functions. */
import type { RunStatus } from '@lockstep/protocol';
import type { Case } from './cases.ts';
import { fitAmdahl, fitUsl, serialShare } from './fits.ts';
import type { NetworkRate, Phases, Place, Point, Series } from './report.ts';
import { type Estimate, estimate, median, ratioOf, scaled } from './statistics.ts';

/** What one block of a case told. */
export interface CaseBlock {
  /** Samples per second. */
  readonly rate: number;
  readonly steps: number;
  readonly phases: RunStatus['phases'];
  readonly members: RunStatus['members'];
}

/** All blocks of a case, one a round. */
export interface MeasuredCase extends Case {
  /** At the end of the warm-up: where counting of bytes begins. */
  readonly before: Pick<CaseBlock, 'members'>;
  readonly blocks: readonly CaseBlock[];
}

/** What all cases of a group have in common. */
export interface Group {
  readonly model: string;
  readonly numParameters: number;
  readonly engine: string;
  readonly device: string;
  readonly wire: string;
  readonly batchSize: number;
}

const PHASE_NAMES = ['broadcast', 'compute', 'gather', 'update'] as const satisfies readonly (keyof Phases)[];

export function buildSeries(group: Group, cases: readonly MeasuredCase[]): Series[] {
  const series: Series[] = [];
  for (const place of ['local', 'remote', 'joined'] as const) {
    for (const scaling of ['strong', 'weak'] as const) {
      const own = cases.filter(
        (candidate) => candidate.place === place && (candidate.scaling === scaling || candidate.workers === 1),
      );
      // One worker by itself is no weak scaling.
      if (own.length === 0 || (scaling === 'weak' && !own.some((candidate) => candidate.scaling === 'weak'))) continue;
      const points = own.map((measured) => pointOf(group, measured, cases, scaling));
      const rates = points.map(({ workers, rate }) => ({ workers, rate: rate.median }));
      const isStrong = scaling === 'strong';
      series.push({
        ...group,
        place,
        scaling,
        points,
        amdahl: isStrong ? fitAmdahl(rates) : null,
        usl: isStrong ? fitUsl(rates) : null,
      });
    }
  }
  return series;
}

function pointOf(group: Group, measured: MeasuredCase, all: readonly MeasuredCase[], scaling: Case['scaling']): Point {
  const { place, workers, batchSize, shards, blocks } = measured;
  const rates = ratesOf(measured);
  const find = (where: Place, count: number): MeasuredCase | undefined =>
    all.find(
      (other) =>
        other.place === where && other.workers === count && (other.scaling === measured.scaling || count === 1),
    );
  const one = find(place, 1);
  const local = place === 'local' ? undefined : find('local', workers);
  const speedup = one ? ratioOf(rates, ratesOf(one)) : null;
  const rate = estimate(rates);
  const phases = phasesOf(blocks);
  return {
    workers,
    batchSize,
    shards,
    rates,
    rate,
    speedup,
    efficiency: speedup && scaled(speedup, 1 / workers),
    serialShare: speedup && workers > 1 && scaling === 'strong' ? serialShare(speedup.median, workers) : null,
    againstLocal: local ? ratioOf(rates, ratesOf(local)) : null,
    stepMs: (batchSize / rate.median) * 1000,
    phases,
    network: place === 'local' ? null : networkOf(group, measured, phases),
    members: place === 'joined' ? membersOf(blocks) : [],
  };
}

const ratesOf = ({ blocks }: MeasuredCase): number[] => blocks.map(({ rate }) => rate);

export function phasesOf(blocks: readonly CaseBlock[]): Phases | null {
  const known = blocks.flatMap(({ phases }) => (phases ? [phases] : []));
  if (known.length === 0) return null;
  const middle = (name: keyof Phases): number => median(known.map((phases) => phases[name]));
  const [broadcast, compute, gather, update] = PHASE_NAMES.map(middle) as [number, number, number, number];
  return { broadcast, compute, gather, update };
}

/** Bytes per step from what the members' counters grew by in each block; the median leaves out one that fetched data. */
export function networkOf(
  { numParameters }: Pick<Group, 'numParameters'>,
  { before, blocks }: Pick<MeasuredCase, 'before' | 'blocks'>,
  phases: Phases | null,
): NetworkRate | null {
  if (!phases) return null;
  const total = ({ members }: Pick<CaseBlock, 'members'>, key: 'bytesSent' | 'bytesReceived'): number =>
    members.reduce((sum, member) => sum + member[key], 0);
  const perStep = (key: 'bytesSent' | 'bytesReceived'): number =>
    median(blocks.map((block, i) => (total(block, key) - total(blocks[i - 1] ?? before, key)) / block.steps));
  const roundTrips = blocks.flatMap(({ members }) => members.flatMap(({ roundTripMs }) => roundTripMs ?? []));
  // The quickest: the others waited for a process that was computing.
  const roundTripMs = roundTrips.length > 0 ? Math.min(...roundTrips) : 0;
  const bytesDown = perStep('bytesSent');
  const bytesUp = perStep('bytesReceived');
  // A sum vector ends in loss, number correct and number of samples.
  const sumBytes = (numParameters + 3) * Float32Array.BYTES_PER_ELEMENT;
  // Phases are averages and the round trip is not, so the difference of small ones may come out as nothing.
  const bothMs = phases.broadcast + phases.gather;
  const onTheWayMs = Math.max(bothMs / 2, bothMs - roundTripMs);
  return {
    roundTripMs,
    bytesDown,
    bytesUp,
    partialSums: bytesUp / sumBytes,
    bytesPerSecond: ((bytesDown + bytesUp) / onTheWayMs) * 1000,
  };
}

function membersOf(blocks: readonly CaseBlock[]): Point['members'] {
  const last = blocks.at(-1)?.members ?? [];
  return last.map(({ id, name, threads, engine, device }) => {
    const rates = blocks.flatMap(({ members }) => members.find((member) => member.id === id)?.samplesPerSecond ?? []);
    return { name, threads, engine, device, rate: rates.length > 0 ? median(rates) : 0 };
  });
}

/** The rate of joined workers together, by the sum of what each reached while it computed. */
export function joinedEfficiency({ rate, members }: Pick<Point, 'rate' | 'members'>): Estimate | undefined {
  const own = members.reduce((sum, member) => sum + member.rate, 0);
  return own > 0 ? scaled(rate, 1 / own) : undefined;
}
