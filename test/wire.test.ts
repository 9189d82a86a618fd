/** Rounded gradients keep the promise: the same bits whoever computes them, whoever dies, and after an interruption. */
import { describe, expect, it } from 'vitest';
import { lockstep, type Running, smallDataset } from './lockstep.ts';
import { Ways } from './ways.ts';

const dataDir = smallDataset(1000, 100);
const ways = new Ways(['--model', 'mlp', '--epochs', '3', '--batch-size', '40'], dataDir);
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
      const { runStep } = late.events.find(({ event }) => event === 'step');
      // It computed steps that it was sent changes for, not only those that it was sent whole parameters for.
      expect(late.events.filter(({ event }) => event === 'step').length).toBeGreaterThan((NUM_STEPS - runStep) / 2);
    });
    expect(await disturbed).toBe(await ways.local(wire, 2));
  });
});

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

it('refuses a format that does not exist, and names those that do', async () => {
  const { code, stderr } = await lockstep(['train', '--wire', 'fp8']);
  expect(code).toBe(2);
  expect(stderr).toMatch(/--wire.*fp8.*fp32.*fp16.*int8/s);
});
