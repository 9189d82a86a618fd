/** What is said to those who are turned away for other reasons than their token or their site. */
import { SUBPROTOCOL } from '@lockstep/protocol';
import type { Refusal } from './refusal.ts';

export const NO_ROUTE: Refusal = {
  status: 404,
  code: 'not-found',
  message: 'There is nothing under this path.',
  nextStep: 'Open / for the dashboard.',
};

export const NO_WORKER_PATH: Refusal = {
  status: 404,
  code: 'not-found',
  message: 'Workers do not connect under this path.',
  nextStep: 'Connect the WebSocket to /worker.',
};

export const METHOD: Refusal = {
  status: 405,
  code: 'method',
  message: 'Only GET and HEAD are served.',
  nextStep: 'Use GET.',
  headers: { Allow: 'GET, HEAD' },
};

export const BODY: Refusal = {
  status: 400,
  code: 'body',
  message: 'Requests with a body are not served.',
  nextStep: 'Send the request without a body.',
};

export const NO_SUBPROTOCOL: Refusal = {
  status: 400,
  code: 'subprotocol',
  message: `A WebSocket here has to offer the subprotocol ${SUBPROTOCOL}.`,
  nextStep: 'Join with: npx lockstep join <url>.',
};

/** @param offered versions, known to be well-formed */
export function otherVersion(offered: readonly string[]): Refusal {
  return {
    status: 426,
    code: 'version',
    message: `This coordinator speaks ${SUBPROTOCOL}; the worker offers ${offered.slice(0, 3).join(', ')}.`,
    nextStep: 'Install the same version of Lockstep on both machines.',
    headers: { Upgrade: 'websocket' },
  };
}

/** @param reason from ws, which quotes nothing that the peer sent */
export function badUpgrade(reason: string): Refusal {
  return {
    status: 400,
    code: 'upgrade',
    message: `Not a WebSocket handshake: ${reason}.`,
    nextStep: 'Use a WebSocket client that speaks RFC 6455, without a proxy that changes headers in between.',
  };
}

export const LONG_HEADER: Refusal = {
  status: 431,
  code: 'handshake',
  message: 'The headers are longer than 16 KiB.',
  nextStep: 'Send fewer headers; a browser may need its cookies for this host deleted.',
};

export const TIMEOUT: Refusal = {
  status: 408,
  code: 'handshake',
  message: 'The request did not arrive in time.',
  nextStep: 'Send the whole request at once.',
};

export const NOT_HTTP: Refusal = {
  status: 400,
  code: 'handshake',
  message: 'This is not an HTTP request.',
  nextStep: 'Use ws:// or http://; this port speaks wss:// and https:// only when the coordinator says so.',
};

export const CLOSING: Refusal = {
  status: 503,
  code: 'closing',
  message: 'The coordinator is ending.',
  nextStep: 'Join the next run.',
};

export const GONE: Refusal = {
  status: 400,
  code: 'handshake',
  message: 'The connection ended before the request was looked at.',
  nextStep: 'Try again.',
};

export const INTERNAL: Refusal = {
  status: 500,
  code: 'internal',
  message: 'The coordinator failed to answer.',
  nextStep: 'Look at what it printed on standard error.',
};
