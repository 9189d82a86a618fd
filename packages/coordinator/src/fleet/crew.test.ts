import { encodeFrame, PROTOCOL_VERSION } from '@lockstep/protocol';
import { describe, expect, it } from 'vitest';
import { Crew, type CrewEvents } from './crew.ts';
import { MEMBERSHIP } from './membership.ts';
import type { Terms } from './peer.ts';
import { VirtualClock } from './testing/virtual-time.ts';

const terms = {
  job: { text: '{}', hash: 'a'.repeat(64) },
  layoutHash: 'b'.repeat(64),
  numShards: 1,
  heartbeatMs: MEMBERSHIP.heartbeatMs,
  heartbeatMisses: MEMBERSHIP.heartbeatMisses,
  maxBufferedBytes: 1e6,
} as Terms;

function open(clock: VirtualClock) {
  const gone: string[] = [];
  const nothing = (): void => {};
  const events: CrewEvents = {
    report: nothing,
    available: nothing,
    gone: (id) => gone.push(id),
    lost: nothing,
    result: nothing,
    failed: nothing,
    tick: nothing,
  };
  const crew = new Crew({ clock, membership: MEMBERSHIP, local: undefined, terms: () => terms }, events);
  return { crew, gone };
}

const pass = (clock: VirtualClock, ms: number): Promise<void> =>
  clock.until(new Promise((resolve) => clock.after(ms, resolve)), Number.POSITIVE_INFINITY);

describe('Crew', () => {
  it('does not take a long message on a slow line for silence', async () => {
    const clock = new VirtualClock();
    const { crew, gone } = open(clock);
    const link = { receivedBytes: 0, bufferedBytes: 0, send: () => {}, close: () => {} };
    const hello = { type: 'hello', protocol: PROTOCOL_VERSION, name: 'slow', threads: 1, runtime: 'node' } as const;
    crew.connect(link).receive(encodeFrame(hello));
    for (let second = 0; second < 30; second++) {
      link.receivedBytes += 1000;
      await pass(clock, 1000);
    }
    expect(gone).toEqual([]);
    await pass(clock, MEMBERSHIP.heartbeatMs * (MEMBERSHIP.heartbeatMisses + 1));
    expect(gone).toEqual(['worker-1']);
    expect(crew.refused.get('silent')).toBe(1);
  });

  it('turns away whoever comes after the goodbye', () => {
    const { crew } = open(new VirtualClock());
    crew.close('finished', 'The run is finished.');
    const closed: number[] = [];
    crew.connect({ receivedBytes: 0, bufferedBytes: 0, send: () => {}, close: (code) => closed.push(code) });
    expect(closed).toEqual([4000]);
  });
});
