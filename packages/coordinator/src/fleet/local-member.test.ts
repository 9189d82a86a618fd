import type { PartialSum, StepPlan, StepPosition } from '@lockstep/worker';
import { expect, it } from 'vitest';
import { LocalMember, type LocalOutcome } from './local-member.ts';

const plan: StepPlan = { epoch: 0, step: 0, runStep: 7, wire: 'fp32', count: 8, learningRate: 0.1 };
const partials: PartialSum[] = [{ node: 2, at: 0 }];

/** A pool whose gradients are done when the test says so. */
class ManualPool {
  readonly asked: string[] = [];
  numCancels = 0;
  #settle: { done: (partials: PartialSum[] | undefined) => void; fail: (error: Error) => void } | undefined;

  gradient({ runStep }: StepPosition, { from, to }: { from: number; to: number }): Promise<PartialSum[] | undefined> {
    if (this.#settle) throw new Error('two gradients at once');
    this.asked.push(`step ${runStep}: ${from}-${to}`);
    return new Promise((done, fail) => {
      this.#settle = { done, fail };
    });
  }

  cancel(): void {
    this.numCancels++;
    this.done(undefined);
  }

  done(result: PartialSum[] | undefined): void {
    this.#settle?.done(result);
    this.#settle = undefined;
  }

  fail(error: Error): void {
    this.#settle?.fail(error);
    this.#settle = undefined;
  }
}

/** A member with some assignments of one shard each, numbered from 1, and how they ended. */
function open(numAssignments: number) {
  const pool = new ManualPool();
  const local = new LocalMember(pool);
  const ended: (readonly [number, LocalOutcome])[] = [];
  for (let i = 1; i <= numAssignments; i++) {
    local.assign(i, plan, { from: i, to: i + 1 }, (outcome) => ended.push([i, outcome]));
  }
  return { pool, local, ended };
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

it('computes one assignment after the other', async () => {
  const { pool, local, ended } = open(2);
  await settled();
  expect(pool.asked).toEqual(['step 7: 1-2']);
  pool.done(partials);
  await settled();
  expect(pool.asked).toEqual(['step 7: 1-2', 'step 7: 2-3']);
  expect(ended).toEqual([[1, { kind: 'done', partials }]]);
  pool.done(partials);
  await local.idle;
  expect(ended.map(([assignment]) => assignment)).toEqual([1, 2]);
});

it('is not idle before all of them have ended', async () => {
  const { pool, local } = open(2);
  let isIdle = false;
  void local.idle.then(() => {
    isIdle = true;
  });
  for (let i = 0; i < 2; i++) {
    await settled();
    expect(isIdle).toBe(false);
    pool.done(partials);
  }
  await settled();
  expect(isIdle).toBe(true);
});

it('does not begin what was cancelled before', async () => {
  const { pool, local, ended } = open(3);
  local.cancel(2);
  await settled();
  pool.done(partials);
  await settled();
  pool.done(partials);
  await local.idle;
  expect(pool.asked).toEqual(['step 7: 1-2', 'step 7: 3-4']);
  expect(pool.numCancels).toBe(0);
  expect(ended.map(([, { kind }]) => kind)).toEqual(['done', 'cancelled', 'done']);
});

it('breaks off what is cancelled while it is computed, and goes on with the next', async () => {
  const { pool, local, ended } = open(2);
  await settled();
  local.cancel(1);
  await settled();
  expect(pool.numCancels).toBe(1);
  pool.done(partials);
  await local.idle;
  expect(ended.map(([, { kind }]) => kind)).toEqual(['cancelled', 'done']);
});

it('is not disturbed by the cancellation of what has ended', async () => {
  const { pool, local, ended } = open(1);
  await settled();
  pool.done(partials);
  await local.idle;
  local.cancel(1);
  expect(pool.numCancels).toBe(0);
  expect(ended).toHaveLength(1);
});

it('says so when something was done before it could be broken off', async () => {
  const { pool, local, ended } = open(1);
  await settled();
  pool.done(partials);
  local.cancel(1);
  await local.idle;
  expect(ended).toEqual([[1, { kind: 'done', partials }]]);
});

it('says that an assignment failed, and goes on with the next', async () => {
  const { pool, local, ended } = open(2);
  await settled();
  pool.fail(new Error('the pool gave up'));
  await settled();
  pool.done(partials);
  await local.idle;
  expect(ended).toEqual([
    [1, { kind: 'failed', error: new Error('the pool gave up') }],
    [2, { kind: 'done', partials }],
  ]);
});
