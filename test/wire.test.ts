/** Rounded gradients keep the promise: the same bits whoever computes them, whoever dies, and after an interruption. */
import { describe, expect, it } from 'vitest';
import { lockstep, type Running, smallDataset } from './lockstep.ts';
import { Ways } from './ways.ts';

const dataDir = smallDataset(1000, 100);
const ways = new Ways(['--model', 'mlp', '--optimizer', 'adam', '--epochs', '3', '--batch-size', '40'], dataDir);
const NUM_STEPS = 75;

const stepped = (worker: Running, atLeast: number): Promise<unknown> =>
  worker.event(({ event, runStep }) => event === 'step' && runStep >= atLeast);

describe.each(['fp16', 'int8'])('--wire %s', (format) => {
  const wire = ['--wire', format];

  it('gives the same weights for any number of workers, near or far, and after an interruption', async () => {
    const [one, ...others] = await Promise.all([
      ways.local(wire, 1),
      ways.local(wire, 3),
      ways.remote(wire, { workers: 1, joiners: 2 }),
      ways.resumed(wire, 31),
    ]);
    expect(others).toEqual(others.map(() => one));
    expect(await ways.local([], 1)).not.toBe(one);
  });

  it('gives them when a worker dies in the middle and another takes its place', async () => {
    const disturbed = ways.remote(wire, { joiners: 2 }, async (coordinator, [first], join) => {
      await stepped(first!, 15);
      first!.kill('SIGKILL');
      const late = join();
      await coordinator.end;
      // Whoever had the step before is sent changes. It may be given none of the steps once its speed is known.
      const computed = late.events.filter(({ event }) => event === 'step').map(({ runStep }) => runStep as number);
      expect(computed.filter((runStep, i) => runStep === computed[i - 1]! + 1).length).toBeGreaterThan(0);
    });
    expect(await disturbed).toBe(await ways.local(wire, 2));
  });
});

it.each(['fp32', 'int8'])(
  'over a slow line, on which vectors travel in slices, %s gives the same weights, also when a worker dies',
  async (format) => {
    const args = ['--wire', format, '--epochs', '1'];
    const mbit = format === 'fp32' ? 300 : 75;
    const disturbed = ways.remote(args, { joiners: 2, mbit }, async (_, [first], join) => {
      await stepped(first!, 12);
      first!.kill('SIGKILL');
      join();
    });
    const [one, ...others] = await Promise.all([
      ways.local(args, 1),
      ways.remote(args, { joiners: 2, mbit }),
      disturbed,
    ]);
    expect(others).toEqual([one, one]);
  },
);

it('--wire auto tries all formats with the workers that are there, and says what it decided', async () => {
  const events: Record<string, unknown>[] = [];
  await ways.remote(['--wire', 'auto'], { joiners: 1 }, async (coordinator) => {
    events.push(...(await coordinator.end).events);
  });
  const decisions = events.filter(({ event }) => event === 'wire');
  expect(decisions).toHaveLength(1);
  expect(decisions[0]).toMatchObject({
    format: expect.stringMatching(/^(fp32|fp16|int8)$/),
    reason: expect.stringMatching(/^a step took fp32 .* ms, fp16 .* ms, int8 .* ms/),
  });
  expect(decisions[0]!.runStep).toBeGreaterThanOrEqual(30);
  expect(events.at(-1)).toMatchObject({ event: 'done', samples: 3000 });
});

describe('--wire topk', () => {
  const wire = ['--wire', 'topk:0.01', '--reduction', 'fast'];
  const ofWorkers = (text: string): number =>
    Number(/^lockstep_network_bytes_total\{direction="received"\} (\d+)$/m.exec(text)![1]);

  /** Mean loss of the last epoch, and bytes that a step brought from the workers. */
  async function trained(
    args: readonly string[],
    disturb?: (joiners: readonly Running[], join: () => Running) => Promise<void>,
  ): Promise<{ loss: number; bytes: number }> {
    let loss = Number.NaN;
    let bytes = Number.NaN;
    const many = [...args, '--epochs', '8'];
    await ways.remote(many, { joiners: 2 }, async (coordinator, joiners, join) => {
      const { url } = await coordinator.event(({ event }) => event === 'listening');
      const metrics = async (): Promise<number> =>
        ofWorkers(await (await fetch(`${url.replace(/^ws/, 'http')}/metrics`)).text());
      await coordinator.event(({ event, epoch }) => event === 'epoch' && epoch === 1);
      const before = await metrics();
      await disturb?.(joiners, join);
      await coordinator.event(({ event, epoch }) => event === 'epoch' && epoch === 7);
      bytes = ((await metrics()) - before) / (6 * (NUM_STEPS / 3));
      const { events } = await coordinator.end;
      expect(events.at(-1)).toMatchObject({ event: 'done', samples: 8000 });
      loss = events.findLast(({ event }) => event === 'epoch').trainLoss;
    });
    return { loss, bytes };
  }

  it('learns from a small part of the bytes', async () => {
    const whole = await trained(['--reduction', 'fast']);
    const part = await trained(wire);
    expect(part.bytes).toBeLessThan(whole.bytes / 50);
    expect(part.loss).toBeLessThan(1.5);
    expect(whole.loss).toBeLessThan(part.loss);
  });

  it('goes on when a worker dies and another one comes', async () => {
    const { loss } = await trained(wire, async ([first], join) => {
      first!.kill('SIGKILL');
      await join().event(({ event }) => event === 'step');
    });
    expect(loss).toBeLessThan(1.5);
  });

  it('is refused without the fast reduction, and says what else there is', async () => {
    const { code, stderr } = await lockstep(['train', '--wire', 'topk:0.01']);
    expect(code).toBe(2);
    expect(stderr).toMatch(/--wire topk:0\.01 needs --reduction fast: .*--wire int8/s);
  });

  it('is refused with a share that is none', async () => {
    const { code, stderr } = await lockstep(['train', '--reduction', 'fast', '--wire', 'topk:1']);
    expect(code).toBe(2);
    expect(stderr).toMatch(/--wire topk.* has no share above 0 and below 1.*topk:0\.01/s);
  });
});

it('refuses a format that does not exist, and names those that do', async () => {
  const { code, stderr } = await lockstep(['train', '--wire', 'fp8']);
  expect(code).toBe(2);
  expect(stderr).toMatch(/--wire.*fp8.*fp32.*fp16.*int8/s);
});
