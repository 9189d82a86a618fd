/** The event stream, over real HTTP. */
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { bearer, dial, httpUrl, openServer, TOKEN } from '../server/testing/peers.ts';
import { EventStream } from './event-stream.ts';
import type { RunRecord } from './record.ts';
import { done, epoch, model, newRecord, progress, step } from './testing/run.ts';

// biome-ignore lint/suspicious/noExplicitAny: each test looks at what it is about
type Message = any;

const PATIENTLY = { timeout: 30_000 };

async function openStream(record: RunRecord = newRecord()) {
  const { server } = await openServer();
  const stream = new EventStream(record);
  onTestFinished(() => stream.close());
  server.route('/events', (request, response) => stream.open(request, response));
  const open = (init?: RequestInit): Promise<Response> =>
    fetch(httpUrl(server, '/events'), { headers: bearer, ...init });
  return { server, stream, record, open };
}

/** The messages of a stream, one after the other. */
async function* messages(response: Response): AsyncGenerator<Message, void, void> {
  let rest = '';
  for await (const text of response.body!.pipeThrough(
    new TextDecoderStream() as never,
  ) as unknown as AsyncIterable<string>) {
    const parts = (rest + text).split('\n\n');
    rest = parts.pop()!;
    for (const part of parts) {
      expect(part).toMatch(/^data: .*$/);
      yield JSON.parse(part.slice('data: '.length));
    }
  }
  expect(rest).toBe('');
}

describe('EventStream', () => {
  it('begins with a status, goes on with events, and ends with a status', async () => {
    const { stream, record, open } = await openStream();
    record.event(model);
    const opening = open();
    await vi.waitFor(() => expect(stream.numViewers).toBe(1), { ...PATIENTLY, interval: 1 });
    for (const event of [epoch(1), done]) {
      record.event(event);
      stream.push(event);
    }
    const response = await opening;
    expect(response.headers.get('content-type')).toBe('text/event-stream');
    const stories = messages(response);
    expect((await stories.next()).value).toMatchObject({ event: 'status', state: 'starting', model: { name: 'mlp' } });
    stream.close();
    stream.push(epoch(2));
    expect(stream.numViewers).toBe(0);
    const rest: Message[] = [];
    for await (const message of stories)
      if (message.event !== 'status' || message.state === 'finished') rest.push(message);
    expect(rest.map(({ event }) => event)).toEqual(['epoch', 'done', 'status']);
  });

  it('sends a status again and again', async () => {
    const { stream, open } = await openStream();
    const stories = messages(await open());
    for (let i = 0; i < 3; i++) expect((await stories.next()).value.event).toBe('status');
    stream.close();
  });

  it('shows some of many steps, and leaves progress out', async () => {
    const { stream, open } = await openStream();
    const stories = messages(await open());
    await stories.next();
    for (let i = 1; i <= 500; i++) {
      stream.push(step(i));
      stream.push(progress('train'));
      if (i % 100 === 0) await sleep(60);
    }
    stream.push(done);
    const seen: string[] = [];
    for await (const { event } of stories) {
      seen.push(event);
      if (event === 'done') break;
    }
    expect(seen).not.toContain('progress');
    const numSteps = seen.filter((event) => event === 'step').length;
    expect(numSteps).toBeGreaterThan(0);
    expect(numSteps).toBeLessThan(50);
  });

  it('lets a viewer go that does not read', async () => {
    const record = newRecord();
    const { server, stream, open } = await openStream(record);
    const deaf = connect({ port: server.port, host: '127.0.0.1' });
    onTestFinished(() => void deaf.destroy());
    deaf.on('error', () => {});
    deaf.pause();
    deaf.write(`GET /events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${TOKEN}\r\n\r\n`);
    await vi.waitFor(() => expect(stream.numViewers).toBe(1), PATIENTLY);
    const stories = messages(await open());
    await stories.next();
    const long = { event: 'error', fatal: false, code: 'x', message: 'x'.repeat(2 ** 20) } as const;
    for (let i = 0; i < 60 && stream.numViewers > 1; i++) {
      stream.push(long);
      await stories.next();
      await sleep(1);
    }
    expect(stream.numViewers).toBe(1);
    // Those who read are still told.
    stream.push(done);
    for await (const { event } of stories) if (event === 'done') break;
  });

  it('has an end of viewers, and room again when some have left', async () => {
    const record = newRecord();
    const { server } = await openServer({ limits: { maxConnectionsPerAddress: 1000, maxPendingHandshakes: 1000 } });
    const stream = new EventStream(record);
    server.route('/events', (request, response) => stream.open(request, response));
    const request = `GET /events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${TOKEN}\r\n\r\n`;
    const sockets = await Promise.all(Array.from({ length: 256 }, () => dial(server.port)));
    for (const socket of sockets) socket.write(request);
    await vi.waitFor(() => expect(stream.numViewers).toBe(256), PATIENTLY);
    const refused = await fetch(httpUrl(server, '/events'), { headers: bearer });
    expect(refused.status).toBe(503);
    expect(refused.headers.get('retry-after')).toBe('10');
    sockets.pop()!.destroy();
    await vi.waitFor(() => expect(stream.numViewers).toBe(255), PATIENTLY);
    const taken = await fetch(httpUrl(server, '/events'), { headers: bearer });
    expect(taken.status).toBe(200);
    stream.close();
    await taken.text();
    for (const socket of sockets) socket.destroy();
  });

  it('answers HEAD at once, and counts nobody as a viewer', async () => {
    const { stream, open } = await openStream();
    const response = await open({ method: 'HEAD' });
    expect(response.headers.get('content-type')).toBe('text/event-stream');
    expect(await response.text()).toBe('');
    expect(stream.numViewers).toBe(0);
  });
});
