/** A run of `python/train_recipe.py`: its process, which ends with this one, and what it says. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { LockstepError } from '@lockstep/core';
import { z } from 'zod';
import { endChildren } from './children.ts';
import type { TorchJob } from './torch-job.ts';
import { throwIfInterrupted, within } from './within.ts';

const PROGRAM = fileURLToPath(new URL('../python/train_recipe.py', import.meta.url));

/** Between two signs of life; it gives them every other second, but for loading PyTorch and for one step. */
const SILENCE_MS = 5 * 60_000;
const CLOSING_MS = 10_000;
/** Far more than any of its lines has. */
const MAX_LINE = 1 << 16;
const KEPT_OF_ERRORS = 4000;

const torchEvent = z.discriminatedUnion('event', [
  z.object({
    event: z.literal('ready'),
    torch: z.string(),
    threads: z.int().positive(),
    /** Memory layout of pictures: the faster one in a short trial. */
    layout: z.enum(['contiguous', 'channels_last']),
    /** Weights and moving statistics. */
    parameters: z.int().nonnegative(),
  }),
  z.object({ event: z.literal('alive') }),
  z.object({
    event: z.literal('epoch'),
    epoch: z.int().positive(),
    /** Since the beginning of the first epoch, evaluations included. */
    seconds: z.number(),
    accuracy: z.number(),
  }),
  z.object({ event: z.literal('refused'), reason: z.string() }),
  z.object({ event: z.literal('done') }),
]);
export type TorchEvent = Exclude<z.infer<typeof torchEvent>, { event: 'alive' | 'refused' | 'done' }>;

/**
 * Trains in PyTorch, in a process of its own with all cores.
 * @param python interpreter that has it
 * @throws LockstepError `worker-failed` when it cannot do what is asked, or ends early; `worker-timeout` when it says
 *   nothing for minutes; `interrupted`. The process has ended then, and also when the caller leaves the loop.
 */
export async function* trainWithTorch(
  python: string,
  job: TorchJob,
  signal: AbortSignal | undefined,
): AsyncGenerator<TorchEvent, void, void> {
  const child = spawn(python, ['-B', PROGRAM], { stdio: ['pipe', 'pipe', 'pipe'] });
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors = (errors + text).slice(-KEPT_OF_ERRORS);
  });
  const closed = new Promise<void>((resolve) => child.once('close', () => resolve()));
  // It ended early: its silence says so.
  child.stdin.on('error', () => {});
  await once(child, 'spawn').catch((error: Error) => {
    throw failed(error.message);
  });
  try {
    child.stdin.end(JSON.stringify(job));
    const lines = linesOf(child.stdout);
    for (;;) {
      const { value, done } = await within(SILENCE_MS, signal, 'PyTorch', lines.next());
      if (done) {
        // Its last words may come after the end of its answers.
        await within(CLOSING_MS, signal, 'the end of PyTorch', closed).catch(() => {});
        throw failed(errors.trim().split('\n').at(-1) || 'its process ended early');
      }
      // A library may print something too.
      if (!value.startsWith('{')) continue;
      const event = eventOf(value);
      if (event.event === 'done') return;
      if (event.event === 'refused') throw failed(event.reason);
      if (event.event !== 'alive') yield event;
    }
  } catch (error) {
    // Ctrl-C reaches the process too, whose end may be seen first.
    throwIfInterrupted(signal);
    throw error;
  } finally {
    await endChildren([child]);
  }
}

async function* linesOf(stream: Readable): AsyncGenerator<string, void, void> {
  let rest = '';
  for await (const text of stream.setEncoding('utf8')) {
    const lines = (rest + text).split('\n');
    rest = lines.pop()!;
    if (rest.length > MAX_LINE) throw failed('what it says makes no sense');
    yield* lines;
  }
}

function eventOf(line: string): z.infer<typeof torchEvent> {
  try {
    return torchEvent.parse(JSON.parse(line));
  } catch (error) {
    throw failed(`it said "${line.slice(0, 200)}"`, error);
  }
}

const failed = (reason: string, cause?: unknown): LockstepError =>
  new LockstepError(
    'worker-failed',
    `PyTorch could not train it: ${reason}`,
    'Leave PyTorch out with --pytorch none.',
    { cause },
  );
