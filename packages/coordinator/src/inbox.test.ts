import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { Inbox } from './inbox.ts';

/** What comes out while some work is under way, and its result. */
async function collect<Event, Result>(events: AsyncGenerator<Event, Result, void>) {
  const seen: Event[] = [];
  for (;;) {
    const { value, done } = await events.next();
    if (done) return { seen, result: value };
    seen.push(value);
  }
}

describe('Inbox', () => {
  it('gives events as they come, and the result in the end', async () => {
    const inbox = new Inbox<string>();
    inbox.push('before');
    const work = (async () => {
      inbox.push('at once');
      await sleep(5);
      inbox.push('later');
      inbox.push('and later');
      await sleep(5);
      inbox.push('last');
      return 42;
    })();
    expect(await collect(inbox.during(work))).toEqual({
      seen: ['before', 'at once', 'later', 'and later', 'last'],
      result: 42,
    });
  });

  it('gives an event that comes while the one before is looked at', async () => {
    const inbox = new Inbox<number>();
    let end!: () => void;
    const events = inbox.during(
      new Promise<void>((resolve) => {
        end = resolve;
      }),
    );
    inbox.push(1);
    expect((await events.next()).value).toBe(1);
    inbox.push(2);
    expect((await events.next()).value).toBe(2);
    const next = events.next();
    await sleep(5);
    end();
    expect((await next).done).toBe(true);
  });

  it('gives events before it tells of a failure', async () => {
    const inbox = new Inbox<string>();
    inbox.push('first');
    const events = inbox.during(Promise.reject(new Error('broken')));
    expect((await events.next()).value).toBe('first');
    await expect(events.next()).rejects.toThrow('broken');
  });
});
