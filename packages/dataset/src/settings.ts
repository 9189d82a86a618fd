/** What callers choose, and what only tests change: the published sums, deadlines, and the size of the stand-in. */

import { LockstepError } from '@lockstep/core';
import { ORIGINALS, type Originals, PUBLIC_MIRRORS } from './fashion-mnist.ts';
import { DEFAULT_SYNTHETIC, type SyntheticOptions } from './synthetic.ts';

/** Environment variables by name: `process.env`, or a test's own. */
export type Environment = Readonly<Record<string, string | undefined>>;

export interface Settings {
  readonly originals: Originals;
  readonly synthetic: SyntheticOptions;
  /** How long the mirrors have to answer at all, together. */
  readonly probeTimeoutMs: number;
  /** How long a download may go without a byte. */
  readonly stallTimeoutMs: number;
}

export const SETTINGS: Settings = {
  originals: ORIGINALS,
  synthetic: DEFAULT_SYNTHETIC,
  probeTimeoutMs: 3_000,
  stallTimeoutMs: 15_000,
};

/**
 * Base URLs to download from, each ending in a slash: those of `LOCKSTEP_MIRRORS`, else the public ones.
 *
 * @throws LockstepError `usage` when the variable holds something else than http and https URLs.
 */
export function mirrorsFrom(env: Environment): readonly string[] {
  const listed = (env.LOCKSTEP_MIRRORS ?? '').split(',').map((url) => url.trim());
  const urls = listed.filter((url) => url !== '');
  if (urls.length === 0) return PUBLIC_MIRRORS;
  for (const url of urls) {
    if (URL.canParse(url) && /^https?:$/.test(new URL(url).protocol)) continue;
    const message = `LOCKSTEP_MIRRORS holds ${JSON.stringify(url)}, which is not an http or https URL`;
    throw new LockstepError('usage', message, 'Set it to base URLs separated by commas, or leave it unset.');
  }
  return urls.map((url) => (url.endsWith('/') ? url : `${url}/`));
}

/** @throws LockstepError `interrupted` when the signal was aborted. */
export function throwIfInterrupted(signal: AbortSignal | undefined): void {
  if (!signal?.aborted) return;
  throw new LockstepError(
    'interrupted',
    'Getting the dataset was interrupted',
    'Run the command again; a download goes on where it stopped.',
    { cause: signal.reason },
  );
}
