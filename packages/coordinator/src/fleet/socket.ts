/** Puts a worker's WebSocket and the fleet together. */
import { releaseWhole } from '@lockstep/core';
import { closeCodes } from '@lockstep/protocol';
import type { WebSocket } from 'ws';
import type { WorkerPeer } from '../server/index.ts';
import type { Fleet } from './fleet.ts';

/** How long a peer may take to answer a close before its connection is cut. */
const CLOSE_MS = 2_000;
const NOTHING = new Uint8Array(0);

export function admit(socket: WebSocket, peer: WorkerPeer, fleet: Fleet): void {
  let failure: string | undefined;
  const connection = fleet.connect({
    send: (frame, onTaken) => socket.send(frame, onTaken),
    get bufferedBytes() {
      return socket.bufferedAmount;
    },
    get receivedBytes() {
      return peer.bytesRead();
    },
    close: (code, reason) => {
      socket.close(code, reason);
      setTimeout(() => socket.terminate(), CLOSE_MS).unref();
    },
  });
  // A text message is none of ours, and is treated as an empty frame.
  let complete = peer.bytesRead();
  socket.on('message', (data, isBinary) => {
    complete = peer.bytesRead();
    connection.receive(isBinary ? (data as Buffer) : NOTHING);
    // What counts of it was copied.
    releaseWhole(data as Buffer);
  });
  // The library keeps a message until its end, however slowly that comes.
  peer.onBytes(() => {
    if (!connection.pending(peer.bytesRead() - complete)) socket.terminate();
  });
  socket.on('error', (error) => {
    failure = error.message;
    fleet.refused.add('websocket');
  });
  socket.on('close', (code) => {
    if (code === closeCodes.leaving) connection.closed('it was stopped');
    else connection.closed(failure ?? 'its connection was closed');
  });
}
