/** What the page and its session, a Web Worker that works for the coordinator, say to each other. */
import type { WebDevice } from '@lockstep/engine/browser';
import type { TabView } from './view.ts';

export interface StartOptions {
  /** Of the coordinator. */
  readonly url: string;
  readonly token: string | undefined;
  readonly name: string;
  readonly numLanes: number;
  readonly device: WebDevice;
}

export type ToSession = { readonly kind: 'start'; readonly options: StartOptions } | { readonly kind: 'stop' };

/** How a session ended. */
export type Outcome =
  | { readonly kind: 'finished' }
  | { readonly kind: 'stopped' }
  /** The coordinator wants a token, or another one. */
  | { readonly kind: 'token' }
  | { readonly kind: 'failed'; readonly message: string; readonly nextStep: string };

export type FromSession =
  | { readonly kind: 'view'; readonly view: TabView }
  /** The last message, with what there was to see. */
  | { readonly kind: 'ended'; readonly outcome: Outcome; readonly view: TabView };
