/** Which site a request is for and which it comes from: keeps foreign web pages away from the server. */
import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import { LockstepError } from '@lockstep/core';
import { hostOf, withoutBrackets } from './address.ts';
import type { Refusal } from './refusal.ts';

const BAD_HOST: Refusal = {
  status: 400,
  code: 'host',
  message: 'The Host header is missing or malformed.',
  nextStep: 'Send the host and port of the coordinator as Host.',
};

const FOREIGN_HOST: Refusal = {
  status: 403,
  code: 'host',
  message: 'Without a token, the coordinator answers only under its address, localhost, or the name given by --host.',
  nextStep: 'Use the address that the coordinator printed, or start it with --token.',
};

const FOREIGN_ORIGIN: Refusal = {
  status: 403,
  code: 'origin',
  message: 'This request comes from a web page of another site.',
  nextStep: 'Open the page that the coordinator serves itself, or allow the other origin where the coordinator starts.',
};

export class Site {
  readonly #scheme: 'http' | 'https';
  readonly #host: string;
  readonly #hasToken: boolean;
  readonly #allowedOrigins: ReadonlySet<string>;

  /** @throws LockstepError `usage` for an allowed origin that is none */
  constructor(options: {
    readonly scheme: 'http' | 'https';
    readonly host: string;
    readonly hasToken: boolean;
    readonly allowedOrigins: readonly string[];
  }) {
    this.#scheme = options.scheme;
    this.#host = withoutBrackets(options.host.toLowerCase());
    this.#hasToken = options.hasToken;
    this.#allowedOrigins = new Set(options.allowedOrigins.map(parseOrigin));
  }

  check({ headers }: IncomingMessage): Refusal | undefined {
    const host = hostOf(headers.host);
    if (host === undefined) return BAD_HOST;
    // A page of another site may have its name pointed here once it is loaded (DNS rebinding): then its origin is this
    // server's, but the host is still its own. With a token the page would have to know that.
    if (!this.#hasToken && host !== 'localhost' && host !== this.#host && isIP(host) === 0) return FOREIGN_HOST;
    if (headers.origin !== undefined && !this.#isAllowed(headers.origin, `${headers.host}`)) return FOREIGN_ORIGIN;
    return undefined;
  }

  #isAllowed(origin: string, host: string): boolean {
    const own = `${this.#scheme}://${host}`;
    // Parsed, because a browser leaves a scheme's default port out.
    return this.#allowedOrigins.has(origin) || (URL.canParse(own) && new URL(own).origin === origin);
  }
}

function parseOrigin(text: string): string {
  const origin = URL.canParse(text) ? new URL(text).origin : 'null';
  if (origin === 'null') {
    throw new LockstepError('usage', `${text} is not an origin.`, 'Write an origin like https://example.org:8443.');
  }
  return origin;
}
