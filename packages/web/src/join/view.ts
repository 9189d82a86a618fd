/** What a tab has to show of its work, kept up from what its worker tells. */
import type { JoinEvent, RunStatus } from '@lockstep/protocol';
import { latestAccuracy } from '../words/sentences.ts';
import { Rate } from './rate.ts';

/** What there is to know of the run, as the coordinator said it last. */
export type RunFacts = Pick<RunStatus, 'state' | 'version' | 'model' | 'dataset' | 'totalSteps'> & {
  /** The latest there is. */
  readonly testAccuracy: number | undefined;
};

type Link =
  | { readonly state: 'connecting'; readonly attempt: number }
  /** The coordinator answers; the engine is opened. */
  | { readonly state: 'preparing' }
  | { readonly state: 'joined' }
  /** @param since milliseconds since 1970 */
  | { readonly state: 'waiting'; readonly reason: string; readonly retryInMs: number };

export interface TabView {
  readonly link: Link;
  readonly run: RunFacts | undefined;
  /** What the coordinator calls this tab. */
  readonly member: string | undefined;
  readonly device: string | undefined;
  /** Why this device. */
  readonly reason: string | undefined;
  readonly numEngines: number | undefined;
  /** Bytes of the data that is fetched now. */
  readonly fetching: { readonly doneBytes: number; readonly totalBytes: number } | undefined;
  readonly epoch: number;
  readonly runStep: number;
  readonly samples: number;
  readonly steps: number;
  /** Of this tab, lately. */
  readonly samplesPerSecond: number;
  /** The same, without what it waited. */
  readonly whileComputing: number;
  readonly notice: string | undefined;
}

export class TabRecord {
  readonly #rate = new Rate();
  #view: TabView = {
    link: { state: 'connecting', attempt: 1 },
    run: undefined,
    member: undefined,
    device: undefined,
    reason: undefined,
    numEngines: undefined,
    fetching: undefined,
    epoch: 0,
    runStep: 0,
    samples: 0,
    steps: 0,
    samplesPerSecond: 0,
    whileComputing: 0,
    notice: undefined,
  };

  /** @param now milliseconds */
  view(now: number): TabView {
    return { ...this.#view, ...this.#rate.at(now) };
  }

  status({ state, version, model, dataset, totalSteps, epochs, result }: RunStatus): void {
    const testAccuracy = latestAccuracy({ epochs, result })?.accuracy;
    const run = { state, version, model, dataset, totalSteps, testAccuracy };
    const { link } = this.#view;
    this.#change({ run, ...(link.state === 'connecting' ? { link: { state: 'preparing' } } : {}) });
  }

  event(event: JoinEvent, now: number): void {
    switch (event.event) {
      case 'connecting':
        this.#change({ link: { state: 'connecting', attempt: event.attempt }, fetching: undefined });
        break;
      case 'joined': {
        const { member, device, reason, threads } = event;
        this.#change({ link: { state: 'joined' }, member, device, reason, numEngines: threads, notice: undefined });
        break;
      }
      case 'fetching': {
        const { doneBytes, totalBytes } = event;
        this.#change({ fetching: doneBytes < totalBytes ? { doneBytes, totalBytes } : undefined });
        break;
      }
      case 'step': {
        const { epoch, runStep, samples } = event;
        this.#rate.add(now, samples, event.computeMs);
        const steps = this.#view.steps + (runStep === this.#view.runStep ? 0 : 1);
        this.#change({ epoch, runStep, steps, samples: this.#view.samples + samples });
        break;
      }
      case 'waiting':
        this.#change({ link: { state: 'waiting', reason: event.reason, retryInMs: event.retryInMs } });
        break;
      case 'notice':
        this.#change({ notice: event.message });
        break;
      case 'finished':
        break;
      default:
        event satisfies never;
    }
  }

  #change(changes: Partial<TabView>): void {
    this.#view = { ...this.#view, ...changes };
  }
}
