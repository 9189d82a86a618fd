import type { JoinEvent } from '@lockstep/protocol';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { JoinDisplay } from './join-display.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** A display whose words are kept. */
function open() {
  const lines: string[] = [];
  const progress: string[] = [];
  const display = new JoinDisplay({
    line: (text = '') => void lines.push(text),
    notice: (text) => void lines.push(text),
    progress: (text) => void progress.push(text),
    endProgress: () => {},
  });
  return { display, lines, progress };
}

const joined: JoinEvent = {
  event: 'joined',
  member: 'worker-2',
  engine: 'onnx',
  device: 'cpu',
  threads: 3,
  reason: 'because',
  jobHash: '00',
  model: 'mlp',
  numParameters: 1234,
  batchSize: 64,
  shards: 8,
  held: 1,
};

it('says a reason once, and then only counts down', () => {
  const { display, lines, progress } = open();
  display.event({ event: 'connecting', url: 'ws://host/worker', attempt: 1 });
  for (const reason of ['connection refused', 'connection refused', 'timed out']) {
    display.event({ event: 'waiting', reason, retryInMs: 1500 });
    vi.advanceTimersByTime(1500);
    display.event({ event: 'connecting', url: 'ws://host/worker', attempt: 2 });
  }
  expect(lines).toHaveLength(3);
  expect(lines[1]).toContain('connection refused');
  expect(lines[2]).toContain('timed out');
  expect(progress.slice(0, 3)).toEqual([
    'waiting, dialling again in 2 s',
    'waiting, dialling again in 1 s',
    'connecting, attempt 2',
  ]);
  vi.advanceTimersByTime(10_000);
  expect(progress).toHaveLength(9);
});

it('shows what is done, and how fast in the last seconds', () => {
  const { display, progress } = open();
  display.event(joined);
  display.event({ event: 'fetching', shard: 1, doneBytes: 1.5e6, totalBytes: 6e6 });
  expect(progress.at(-1)).toContain('1.5 MB of 6.0 MB');
  for (let runStep = 1; runStep <= 30; runStep++) {
    vi.advanceTimersByTime(500);
    display.event({ event: 'step', epoch: 1, runStep, from: 0, to: 6, samples: 100, computeMs: 1 });
  }
  expect(progress.at(-1)).toBe('step 30, shards 0-5 of 8  200 samples/s');
  vi.advanceTimersByTime(500);
  display.event({ event: 'step', epoch: 1, runStep: 31, from: 2, to: 3, samples: 100, computeMs: 1 });
  expect(progress.at(-1)).toContain('shards 2 of 8');
});

it('replaces its line a few times a second, however many steps there are', () => {
  const { display, progress } = open();
  display.event(joined);
  for (let runStep = 1; runStep <= 3000; runStep++) {
    vi.advanceTimersByTime(2);
    display.event({ event: 'step', epoch: 1, runStep, from: 0, to: 6, samples: 10, computeMs: 1 });
  }
  expect(progress.length).toBeGreaterThan(20);
  expect(progress.length).toBeLessThan(26);
  expect(progress.at(-1)).toMatch(/^step 2,\d+, .* 5,000 samples\/s$/);
});

it('leaves no timer behind', () => {
  const { display } = open();
  display.event({ event: 'waiting', reason: 'x', retryInMs: 1e6 });
  display.end();
  expect(vi.getTimerCount()).toBe(0);
});
