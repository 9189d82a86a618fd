/** The tab as the page drives it: starts and stops its session, and says what there is to show. */
import type { WebDevice } from '@lockstep/engine/browser';
import { knowsBattery, watchBattery } from './battery.ts';
import { deviceName } from './device-name.ts';
import type { FromSession, Outcome, ToSession } from './messages.ts';
import { Screen } from './screen.ts';
import { keepToken, takeToken } from './token.ts';
import type { TabView } from './view.ts';

/** What people can choose. */
export interface Choices {
  readonly device: WebDevice;
  readonly numLanes: number;
  readonly pauseOnBattery: boolean;
}

export type Phase =
  | { readonly name: 'working' }
  | { readonly name: 'stopping' }
  | { readonly name: 'stopped' }
  /** Until it is charged. */
  | { readonly name: 'paused' }
  /** The coordinator wants one. */
  | { readonly name: 'token'; readonly wasGiven: boolean }
  | { readonly name: 'finished' }
  | { readonly name: 'failed'; readonly message: string; readonly nextStep: string };

/** How long a session may take to say goodbye before it is ended. */
const STOP_MS = 3_000;
const MAX_LANES = 64;
const USUAL_MAX_LANES = 8;

/** One core stays free for people. */
const usualNumLanes = (): number => Math.max(1, Math.min(USUAL_MAX_LANES, (navigator.hardwareConcurrency || 2) - 1));

export class Tab {
  phase: Phase = { name: 'stopped' };
  view: TabView | undefined;
  choices: Choices = { device: 'auto', numLanes: usualNumLanes(), pauseOnBattery: false };
  readonly #onChange: () => void;
  readonly #screen = new Screen();
  #session: Worker | undefined;
  #token: string | undefined;
  #isOnBattery = false;
  /** What becomes of a session that ends because it was asked to. */
  #after: 'stopped' | 'paused' | 'start' = 'stopped';

  constructor(onChange: () => void) {
    this.#onChange = onChange;
    this.#token = takeToken();
    if (knowsBattery) {
      void watchBattery((isOnBattery) => {
        this.#isOnBattery = isOnBattery;
        this.#consider();
      });
    }
    // The browser would end the session anyway; asked to, it says goodbye.
    addEventListener('pagehide', () => this.stop());
  }

  get isOnBattery(): boolean {
    return this.#isOnBattery;
  }

  start(): void {
    if (this.#session) return;
    if (this.choices.pauseOnBattery && this.#isOnBattery) {
      this.#become({ name: 'paused' });
      return;
    }
    const session = new Worker(new URL('./session.worker.ts', import.meta.url), { type: 'module', name: 'session' });
    this.#session = session;
    session.onmessage = ({ data }: MessageEvent<FromSession>) => this.#hear(session, data);
    session.onerror = ({ message }) => {
      const said = message || 'its script could not be loaded';
      this.#end(session, { kind: 'failed', message: `The worker of this page failed: ${said}.`, nextStep: RELOAD });
    };
    const { device, numLanes } = this.choices;
    const options = {
      url: new URL('.', location.href).href,
      token: this.#token,
      name: deviceName(navigator.userAgent),
      numLanes,
      device,
    };
    session.postMessage({ kind: 'start', options } satisfies ToSession);
    this.view = undefined;
    this.#become({ name: 'working' });
  }

  startWith(token: string): void {
    this.#token = token;
    keepToken(token);
    this.start();
  }

  stop(): void {
    this.#leave('stopped');
  }

  /** Applies at once what is chosen, beginning anew where it matters. */
  choose(changes: Partial<Choices>): void {
    const before = this.choices;
    const numLanes = Math.max(1, Math.min(MAX_LANES, Math.round(changes.numLanes ?? before.numLanes) || 1));
    this.choices = { ...before, ...changes, numLanes };
    const matters = this.choices.device !== before.device || numLanes !== before.numLanes;
    if (matters && this.phase.name === 'working') this.#leave('start');
    this.#consider();
    this.#onChange();
  }

  /** Pauses and goes on as the battery says. */
  #consider(): void {
    const mustPause = this.choices.pauseOnBattery && this.#isOnBattery;
    if (mustPause && this.phase.name === 'working') this.#leave('paused');
    else if (!mustPause && this.phase.name === 'paused') this.start();
    else this.#onChange();
  }

  #leave(after: 'stopped' | 'paused' | 'start'): void {
    const session = this.#session;
    if (!session) {
      if (this.phase.name === 'paused') this.#become({ name: 'stopped' });
      return;
    }
    this.#after = after;
    if (this.phase.name === 'stopping') return;
    session.postMessage({ kind: 'stop' } satisfies ToSession);
    this.#become({ name: 'stopping' });
    setTimeout(() => this.#end(session, { kind: 'stopped' }), STOP_MS);
  }

  #hear(session: Worker, message: FromSession): void {
    if (session !== this.#session) return;
    this.view = message.view;
    if (message.kind === 'ended') this.#end(session, message.outcome);
    else this.#onChange();
  }

  #end(session: Worker, outcome: Outcome): void {
    if (session !== this.#session) return;
    session.terminate();
    this.#session = undefined;
    const after = this.#after;
    this.#after = 'stopped';
    if (outcome.kind === 'token') this.#become({ name: 'token', wasGiven: this.#token !== undefined });
    else if (outcome.kind === 'stopped' && after === 'start') this.start();
    else if (outcome.kind === 'stopped') this.#become({ name: after === 'paused' ? 'paused' : 'stopped' });
    else if (outcome.kind === 'failed') {
      const { message, nextStep } = outcome;
      this.#become({ name: 'failed', message, nextStep });
    } else this.#become({ name: 'finished' });
  }

  #become(phase: Phase): void {
    this.phase = phase;
    this.#screen.keepOn = phase.name === 'working';
    this.#onChange();
  }
}

const RELOAD = 'Load the page again.';
