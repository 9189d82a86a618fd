/** One attempt to reach a coordinator: TCP, TLS, the HTTP upgrade, and an open WebSocket that is ready for frames. */
import type { Socket } from 'node:net';
import { LockstepError } from '@lockstep/core';
import { reasonOf } from '@lockstep/dataset';
import { SUBPROTOCOL } from '@lockstep/protocol';
import { WebSocket } from 'ws';
import { Connection } from './connection.ts';
import type { JoinConfig } from './options.ts';
import { readRefusal } from './read-refusal.ts';
import { DialFailure } from './refusal.ts';
import type { JoinSettings } from './settings.ts';
import { openSocket } from './socket.ts';
import { within } from './within.ts';
import { WsWire } from './ws-wire.ts';

/**
 * Longest message before it is looked at. The parameters are the longest, and their size is only known with the job; a
 * pool keeps them twice, beside sums of the same size, in a memory of 4 GiB. Nothing is reserved for a length that was
 * only announced, and what came is checked against the job.
 */
const MAX_MESSAGE_BYTES = 2 ** 30;

/** @throws DialFailure when another try may succeed, else LockstepError `coordinator-refused` */
export async function dial(config: JoinConfig, settings: JoinSettings, signal: AbortSignal): Promise<Connection> {
  try {
    return await within(settings.dialMs, signal, async (inTime) => {
      const raw = await openSocket(config.url, config.trust, inTime);
      try {
        return await upgrade(raw, config, settings, inTime);
      } catch (error) {
        raw.destroy();
        throw error;
      }
    });
  } catch (error) {
    if (error instanceof LockstepError || error instanceof DialFailure) throw error;
    throw new DialFailure(reasonOf(error), 0, { cause: error });
  }
}

function upgrade(raw: Socket, config: JoinConfig, settings: JoinSettings, signal: AbortSignal): Promise<Connection> {
  const { url, token } = config;
  const socket = new WebSocket(url, [SUBPROTOCOL], {
    createConnection: () => raw,
    headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
    perMessageDeflate: false,
    maxPayload: MAX_MESSAGE_BYTES,
    // With zeros ws skips the masking, which is a pass over every gradient. Masks keep the scripts of a web page from
    // choosing the bytes that a proxy sees (RFC 6455, 10.3); there are no scripts here.
    generateMask: (mask) => void mask.fill(0),
  });
  // Listens from the start: the first message may come together with the answer to the upgrade.
  const connection = new Connection((listener) => new WsWire(socket, raw, listener), settings.closeMs);
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      reject(signal.reason);
      socket.terminate();
    };
    const settled = (): void => signal.removeEventListener('abort', abort);
    if (signal.aborted) return abort();
    signal.addEventListener('abort', abort, { once: true });
    socket.once('open', () => {
      settled();
      resolve(connection);
    });
    socket.once('error', (error) => {
      settled();
      reject(error);
    });
    socket.once('unexpected-response', async (_, response) => {
      const refusal = await readRefusal(response, url);
      reject(refusal);
      socket.terminate();
    });
  });
}
