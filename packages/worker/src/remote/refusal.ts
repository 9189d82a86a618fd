/** A coordinator that answers the dial with an HTTP status: what it says, and whether to ask again. */
import { LockstepError } from '@lockstep/core';
import { z } from 'zod';
import { printable } from './printable.ts';

/** The dial failed in a way that another try may not. */
export class DialFailure extends Error {
  override readonly name = 'DialFailure';
  /** How long the server asks to be left alone. */
  readonly retryAfterMs: number;

  constructor(reason: string, retryAfterMs = 0, options?: ErrorOptions) {
    super(reason, options);
    this.retryAfterMs = retryAfterMs;
  }
}

/** An answer to a request, whoever received it. */
export interface HttpAnswer {
  readonly status: number;
  /** The header Retry-After. */
  readonly retryAfter: string | undefined;
  /** Undefined when there is none, or too much of it. */
  readonly body: string | undefined;
}

export const MAX_BODY_BYTES = 4096;
const MAX_RETRY_AFTER_MS = 60_000;

/** What a coordinator says in JSON. */
const refusalBody = z.object({ code: z.string(), message: z.string(), nextStep: z.string() });

/** Statuses that will not change by asking again, and what to do when the answer does not say. */
const FINAL: ReadonlyMap<number, string> = new Map([
  [400, 'Look whether the URL is that of a Lockstep coordinator.'],
  [401, 'Pass the token that the coordinator shows by LOCKSTEP_TOKEN or --token.'],
  [403, 'Pass the token that the coordinator shows by LOCKSTEP_TOKEN or --token.'],
  [404, 'Look whether the URL is that of a Lockstep coordinator, without a path.'],
  [426, 'Install the same version of Lockstep on both machines.'],
]);

/** What an answer means that lets nobody in. */
export function explainRefusal({ status, retryAfter, body }: HttpAnswer, url: URL): LockstepError | DialFailure {
  const known = refusalBody.safeParse(parseJson(body)).data;
  const said = known ? `: ${printable(known.message)}` : '.';
  const nextStep = FINAL.get(status);
  if (nextStep === undefined) {
    return new DialFailure(
      `it answered with HTTP status ${status}${said.replace(/\.$/, '')}`,
      retryAfterMs(retryAfter),
    );
  }
  return new LockstepError(
    'coordinator-refused',
    `${url.host} refused this worker with HTTP status ${status}${said}`,
    known ? printable(known.nextStep) : nextStep,
    { cause: known },
  );
}

/** Undefined when it is no JSON. */
function parseJson(text: string | undefined): unknown {
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Seconds, or a date (RFC 9110, 10.2.3); in milliseconds from now. */
function retryAfterMs(header: string | undefined): number {
  if (header === undefined) return 0;
  const ms = /^\d+$/.test(header) ? Number(header) * 1000 : Date.parse(header) - Date.now();
  return Number.isNaN(ms) ? 0 : Math.min(MAX_RETRY_AFTER_MS, Math.max(0, ms));
}
