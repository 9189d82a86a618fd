import { expect, it } from 'vitest';
import { Broadcast } from './broadcast.ts';

it('keeps a frame until every peer has taken it and no other follows, and then frees it', () => {
  const frame = new Uint8Array(100_000);
  const broadcast = new Broadcast(frame);
  const taken: (() => void)[] = [];
  const peer = { sendFrame: (_: Uint8Array, onTaken?: () => void) => void taken.push(onTaken!) };
  broadcast.to(peer);
  taken[0]!();
  broadcast.to(peer);
  broadcast.end();
  expect(frame.length).toBe(100_000);
  taken[1]!();
  expect(frame.length).toBe(0);
});
