/** All that looks at a run: its record, metrics, event stream and pages, on the coordinator's port. */
import { type ImageDataset, pictureStrip } from '@lockstep/dataset';
import type { RunStatus, StepEvent, TrainEvent } from '@lockstep/protocol';
import type { Fleet, StepReport } from '../fleet/index.ts';
import type { CoordinatorServer } from '../server/index.ts';
import { EventStream } from './event-stream.ts';
import { RunMetrics } from './metrics.ts';
import { servePages } from './pages.ts';
import { RunRecord } from './record.ts';
import { TraceWriter } from './trace.ts';

/** Test pictures that pages show. */
const NUM_PICTURES = 40;

export interface ObservatoryOptions {
  readonly fleet: Fleet;
  readonly dataset: ImageDataset;
  readonly version: string;
  /** What computes here, for people. */
  readonly engine: string;
  readonly minWorkers: number;
  readonly stallBoundSeconds: number;
}

export class Observatory {
  readonly #record: RunRecord;
  readonly #metrics: RunMetrics;
  readonly #stream: EventStream;
  readonly #options: ObservatoryOptions;
  #trace: TraceWriter | undefined;
  #server: CoordinatorServer | undefined;

  constructor(options: ObservatoryOptions) {
    const { fleet, dataset, version, engine, minWorkers, stallBoundSeconds } = options;
    this.#options = options;
    const sources = {
      members: () => fleet.members,
      refused: () => fleet.refused.toJSON(),
      reassigned: () => fleet.reassigned.toJSON(),
    };
    this.#record = new RunRecord(version, dataset.classNames, sources);
    this.#stream = new EventStream(this.#record);
    this.#metrics = new RunMetrics(this.#record, {
      ...sources,
      bytes: () => fleet.bytes,
      refusedConnections: () => Object.fromEntries(this.#server?.refused ?? []),
      viewers: () => this.#stream.numViewers,
      engine,
      minWorkers,
      stallBoundSeconds,
    });
  }

  /** Begins to write down every step. @throws LockstepError `output-unwritable` */
  async trace(path: string, onNotice: (message: string) => void): Promise<void> {
    this.#trace = await TraceWriter.open(path, onNotice);
  }

  /** @param pages folder of the built page, or undefined for none */
  serve(server: CoordinatorServer, pages: string | undefined): void {
    this.#server = server;
    server.route('/metrics', async (_, response) => {
      const text = await this.#metrics.text();
      response.setHeader('Content-Type', this.#metrics.contentType);
      response.end(text);
    });
    server.route('/api/status', (_, response) => {
      response.setHeader('Content-Type', 'application/json');
      response.end(`${JSON.stringify(this.#record.status())}\n`);
    });
    server.route('/events', (request, response) => this.#stream.open(request, response));
    let strip: Promise<Buffer> | undefined;
    server.route('/api/pictures.png', async (_, response) => {
      strip ??= pictureStrip(this.#options.dataset.test, NUM_PICTURES);
      const png = await strip;
      response.setHeader('Content-Type', 'image/png');
      response.setHeader('Cache-Control', 'no-cache');
      response.end(png);
    });
    const { fleet } = this.#options;
    server.route(
      '/readyz',
      (_, response) => {
        response.statusCode = fleet.isReady ? 200 : 503;
        response.end(fleet.isReady ? 'ready\n' : 'waiting for workers\n');
      },
      { open: true },
    );
    if (pages !== undefined) servePages(server, pages);
  }

  status(): RunStatus {
    return this.#record.status();
  }

  event(event: TrainEvent): void {
    this.#record.event(event);
    if (event.event === 'worker') this.#metrics.workerChanged(event.state);
    // Steps come by themselves, all of them.
    if (event.event !== 'step') this.#stream.push(event);
  }

  step(event: StepEvent): void {
    this.#record.step(event);
    this.#stream.push(event);
  }

  report(report: StepReport): void {
    this.#record.report(report);
    this.#metrics.report(report);
    this.#trace?.report(report);
  }

  checkpoint(result: 'saved' | 'failed', ms: number): void {
    this.#metrics.checkpoint(result, ms / 1000);
  }

  /** What the model says about the test samples, in their order. */
  evaluated(epoch: number, predictions: Uint8Array): void {
    this.#record.evaluated(epoch, this.#options.dataset.test.labels, predictions, NUM_PICTURES);
  }

  /** The run ended by an error. */
  ended(error: unknown): void {
    this.#record.ended(error);
  }

  async close(): Promise<void> {
    this.#stream.close();
    await this.#trace?.close();
  }
}
