/**
 * One GET request with the body as it was sent.
 *
 * Not `fetch`, because that decompresses whatever a server labels as `Content-Encoding: gzip`, as some do for files
 * that end in .gz; sizes, ranges and sums here are those of the stored file.
 */

import { get as httpGet, type IncomingMessage } from 'node:http';
import { get as httpsGet } from 'node:https';

const MAX_REDIRECTS = 5;

/** Resolves with the response once its header has arrived, following redirects; the caller reads or destroys it. */
export async function openUrl(
  url: string,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  let at = url;
  for (let hop = 0; hop <= MAX_REDIRECTS; hop++) {
    const response = await request(at, headers, signal);
    const { location } = response.headers;
    if (![301, 302, 303, 307, 308].includes(response.statusCode ?? 0) || location === undefined) return response;
    response.destroy();
    const next = new URL(location, at);
    if (next.protocol !== 'http:' && next.protocol !== 'https:') throw new Error(`a redirect to ${next.protocol}//`);
    at = next.href;
  }
  throw new Error(`more than ${MAX_REDIRECTS} redirects`);
}

function request(
  url: string,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  const get = url.startsWith('https:') ? httpsGet : httpGet;
  return new Promise((resolve, reject) => {
    // A connection of its own each time: five requests in all, and no idle socket outlives them.
    const sent = { 'accept-encoding': 'identity', 'user-agent': 'lockstep', ...headers };
    get(url, { headers: sent, signal, agent: false }, resolve).on('error', reject);
  });
}

/** A network error in a few words. */
export function reasonOf(error: unknown): string {
  // When every address of a host fails, the reason lies in the attempts and the message is empty.
  const one = error instanceof AggregateError && error.errors.length > 0 ? error.errors[0] : error;
  const { code, message } = one as NodeJS.ErrnoException;
  const known = code === undefined ? undefined : REASONS[code];
  return known ?? (message || code || 'an unknown error');
}

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'the connection was cut',
  ENOTFOUND: 'its name cannot be resolved',
  EAI_AGAIN: 'its name cannot be resolved now',
  ENETUNREACH: 'network unreachable',
  EHOSTUNREACH: 'host unreachable',
  ETIMEDOUT: 'timed out',
};
