/** A coordinator that answers the dial with an HTTP status: what it says, and whether to ask again. */
import type { IncomingMessage } from 'node:http';
import { LockstepError } from '@lockstep/core';
import { z } from 'zod';

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

const MAX_BODY_BYTES = 4096;
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

/** Reads the answer to a dial that was no WebSocket. */
export async function readRefusal(response: IncomingMessage, url: URL): Promise<LockstepError | DialFailure> {
  const status = response.statusCode ?? 0;
  const body = await readBody(response);
  const known = refusalBody.safeParse(body).data;
  const said = known ? `: ${printable(known.message)}` : '.';
  const nextStep = FINAL.get(status);
  if (nextStep === undefined) {
    const retryAfterMs = retryAfter(response.headers['retry-after']);
    return new DialFailure(`it answered with HTTP status ${status}${said.replace(/\.$/, '')}`, retryAfterMs);
  }
  return new LockstepError(
    'coordinator-refused',
    `${url.host} refused this worker with HTTP status ${status}${said}`,
    known ? printable(known.nextStep) : nextStep,
    { cause: known },
  );
}

/** JSON of at most 4 KiB; undefined when it is anything else. */
async function readBody(response: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      chunks.push(chunk);
      size += chunk.length;
      if (size > MAX_BODY_BYTES) return undefined;
    }
    return JSON.parse(Buffer.concat(chunks).toString());
  } catch {
    return undefined;
  }
}

/** Seconds, or a date (RFC 9110, 10.2.3); in milliseconds from now. */
function retryAfter(header: string | undefined): number {
  if (header === undefined) return 0;
  const ms = /^\d+$/.test(header) ? Number(header) * 1000 : Date.parse(header) - Date.now();
  return Number.isNaN(ms) ? 0 : Math.min(MAX_RETRY_AFTER_MS, Math.max(0, ms));
}

/** What a peer says ends up on terminals: in one line, without control characters, and not too long. */
export const printable = (text: string): string => text.replaceAll(/[\p{C}\p{Zl}\p{Zp}]/gu, ' ').slice(0, 1000);
