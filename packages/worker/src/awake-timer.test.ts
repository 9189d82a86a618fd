import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it, vi } from 'vitest';
import { AwakeTimer } from './awake-timer.ts';

/** Nothing happens in the process meanwhile, as if it had been stopped. */
function standStill(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

it('does not count the time in which the process stands still', async () => {
  const action = vi.fn();
  const timer = new AwakeTimer(1000, action);
  standStill(1500);
  await sleep(1);
  expect(action).not.toHaveBeenCalled();
  expect(timer.elapsedMs).toBeLessThan(1000);
  await vi.waitFor(() => expect(action).toHaveBeenCalledOnce(), 10_000);
});

it('does nothing once it is stopped', async () => {
  const action = vi.fn();
  new AwakeTimer(20, action).stop();
  await sleep(60);
  expect(action).not.toHaveBeenCalled();
});
