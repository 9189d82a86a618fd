/** Does a request show the token? Counts those that do not, by address. */

import type { IncomingMessage } from 'node:http';
import { TOKEN_SUBPROTOCOL } from '@lockstep/protocol';
import { RateLimiterMemory, RateLimiterRes } from 'rate-limiter-flexible';
import type { ServerLimits } from './limits.ts';
import type { Refusal } from './refusal.ts';
import { offeredSubprotocols } from './subprotocol.ts';
import { isSameToken } from './token.ts';

const AUTHORIZATION = /^(?<scheme>bearer|basic) +(?<value>\S+)$/i;

const WRONG_TOKEN: Refusal = {
  status: 401,
  code: 'token',
  message: 'The token is missing or wrong.',
  nextStep: 'Give the token that the coordinator printed: LOCKSTEP_TOKEN or --token, in a browser as the password.',
  headers: { 'WWW-Authenticate': 'Basic realm="lockstep"' },
};

const blocked = (seconds: number): Refusal => ({
  status: 429,
  code: 'blocked',
  message: 'Too many requests from this address came without the right token.',
  nextStep: `Wait ${seconds} seconds, then try again with the token that the coordinator printed.`,
  headers: { 'Retry-After': String(seconds) },
});

export class Credentials {
  readonly #token: string | undefined;
  readonly #attempts: RateLimiterMemory;

  /** @param token undefined when none is needed */
  constructor(token: string | undefined, { maxFailedTokens, blockMs }: ServerLimits) {
    this.#token = token;
    const seconds = blockMs / 1000;
    this.#attempts = new RateLimiterMemory({ points: maxFailedTokens, duration: seconds, blockDuration: seconds });
  }

  /** @returns undefined when the request shows the token or needs none */
  async check({ headers }: IncomingMessage, address: string): Promise<Refusal | undefined> {
    const expected = this.#token;
    if (expected === undefined) return undefined;
    // Each attempt is paid for before it is looked at, and refunded when it was right: so no number of attempts at the
    // same time gets more guesses, and an address that is blocked learns nothing.
    try {
      await this.#attempts.consume(address);
    } catch (error) {
      if (error instanceof RateLimiterRes) return blocked(Math.ceil(error.msBeforeNext / 1000));
      throw error;
    }
    if (!shownTokens(headers).some((token) => isSameToken(token, expected))) return WRONG_TOKEN;
    await this.#attempts.reward(address);
    return undefined;
  }
}

/**
 * Bearer token or password of basic authentication, and a browser's subprotocol: browsers may send the password that
 * was typed for the page along by themselves, so the one does not exclude the other.
 */
function shownTokens(headers: IncomingMessage['headers']): string[] {
  const { scheme, value } = AUTHORIZATION.exec(headers.authorization ?? '')?.groups ?? {};
  const shown: string[] = [];
  if (value !== undefined) shown.push(scheme?.toLowerCase() === 'bearer' ? value : passwordOf(value));
  // The first alone: a list of them would be many guesses for the price of one.
  const name = offeredSubprotocols(headers['sec-websocket-protocol']).find((name) =>
    name.startsWith(TOKEN_SUBPROTOCOL),
  );
  if (name !== undefined) shown.push(Buffer.from(name.slice(TOKEN_SUBPROTOCOL.length), 'base64url').toString());
  return shown;
}

function passwordOf(basic: string): string {
  const pair = Buffer.from(basic, 'base64').toString();
  return pair.slice(pair.indexOf(':') + 1);
}
