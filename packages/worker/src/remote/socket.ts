/** The TCP or TLS connection under a WebSocket: open, and with a peer that is trusted, before HTTP says a word. */
import { once } from 'node:events';
import { connect, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { checkPinned, explainTls, type Trust, tlsOptionsOf } from './trust.ts';

/** @throws LockstepError `coordinator-refused` when the peer is not trusted; other errors may pass with another try */
export async function openSocket(url: URL, trust: Trust, signal: AbortSignal): Promise<Socket> {
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  return url.protocol === 'wss:' ? openTls(url, host, trust, signal) : openTcp(url, host, signal);
}

async function openTcp(url: URL, host: string, signal: AbortSignal): Promise<Socket> {
  const socket = connect({ host, port: Number(url.port || 80) });
  ignoreErrors(socket);
  try {
    await once(socket, 'connect', { signal });
    return socket;
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

async function openTls(url: URL, host: string, trust: Trust, signal: AbortSignal): Promise<Socket> {
  // A server name that is an address is not allowed (RFC 6066).
  const servername = isIP(host) ? '' : host;
  const socket = connectTls({ host, port: Number(url.port || 443), servername, ...tlsOptionsOf(trust) });
  ignoreErrors(socket);
  try {
    await once(socket, 'secureConnect', { signal });
  } catch (error) {
    socket.destroy();
    throw explainTls(error as Error, trust, socket, url) ?? error;
  }
  try {
    checkPinned(trust, socket, url);
    return socket;
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

/** Whoever waits for the socket hears of its errors; with nobody waiting they would end the process. */
function ignoreErrors(socket: Socket): void {
  socket.on('error', () => {});
}
