/** A coordinator that is silent, deaf, slow, or talks nonsense. */
import { closeCodes, encodeFrame } from '@lockstep/protocol';
import { describe, expect, it } from 'vitest';
import { WorkerPool } from '../pool.ts';
import type { ScriptedPeer } from './testing/coordinator.ts';
import { digests, job, NUM_SHARDS, parametersOf, partitionLength, partitions } from './testing/job.ts';
import { assign, pair, sendParameters } from './testing/scene.ts';

describe('heartbeat', () => {
  it('parts from a coordinator that says nothing, and dials again', async () => {
    const { coordinator, worker } = await pair();
    await coordinator.welcome(job, 30, 3);
    expect((await worker.event('waiting')).reason).toBe('nothing came from the coordinator for 0.09 s');
    await (await coordinator.welcome(job)).next('ready');
  });

  it('parts from a coordinator that pings but does not read', async () => {
    const { coordinator, worker } = await pair();
    const peer = await coordinator.welcome(job, 100, 3);
    const pings = setInterval(() => peer.send({ type: 'ping', sentAt: 0 }), 20);
    peer.serveAll(partitions);
    peer.send({ type: 'hold', shards: [0] });
    await peer.next('holds');
    peer.socket.pause();
    sendParameters(peer, 0, parametersOf(1));
    // More than any system buffers for a connection.
    for (let i = 0; i < 60; i++) assign(peer, 0, 0, 1);
    expect((await worker.event('waiting')).reason).toBe('the coordinator took nothing for 0.3 s');
    clearInterval(pings);
    // It stopped computing when nothing was taken any more.
    expect(worker.of('step').length).toBeLessThan(60);
  });

  it('answers a ping while the pool is made', async () => {
    let open = (): void => {};
    const gate = new Promise<void>((resolve) => {
      open = resolve;
    });
    class GatedPool extends WorkerPool {
      override async prepare() {
        await gate;
        return super.prepare();
      }
    }
    const { coordinator } = await pair({ Pool: GatedPool });
    const peer = await coordinator.welcome(job);
    peer.send({ type: 'ping', sentAt: 12.5 });
    expect((await peer.next('pong')).message.sentAt).toBe(12.5);
    expect(peer.unread).toEqual([]);
    open();
    await peer.next('ready');
  });
});

describe('deadlines', () => {
  it('does not wait for a welcome forever', async () => {
    const { coordinator, worker } = await pair({ settings: { welcomeMs: 50 } });
    await (await coordinator.accept()).next('hello');
    expect((await worker.event('waiting')).reason).toBe('it did not welcome this worker within 0.05 s');
    await coordinator.accept();
  });

  it('does not wait for data forever', async () => {
    const { coordinator, worker } = await pair({ settings: { partMs: 50 } });
    const peer = await coordinator.welcome(job);
    peer.send({ type: 'hold', shards: [0] });
    await peer.next('fetch');
    expect((await worker.event('waiting')).reason).toMatch(/sent no part of a partition for 0.05 s/);
    await coordinator.accept();
  });
});

describe('nonsense', () => {
  const byMessage: readonly [string, (peer: ScriptedPeer) => void][] = [
    ['text', (peer) => peer.socket.send('hello')],
    ['nothing', (peer) => peer.socket.send(new Uint8Array())],
    ['noise', (peer) => peer.socket.send(Uint8Array.from({ length: 999 }, (_, i) => (i * 97) % 256))],
    ['the length of an endless header', (peer) => peer.socket.send(new Uint8Array(8).fill(255))],
    ["a worker's message", (peer) => peer.socket.send(encodeFrame({ type: 'holds', shards: [] }))],
    ['a second welcome', (peer) => sendWelcome(peer)],
    ['parameters of another length', (peer) => sendParameters(peer, 0, new Uint8Array(8))],
    ['a shard that does not exist', (peer) => peer.send({ type: 'hold', shards: [NUM_SHARDS] })],
    ['no shards', (peer) => void assign(peer, 0, 2, 2)],
    ['too many shards', (peer) => void assign(peer, 0, 0, NUM_SHARDS + 1)],
    ['a payload where there is none', (peer) => peer.send({ type: 'ping', sentAt: 0 }, new Uint8Array(8))],
    ['a part that nobody asked for', (peer) => sendPart(peer, 0, partitionLength, 8)],
    [
      'a part of another partition',
      (peer) => answer(peer, () => peer.send(part(digests[1]!, 0, partitionLength), eight)),
    ],
    ['a part from another place', (peer) => answer(peer, () => sendPart(peer, 8, partitionLength, 8))],
    ['a partition of another length', (peer) => answer(peer, () => sendPart(peer, 0, 8, 8))],
    ['an empty part', (peer) => answer(peer, () => sendPart(peer, 0, partitionLength, 0))],
    ['too long a part', (peer) => answer(peer, () => sendPart(peer, 0, partitionLength, partitionLength + 1))],
    [
      'too much work',
      (peer) => {
        sendParameters(peer, 0, parametersOf(1));
        for (let i = 0; i < 66; i++) assign(peer, 0, 0, 1);
      },
    ],
  ];
  const eight = new Uint8Array(8);
  const part = (digest: string, offset: number, total: number) => ({ type: 'part', digest, offset, total }) as const;
  const sendPart = (peer: ScriptedPeer, offset: number, total: number, length: number): void =>
    peer.send(part(digests[0]!, offset, total), new Uint8Array(length));
  const answer = (peer: ScriptedPeer, send: () => void): void => {
    peer.send({ type: 'hold', shards: [0] });
    void peer.next('fetch').then(send);
  };
  const sendWelcome = (peer: ScriptedPeer): void => {
    const { text, hash } = job;
    peer.send({ type: 'welcome', member: 'x', job: text, jobHash: hash, heartbeatMs: 1e4, heartbeatMisses: 3 });
  };

  it('ends the connection and not the worker', async () => {
    const { coordinator, worker } = await pair();
    for (const [what, send] of byMessage) {
      const peer = await coordinator.welcome(job);
      await peer.next('ready');
      send(peer);
      expect(await peer.closed, what).toBe(closeCodes.malformed);
    }
    const peer = await coordinator.welcome(job);
    await peer.next('ready');
    expect(worker.of('waiting')).toHaveLength(byMessage.length);
    expect(worker.pools).toHaveLength(1);
  });

  it('before the welcome ends the connection too', async () => {
    const { coordinator } = await pair();
    const peer = await coordinator.accept();
    assign(peer, 0, 0, 1);
    expect(await peer.closed).toBe(closeCodes.malformed);
  });
});
