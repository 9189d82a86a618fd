/** Asks a coordinator over HTTP how its run stands, with the same care for its certificate as a worker. */
import { type IncomingMessage, request } from 'node:http';
import { LockstepError } from '@lockstep/core';
import { type RunStatus, runStatus } from '@lockstep/protocol';
import { readRefusal } from './read-refusal.ts';
import { openSocket } from './socket.ts';
import { readTrust } from './trust.ts';
import { parseUrl } from './url.ts';
import { within } from './within.ts';

export interface StatusOptions {
  /** As for a worker, or with http:// and https://. */
  readonly url: string;
  readonly token: string | undefined;
  readonly tlsCa: string | undefined;
  readonly tlsFingerprint: string | undefined;
}

const TIMEOUT_MS = 10_000;
const MAX_BYTES = 16 * 2 ** 20;

/** @throws LockstepError `usage`, `coordinator-refused`, `coordinator-unreachable`, `interrupted` */
export async function readStatus(options: StatusOptions, signal: AbortSignal): Promise<RunStatus> {
  const url = parseUrl(options.url.replace(/^http/i, 'ws'));
  const trust = await readTrust(url, options.tlsCa, options.tlsFingerprint);
  try {
    const text = await within(TIMEOUT_MS, signal, async (inTime) => {
      const socket = await openSocket(url, trust, inTime);
      try {
        const response = await ask(url, socket, options.token, inTime);
        if (response.statusCode === 200) return await bodyOf(response);
        throw await readRefusal(response, url);
      } finally {
        socket.destroy();
      }
    });
    return runStatus.parse(JSON.parse(text));
  } catch (error) {
    if (error instanceof LockstepError) throw error;
    if (signal.aborted) throw new LockstepError('interrupted', 'Interrupted.', 'Ask again.', { cause: error });
    throw new LockstepError(
      'coordinator-unreachable',
      `No run answers at ${url.host}: ${(error as Error).message}.`,
      'Look whether it runs, and whether the URL is the one that it shows.',
      { cause: error },
    );
  }
}

function ask(
  url: URL,
  socket: Awaited<ReturnType<typeof openSocket>>,
  token: string | undefined,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    request({
      createConnection: () => socket,
      path: '/api/status',
      headers: { host: url.host, ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) },
      signal,
    })
      .on('response', resolve)
      .on('error', reject)
      .end();
  });
}

async function bodyOf(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_BYTES) throw new Error(`it answers with more than ${MAX_BYTES / 2 ** 20} MiB`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}
