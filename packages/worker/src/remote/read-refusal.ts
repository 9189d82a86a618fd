/** Reads the answer to a dial that was no WebSocket. */
import type { IncomingMessage } from 'node:http';
import type { LockstepError } from '@lockstep/core';
import { type DialFailure, explainRefusal, MAX_BODY_BYTES } from './refusal.ts';

export async function readRefusal(response: IncomingMessage, url: URL): Promise<LockstepError | DialFailure> {
  const { statusCode: status = 0, headers } = response;
  return explainRefusal({ status, retryAfter: headers['retry-after'], body: await readBody(response) }, url);
}

/** At most 4 KiB; undefined when it is more, or breaks off. */
async function readBody(response: IncomingMessage): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      chunks.push(chunk);
      size += chunk.length;
      if (size > MAX_BODY_BYTES) return undefined;
    }
    return Buffer.concat(chunks).toString();
  } catch {
    return undefined;
  }
}
