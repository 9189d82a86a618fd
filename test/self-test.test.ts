/** A worker whose engine computes wrong gradients is found out before any of them count. */
import { closeCodes, encodeFrame } from '@lockstep/protocol';
import { afterAll, expect, it } from 'vitest';
import { hello } from './fuzz/frames.ts';
import { RawClient, wsFrame } from './fuzz/raw-client.ts';
import { readyMessage } from './fuzz/strangers.ts';
import { spy } from './fuzz/target.ts';
import { lockstep, offline, Running, smallDataset, temporaryFolder } from './lockstep.ts';

const dataDir = smallDataset(600, 100);
const job = ['--model', 'mlp', '--optimizer', 'adam', '--epochs', '1', '--batch-size', '64', '--data-dir', dataDir];
const running: Running[] = [];
afterAll(async () => {
  for (const process of running) process.kill('SIGKILL');
  await Promise.all(running.map(({ end }) => end));
});

it('refuses it with the numbers, and goes on with others to the usual weights', async () => {
  const coordinator = new Running(
    ['train', ...job, '--workers', '0', '--port', '0', '--json'],
    offline(),
    temporaryFolder(),
  );
  running.push(coordinator);
  const { url, port } = await coordinator.event(({ event }) => event === 'listening');

  const target = await spy(port);
  // As from a kernel that loses a part of what it should add up.
  const sketch = target.sketch.map((value, i) => (i === 0 ? value * 0.9 : value));
  const frames = [hello('liar'), readyMessage({ ...target, sketch })].map((message) => wsFrame(encodeFrame(message)));
  const client = await RawClient.join(port, ...frames);
  let goodbye = '';
  client.onMessage = ({ message }) => {
    if (message.type === 'bye') goodbye = message.reason;
    expect(message.type).not.toBe('work');
  };
  await client.until(() => client.closeCode !== undefined);
  expect(client.closeCode).toBe(closeCodes.wrong);
  expect(goodbye).toMatch(
    /^Refused: its gradient of dense\/kernel is wrong in the self-test: a norm of \S+ in place of \S+\. Try another/,
  );
  await client.leave();

  running.push(new Running(['join', url, '--workers', '1', '--json']));
  const { code, events, stderr } = await coordinator.end;
  expect(code, stderr).toBe(0);
  const left = events.find(({ event, name, state }) => event === 'worker' && name === 'liar' && state === 'left');
  expect(left.reason).toContain('wrong in the self-test');
  const quiet = await lockstep(['train', ...job, '--workers', '1', '--json']);
  expect(events.at(-1).weightsSha256).toBe(quiet.events.at(-1).weightsSha256);
});
