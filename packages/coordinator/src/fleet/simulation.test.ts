/**
 * The real fleet, membership and step over a simulated network and clock, through thousands of schedules.
 * One of them again: LOCKSTEP_SIMULATION_SEED=123 npx vitest run simulation. More: LOCKSTEP_SIMULATION_RUNS=20000.
 */
import { describe, expect, it } from 'vitest';
import { MEMBERSHIP } from './membership.ts';
import { TIMING } from './step-machine.ts';
import { disturbedRun, quietRun } from './testing/schedule.ts';

const { LOCKSTEP_SIMULATION_SEED: only, LOCKSTEP_SIMULATION_RUNS: runs = '2000' } = process.env;
const GROUP = 250;

/** The longest wait for a member that has just fallen silent, and for a first answer of one that was never measured. */
const LONGEST_STEP_MS =
  MEMBERSHIP.heartbeatMs * (MEMBERSHIP.heartbeatMisses + 1) + TIMING.softUnknownMs + TIMING.hardMinMs;

async function check(seed: number): Promise<void> {
  const quiet = await quietRun(seed);
  const { run } = disturbedRun(seed);
  const disturbed = await run;
  const what = `seed ${seed}`;
  expect(disturbed.sums, what).toEqual(quiet.sums);
  expect(disturbed.parameters, what).toEqual(quiet.parameters);
  expect(disturbed.numHeld, what).toBe(0);
  expect(Math.max(...disturbed.stepMs), what).toBeLessThan(LONGEST_STEP_MS);
}

if (only !== undefined) {
  it(`one schedule again: ${only}`, async () => {
    const { run } = disturbedRun(Number(only));
    const outcome = await run.catch((error: unknown) => error);
    console.log(outcome);
    await check(Number(only));
  });
}

describe.skipIf(only !== undefined)('any schedule of joins, kills, delays and lies', () => {
  const numGroups = Math.ceil(Number(runs) / GROUP);
  it.each(Array.from({ length: numGroups }, (_, group) => [group * GROUP, (group + 1) * GROUP]))(
    'gives the weights of the undisturbed run (seeds %i to %i)',
    async (from, to) => {
      for (let seed = from; seed < to; seed++) await check(seed);
    },
    120_000,
  );
});
