/** Takes a port, or says why there is none to be had. */
import { once } from 'node:events';
import type { Server } from 'node:net';
import { LockstepError } from '@lockstep/core';
import { withoutBrackets } from './address.ts';

/** Tried first when no port is asked for. */
const DEFAULT_PORT = 7070;

/**
 * @param port undefined for the default port, or any free one when that is taken; 0 for any free one
 * @throws LockstepError `address-in-use` or `address-unavailable`
 */
export async function listen(server: Server, host: string, port: number | undefined): Promise<void> {
  try {
    await bind(server, host, port ?? DEFAULT_PORT);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // Windows reserves ranges of ports, and then answers EACCES.
    if (port !== undefined || (code !== 'EADDRINUSE' && code !== 'EACCES')) throw explain(error, host, port);
    await bind(server, host, 0);
  }
}

async function bind(server: Server, host: string, port: number): Promise<void> {
  server.listen({ host: withoutBrackets(host), port });
  await once(server, 'listening');
}

function explain(error: unknown, host: string, port: number | undefined): LockstepError {
  const { code, message } = error as NodeJS.ErrnoException;
  const options = { cause: error };
  if (code === 'EADDRINUSE') {
    return new LockstepError(
      'address-in-use',
      `Port ${port} of ${host} is taken by another program.`,
      'Choose another one with --port, or --port 0 for any free one.',
      options,
    );
  }
  if (code === 'EACCES') {
    return new LockstepError(
      'address-unavailable',
      `The system does not let you use port ${port} of ${host}.`,
      'Choose one above 1023 with --port, or --port 0 for any free one.',
      options,
    );
  }
  const reason =
    code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND' ? 'is not an address of this machine' : `is refused: ${message}`;
  return new LockstepError(
    'address-unavailable',
    `Cannot listen on ${host}: it ${reason}.`,
    'Leave --host out for this machine alone, or use --host 0.0.0.0 for every network it is on.',
    options,
  );
}
