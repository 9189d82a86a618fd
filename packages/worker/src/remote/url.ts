/** The address of a coordinator as people type it. */
import { LockstepError } from '@lockstep/core';

const PATH = '/worker';
/** host, host:port, [::1]:port */
const WITHOUT_SCHEME = /^([\w.-]+|\[[\da-f:.]+\])(:\d+)?(\/|$)/i;

const wrong = (text: string, what: string, nextStep: string): LockstepError =>
  new LockstepError('usage', `${JSON.stringify(text)} ${what}.`, nextStep);

/** @throws LockstepError `usage` that says what to type instead */
export function parseUrl(text: string): URL {
  if (WITHOUT_SCHEME.test(text)) throw wrong(text, 'lacks its scheme', `Use ws://${text}, or wss:// with TLS.`);
  if (!URL.canParse(text)) throw wrong(text, 'is not a URL', 'Use ws://host:port, or wss://host:port with TLS.');
  const url = new URL(text);
  if (url.protocol === 'http:' || url.protocol === 'https:') {
    throw wrong(
      text,
      'is not the URL of a WebSocket',
      `Use ${text.replace(/^https?/i, url.protocol === 'http:' ? 'ws' : 'wss')}.`,
    );
  }
  if (url.protocol !== 'ws:' && url.protocol !== 'wss:') {
    throw wrong(text, 'is neither ws:// nor wss://', 'Use ws://host:port, or wss://host:port with TLS.');
  }
  if (url.username !== '' || url.password !== '') {
    // Not quoted: it holds a password.
    throw new LockstepError(
      'usage',
      'The URL holds a user name or a password.',
      'Pass the token by LOCKSTEP_TOKEN or --token.',
    );
  }
  if (url.hash !== '') throw wrong(text, 'has a fragment', `Leave ${url.hash} out.`);
  if (url.pathname === '/') url.pathname = PATH;
  return url;
}
