/** What the join page says in sentences. */
import { bytes, percent } from '../words/format.ts';
import type { Phase } from './tab.ts';
import type { RunFacts, TabView } from './view.ts';

/** The state in a word or two. */
export function phaseWord(phase: Phase, view: TabView | undefined): string {
  switch (phase.name) {
    case 'working':
      return linkWord(view);
    case 'stopping':
      return 'Stopping';
    case 'stopped':
      return 'Stopped';
    case 'paused':
      return 'Paused';
    case 'token':
      return 'Token needed';
    case 'finished':
      return 'Finished';
    case 'failed':
      return 'Failed';
    default:
      return phase satisfies never;
  }
}

function linkWord(view: TabView | undefined): string {
  switch (view?.link.state) {
    case 'joined':
      return view.samples > 0 ? 'Training' : 'Joined';
    case 'preparing':
      return 'Preparing';
    case 'waiting':
      return 'Not connected';
    default:
      return 'Connecting';
  }
}

/** Why it is so, in a sentence. */
export function phaseReason(phase: Phase, view: TabView | undefined): string | undefined {
  switch (phase.name) {
    case 'working':
      return linkReason(view);
    case 'stopping':
      return 'This tab says goodbye.';
    case 'stopped':
      return 'The run goes on without this tab.';
    case 'paused':
      return 'This device runs on its battery; the tab goes on when it is charged.';
    case 'token':
      return phase.wasGiven
        ? 'The token is wrong. The coordinator printed the right one when it started.'
        : 'The coordinator printed a token when it started.';
    case 'finished':
      return finishedReason(view?.run);
    case 'failed':
      return `${phase.message} ${phase.nextStep}`;
    default:
      return phase satisfies never;
  }
}

function linkReason(view: TabView | undefined): string | undefined {
  if (!view) return undefined;
  const { link, fetching } = view;
  if (link.state === 'waiting') {
    const seconds = Math.ceil(link.retryInMs / 1000);
    return `${sentence(link.reason)} Another try ${seconds <= 1 ? 'now' : `within ${seconds}\u00a0s`}.`;
  }
  if (link.state === 'preparing') return 'The engine is loaded and opened; the first time this takes a while.';
  if (link.state !== 'joined') return undefined;
  if (fetching) return `Fetching data: ${bytes(fetching.doneBytes)} of ${bytes(fetching.totalBytes)}.`;
  return view.samples > 0 ? undefined : 'Ready; the coordinator has work for it soon.';
}

const finishedReason = (run: RunFacts | undefined): string =>
  run?.testAccuracy === undefined
    ? 'The run is over. Thank you.'
    : `The run is over, with an accuracy of ${percent(run.testAccuracy)}. Thank you.`;

/** Begins large and ends with a full stop. */
export const sentence = (text: string): string =>
  `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? '' : '.'}`;

/** Such as `WebAssembly` or `WebGPU (nvidia ampere)`. */
export function deviceWords(device: string): string {
  if (device === 'wasm') return 'WebAssembly';
  return device.replace(/^webgpu: (.*)$/, 'WebGPU ($1)');
}
