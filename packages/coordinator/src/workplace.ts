/** Where the workers of a run come together: the local pool, the fleet, and the port on which others join. */
import { type ShardPlan, SLICE_UNIT } from '@lockstep/core';
import {
  compareSketches,
  type EngineChoice,
  findPageAdvice,
  numElements,
  numEngineThreads,
  type PageAdvice,
} from '@lockstep/engine';
import { describeJob, type ListeningEvent, layoutHash, type TrainEvent } from '@lockstep/protocol';
import { type Job, WorkerPool } from '@lockstep/worker';
import type { TrainConfig } from './config.ts';
import {
  admit,
  Fleet,
  type FleetReport,
  MEMBERSHIP,
  Partitions,
  realClock,
  type StepReport,
  TIMING,
} from './fleet/index.ts';
import type { RunData } from './hold-out.ts';
import type { LoadedModel } from './model.ts';
import { Observatory } from './observe/index.ts';
import type { RunFolder } from './run-folder.ts';
import { CoordinatorServer, joinCommand, readTls, resolveToken, serveInvitation } from './server/index.ts';
import { VERSION } from './version.ts';
import { entriesOf } from './wire-choice.ts';

/** Longest header of a worker's message; see the protocol's frames. */
const HEADER_BYTES = 64 * 1024;

export interface WorkplaceOptions {
  readonly config: TrainConfig;
  readonly model: LoadedModel;
  readonly dataset: RunData;
  readonly plan: ShardPlan;
  readonly job: Job;
  readonly engine: EngineChoice;
  readonly folder: RunFolder;
  readonly report: (event: TrainEvent) => void;
  readonly onStep: (report: StepReport) => void;
  /** Folder of the built live page, or undefined for none. */
  readonly pages: string | undefined;
}

export class Workplace {
  readonly pool: WorkerPool;
  readonly fleet: Fleet;
  readonly server: CoordinatorServer;
  readonly observatory: Observatory;
  readonly listening: ListeningEvent;
  /** What to type on another machine. */
  readonly invitation: string;

  private constructor(
    pool: WorkerPool,
    fleet: Fleet,
    server: CoordinatorServer,
    observatory: Observatory,
    listening: ListeningEvent,
    invitation: string,
  ) {
    this.pool = pool;
    this.fleet = fleet;
    this.server = server;
    this.observatory = observatory;
    this.listening = listening;
    this.invitation = invitation;
  }

  /** Starts the threads and listens. @throws LockstepError when the port or the certificate cannot be used */
  static async open(options: WorkplaceOptions): Promise<Workplace> {
    const { config, plan, model, folder, pages, report } = options;
    const { layout } = model.network;
    const tls = await readTls(config.tlsCert, config.tlsKey);
    const before = await folder.readAccess();
    const { host } = config;
    const { token } = resolveToken({ host, token: config.token ?? before?.token });
    const pool = openPool(options, await findPageAdvice(options.engine.kind));
    // Steps begin only when the observatory is there.
    const fleet = openFleet(options, pool, (report) => {
      observatory.report(report);
      options.onStep(report);
    });
    const observatory = openObservatory(options, fleet);
    const maxNodes = Math.max(1, 2 * Math.log2(plan.numShards));
    const maxMessageBytes = HEADER_BYTES + maxNodes * layout.sumLength * Float32Array.BYTES_PER_ELEMENT;
    const listen = (port: number | undefined): Promise<CoordinatorServer> =>
      CoordinatorServer.open({ host, port, token, tls, allowedOrigins: [], maxMessageBytes }, (socket, peer) =>
        admit(socket, peer, fleet),
      );
    try {
      if (config.trace !== undefined) await observatory.trace(config.trace, (message) => report(notice(message)));
      // Workers look for a resumed run where it was before; when somebody else is there now, it is worth a new place.
      const server =
        config.port === undefined && before
          ? await listen(before.port).catch(() => listen(undefined))
          : await listen(config.port);
      observatory.serve(server, pages);
      serveInvitation(server, token);
      await folder.writeAccess({ port: server.port, token });
      const { url, port, fingerprint } = server;
      const listening = { event: 'listening', url, host, port, token: token !== undefined, fingerprint } as const;
      // One that was made here is known to nobody; another one stays off the screen.
      const shown = config.token === undefined ? token : undefined;
      return new Workplace(pool, fleet, server, observatory, listening, joinCommand(server, shown));
    } catch (error) {
      fleet.close('stopping', 'the coordinator cannot listen');
      await pool.close();
      throw error;
    }
  }

  /** Sends the workers away, for good when the run is finished, and ends the threads. */
  async close(finished: boolean): Promise<void> {
    if (finished) this.fleet.close('finished', 'The run is finished.');
    else this.fleet.close('stopping', 'The coordinator stops; it may come back.');
    await this.observatory.close();
    await this.server.close();
    await this.pool.close();
  }
}

const notice = (message: string): TrainEvent => ({ event: 'error', fatal: false, code: 'output-unwritable', message });

function openPool(
  { config, model, dataset, job, report, engine }: WorkplaceOptions,
  advise: PageAdvice | undefined,
): WorkerPool {
  const { kind, device } = engine;
  // Without local workers the threads still add up, update and evaluate.
  const numThreads = numEngineThreads(engine, config.workers || undefined);
  return new WorkerPool({
    job,
    network: model.network,
    train: dataset.train,
    test: dataset.test,
    validation: dataset.validation,
    numThreads,
    advise,
    onRecovery: (reason) =>
      report({ event: 'worker', id: 'local', state: 'recovered', engine: kind, device, threads: numThreads, reason }),
  });
}

function openObservatory({ config, dataset, engine }: WorkplaceOptions, fleet: Fleet): Observatory {
  const { heartbeatMs, heartbeatMisses } = MEMBERSHIP;
  return new Observatory({
    fleet,
    // Its pictures are those that are evaluated while the run goes on.
    dataset: { ...dataset, test: dataset.validation ?? dataset.test },
    version: VERSION,
    engine: `${engine.kind} on ${engine.device}`,
    minWorkers: config.minWorkers,
    stallBoundSeconds: (heartbeatMs * (heartbeatMisses + 0.25) + TIMING.softMinMs) / 1000,
  });
}

function openFleet(
  { config, model, dataset, plan, job, engine, report }: WorkplaceOptions,
  pool: WorkerPool,
  onStep: (report: StepReport) => void,
): Fleet {
  const { network, topology } = model;
  const { kind, device } = engine;
  const { labelSmoothing, augmentation, reduction, seed, numSamples, numShards, batchSize } = job;
  const topk = entriesOf(config.wire, network.layout.numWeights);
  return new Fleet({
    plan,
    layout: network.layout,
    sliceUnit: SLICE_UNIT,
    numEntries: topk,
    sampleBytes: numElements(network.inputShape) + 1,
    pool,
    local:
      config.workers === 0
        ? undefined
        : { name: 'local', threads: pool.numThreads, engine: kind, device, runtime: 'node' },
    minWorkers: config.minWorkers,
    joinTimeoutMs: config.joinTimeout * 1000,
    terms: () => {
      const partitions = new Partitions(plan, dataset.train);
      const digests = [...partitions.digests];
      const settings = { labelSmoothing, augmentation, reduction, topk, seed, numSamples, numShards, batchSize };
      const description = { topology, ...settings, partitions: digests };
      // Computed when the first worker connects, by an engine that was chosen because it works.
      const reference = pool.selfTest();
      reference.catch(() => {});
      const checkSketch = async (sketch: readonly number[]): Promise<string | undefined> =>
        compareSketches(network, sketch, await reference);
      return {
        job: describeJob(description),
        layoutHash: layoutHash(network.layout.parameters),
        partitions,
        checkSketch,
      };
    },
    clock: realClock,
    membership: MEMBERSHIP,
    timing: TIMING,
    report: (said) => report(eventOf(said)),
    onStep,
  });
}

function eventOf(report: FleetReport): TrainEvent {
  switch (report.kind) {
    case 'member': {
      const { id, state, reason } = report;
      const { name, engine, device, threads } = report.info;
      return { event: 'worker', id, name, state, engine, device, threads, reason };
    }
    case 'waiting':
      return { event: 'waiting', ready: report.ready, needed: report.needed };
    case 'reassigned': {
      const { runStep, member, range, cause } = report;
      return { event: 'reassigned', runStep, worker: member, ...range, cause };
    }
    default:
      return report satisfies never;
  }
}
