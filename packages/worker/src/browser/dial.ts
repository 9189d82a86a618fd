/**
 * One attempt to reach a coordinator from a tab. A browser does not say why a WebSocket did not open, so the run's status
 * is asked for first: that answer tells a wrong token from a coordinator that is away.
 */
import { LockstepError } from '@lockstep/core';
import { type RunStatus, runStatus, SUBPROTOCOL, TOKEN_SUBPROTOCOL } from '@lockstep/protocol';
import { Connection } from '../remote/connection.ts';
import { DialFailure, explainRefusal, MAX_BODY_BYTES } from '../remote/refusal.ts';
import { within } from '../remote/within.ts';
import { TabWire } from './wire.ts';

export interface DialOptions {
  /** Of the coordinator: http:// or https://, without a path. */
  readonly url: URL;
  readonly token: string | undefined;
  readonly dialMs: number;
  readonly closeMs: number;
  /** How the run stands. */
  readonly onStatus: (status: RunStatus) => void;
}

/** @throws DialFailure when another try may succeed, else LockstepError `coordinator-refused` */
export async function dial(options: DialOptions, signal: AbortSignal): Promise<Connection> {
  try {
    return await within(options.dialMs, signal, async (inTime) => {
      options.onStatus(await askStatus(options, inTime));
      return await openSocket(options, inTime);
    });
  } catch (error) {
    if (error instanceof LockstepError || error instanceof DialFailure) throw error;
    throw new DialFailure(reasonOf(error), 0, { cause: error });
  }
}

/** Browsers say "Failed to fetch" and the like. */
const reasonOf = (error: unknown): string =>
  error instanceof TypeError ? 'the coordinator does not answer' : (error as Error).message;

/** @throws DialFailure or LockstepError as the coordinator says; what fetch throws when it is away */
export async function askStatus(
  { url, token }: Pick<DialOptions, 'url' | 'token'>,
  signal: AbortSignal,
): Promise<RunStatus> {
  const response = await fetch(new URL('api/status', url), {
    headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
    // With them, a wrong token would make the browser ask for a password.
    credentials: 'omit',
    cache: 'no-store',
    signal,
  });
  const text = await response.text();
  if (!response.ok) {
    const body = text.length <= MAX_BODY_BYTES ? text : undefined;
    const retryAfter = response.headers.get('retry-after') ?? undefined;
    throw explainRefusal({ status: response.status, retryAfter, body }, url);
  }
  const parsed = runStatus.safeParse(parseJson(text));
  if (parsed.success) return parsed.data;
  throw new LockstepError(
    'coordinator-refused',
    `What answers at ${url.host} is no coordinator of this version.`,
    'Load the page again.',
  );
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function openSocket({ url, token, closeMs }: DialOptions, signal: AbortSignal): Promise<Connection> {
  const address = new URL('worker', url);
  address.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  const protocols = [SUBPROTOCOL, ...(token === undefined ? [] : [TOKEN_SUBPROTOCOL + base64Url(token)])];
  const socket = new WebSocket(address, protocols);
  // Listens from the start: the first message may come together with the answer to the upgrade.
  const connection = new Connection((listener) => new TabWire(socket, listener), closeMs);
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      reject(signal.reason);
      socket.close();
    };
    signal.addEventListener('abort', abort, { once: true });
    socket.onopen = () => {
      signal.removeEventListener('abort', abort);
      resolve(connection);
    };
    void connection.closed.then(() => {
      signal.removeEventListener('abort', abort);
      reject(new DialFailure('the coordinator did not open a WebSocket'));
    });
  });
}

/** Tokens are ASCII. */
const base64Url = (text: string): string => btoa(text).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
