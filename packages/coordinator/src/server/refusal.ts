/** What a peer is told that is turned away: a status, a reason for programs, and a sentence with the next step. */
import { type ServerResponse, STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';

/** Why peers were turned away; the keys of `CoordinatorServer.refused`. */
export type RefusalReason =
  | 'token' // wrong or missing
  | 'blocked' // too many wrong tokens from this address
  | 'origin' // a page of another site
  | 'host' // a name that is not this server's
  | 'version' // another version of the protocol
  | 'subprotocol' // a WebSocket that does not speak Lockstep at all
  | 'upgrade' // not a proper WebSocket handshake
  | 'not-found'
  | 'method'
  | 'body' // a request with a body
  | 'limit' // too many connections
  | 'handshake' // no whole request in time, failed TLS, or not HTTP
  | 'accept' // the operating system could not give a connection
  | 'closing'
  | 'internal'; // a fault of ours

export interface Refusal {
  readonly status: number;
  readonly code: RefusalReason;
  readonly message: string;
  readonly nextStep: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** On every response, unless a route says otherwise. */
export const SECURITY_HEADERS: Readonly<Record<string, string>> = {
  'X-Content-Type-Options': 'nosniff',
  'X-Frame-Options': 'DENY',
  'Referrer-Policy': 'no-referrer',
  'Content-Security-Policy': "default-src 'self'",
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Cache-Control': 'no-store',
};

function bodyOf({ code, message, nextStep }: Refusal): string {
  return `${JSON.stringify({ code, message, nextStep })}\n`;
}

function headersOf(refusal: Refusal, body: string): Record<string, string> {
  return {
    ...SECURITY_HEADERS,
    ...refusal.headers,
    'Content-Type': 'application/json; charset=utf-8',
    'Content-Length': String(Buffer.byteLength(body)),
    Connection: 'close',
  };
}

/** Answers a request; with "Connection: close" the HTTP server ends the connection once that is sent. */
export function refuseRequest(response: ServerResponse, refusal: Refusal): void {
  const body = bodyOf(refusal);
  response.writeHead(refusal.status, headersOf(refusal, body)).end(body);
}

/**
 * Answers on a bare socket (an upgrade, or bytes that are not HTTP) and ends it. Its errors are the caller's to handle.
 * @param lingerMs how long the peer may take to close its side
 */
export function refuseSocket(socket: Duplex, refusal: Refusal, lingerMs: number): void {
  const body = bodyOf(refusal);
  const lines = Object.entries(headersOf(refusal, body)).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.end(`HTTP/1.1 ${refusal.status} ${STATUS_CODES[refusal.status]}\r\n${lines.join('')}\r\n${body}`);
  // What still comes in is thrown away: closing with unread bytes would reset the connection under the answer.
  socket.resume();
  const deadline = setTimeout(() => socket.destroy(), lingerMs);
  socket.once('close', () => clearTimeout(deadline));
}
