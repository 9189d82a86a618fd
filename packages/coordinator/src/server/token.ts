/** The token that workers and viewers show: how it is made, which ones are good, and how they are compared. */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { LockstepError } from '@lockstep/core';
import { isLoopback } from './address.ts';

/** Visible ASCII without spaces: what can be typed, and put into any header. */
const GOOD_TOKEN = /^[\x21-\x7e]{8,256}$/;

interface ResolvedToken {
  /** Undefined: whoever can reach the port may come in. */
  readonly token: string | undefined;
  /** Made here, so nobody knows it yet: it has to be shown. */
  readonly generated: boolean;
}

/** 128 random bits. */
export function generateToken(): string {
  return randomBytes(16).toString('base64url');
}

/**
 * The token for a server on `host`: the given one, or beyond loopback a new one.
 * @throws LockstepError `usage` when the given one is too short or has characters that cannot travel
 */
export function resolveToken({ host, token }: { host: string; token: string | undefined }): ResolvedToken {
  if (token === undefined) {
    return isLoopback(host) ? { token: undefined, generated: false } : { token: generateToken(), generated: true };
  }
  if (!GOOD_TOKEN.test(token)) {
    throw new LockstepError(
      'usage',
      'The token must have 8 to 256 visible ASCII characters and no spaces.',
      'Choose another one with LOCKSTEP_TOKEN or --token; node -p "crypto.randomUUID()" makes a good one.',
    );
  }
  return { token, generated: false };
}

const sha256 = (text: string): Buffer => createHash('sha256').update(text).digest();

/** Compares in a time that says nothing about how much of the token was right, nor about its length. */
export function isSameToken(given: string, expected: string): boolean {
  return timingSafeEqual(sha256(given), sha256(expected));
}
