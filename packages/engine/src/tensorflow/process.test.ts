import { describe, expect, it } from 'vitest';
import { howItEnded, lastLines, run } from './process.ts';

const options = { deadlineMs: 20_000, signal: undefined, env: process.env };

describe('run', () => {
  it('collects what a program writes, and how it ends', async () => {
    const outcome = await run('sh', ['-c', 'echo out; echo err >&2; exit 3'], options);
    expect(outcome).toEqual({ status: 3, stdout: 'out\n', stderr: 'err\n' });
    expect(howItEnded(outcome, options.deadlineMs)).toBe('ended with code 3');
    expect((await run('sh', ['-c', 'kill -9 $$'], options)).status).toBe('signal');
    expect((await run('no-such-program', [], options)).status).toBe('not-found');
  });

  it('ends a program that is late, and what that has started', async () => {
    // The pipe stays open for as long as the child of the child lives.
    const outcome = await run('sh', ['-c', 'sleep 1000 & sleep 1000'], { ...options, deadlineMs: 100 });
    expect(outcome.status).toBe('late');
    expect(howItEnded(outcome, 100)).toBe('did not finish within 0.1 s');
  });

  it('ends a program when it is interrupted', async () => {
    const controller = new AbortController();
    const running = run('sleep', ['1000'], { ...options, signal: controller.signal });
    controller.abort();
    await expect(running).rejects.toMatchObject({ code: 'interrupted' });
    await expect(run('sleep', ['1000'], { ...options, signal: controller.signal })).rejects.toMatchObject({
      code: 'interrupted',
    });
  });
});

describe('lastLines', () => {
  it('takes the last lines that are not empty', () => {
    expect(
      lastLines('a\n\nb\nc\n\n', 2)
        .split('\n')
        .map((line) => line.trim()),
    ).toEqual(['', 'b', 'c']);
  });
});
