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

/** Returns how many slices were updated before their step's end. */
async function check(seed: number): Promise<number> {
  const quiet = await quietRun(seed);
  const { run } = disturbedRun(seed);
  const disturbed = await run;
  const what = `seed ${seed}`;
  expect(disturbed.sums, what).toEqual(quiet.sums);
  expect(disturbed.parameters, what).toEqual(quiet.parameters);
  expect(disturbed.numHeld, what).toBe(0);
  expect(Math.max(...disturbed.stepMs), what).toBeLessThan(LONGEST_STEP_MS);
  return disturbed.numSlices;
}

/** Of gradients that a worker may hold back nothing is lost but what it takes along, and nothing counts twice. */
async function checkSparse(seed: number): Promise<number> {
  const { run, counts, withheld } = disturbedRun(seed, 'topk');
  const { sums, numHeld } = await run;
  const what = `seed ${seed}`;
  expect(
    sums.map(({ count }) => count),
    what,
  ).toEqual(counts);
  expect(numHeld, what).toBe(0);
  const { missing, kept } = withheld();
  const difference = missing.map((value, i) => Math.abs(value - kept[i]!));
  expect(Math.max(...difference), what).toBeLessThan(1e-4);
  return Math.max(...kept.map(Math.abs));
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
      let numSlices = 0;
      for (let seed = from; seed < to; seed++) numSlices += await check(seed);
      expect(numSlices).toBeGreaterThan((to - from) / 2);
    },
    120_000,
  );

  it('loses no gradient that a worker holds back, and uses none twice', async () => {
    const withheld: number[] = [];
    for (let seed = 0; seed < Number(runs) / 4; seed++) withheld.push(await checkSparse(seed));
    // Else there was nothing to be lost.
    expect(withheld.filter((value) => value > 0.01).length).toBeGreaterThan(withheld.length / 2);
  }, 120_000);
});
