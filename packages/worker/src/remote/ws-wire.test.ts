import { once } from 'node:events';
import { type AddressInfo, connect } from 'node:net';
import { releaseWhole } from '@lockstep/core';
import { expect, it } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { WsWire } from './ws-wire.ts';

it('gives every message whole, whatever others it shared its pieces with, and frees most of those', async () => {
  // Short ones share pieces, long ones take many.
  const lengths = Array.from({ length: 300 }, (_, i) => (i % 5 === 0 ? 100_000 : 1) * (1 + ((i * 7919) % 23)));
  const content = (i: number): Uint8Array => new Uint8Array(lengths[i]!).fill(i);
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1', perMessageDeflate: false });
  await once(server, 'listening');
  server.on('connection', (peer) => {
    for (const i of lengths.keys()) {
      const bytes = content(i);
      const half = Math.floor(bytes.length / 2);
      if (i % 3 === 0) peer.send(bytes.subarray(0, half), { fin: false });
      peer.send(i % 3 === 0 ? bytes.subarray(half) : bytes, { fin: true });
    }
  });
  const { port } = server.address() as AddressInfo;
  const raw = connect(port, '127.0.0.1');
  const socket = new WebSocket(`ws://127.0.0.1:${port}`, { createConnection: () => raw, perMessageDeflate: false });
  const pieces: Uint8Array[] = [];
  socket.once('open', () => raw.on('data', (piece) => pieces.push(piece)));
  let numMessages = 0;
  await new Promise<void>((resolve, reject) => {
    new WsWire(socket, raw, {
      message: (bytes) => {
        if (Buffer.compare(bytes!, content(numMessages)) !== 0) reject(new Error(`message ${numMessages} differs`));
        releaseWhole(bytes!);
        if (++numMessages === lengths.length) resolve();
      },
      failed: (reason) => reject(new Error(reason)),
      closed: () => reject(new Error('closed')),
    });
  });
  const received = raw.bytesRead;
  const kept = pieces.reduce((sum, { length }) => sum + length, 0);
  socket.terminate();
  server.close();
  expect(kept).toBeLessThan(received / 2);
});
