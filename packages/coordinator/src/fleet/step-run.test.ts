/** What of a step's end comes before its end: slices of sums are updated, and sent on as parameters, while others still come. */
import { coveringNodes, type Range, ShardPlan, slicedBytes, type WireFormat } from '@lockstep/core';
import { type CoordinatorMessage, decodeFromCoordinator, type Frame } from '@lockstep/protocol';
import type { PartialSum, StepPlan } from '@lockstep/worker';
import { expect, it } from 'vitest';
import { takeAnswer } from './answers.ts';
import { Counters } from './counters.ts';
import type { Crew } from './crew.ts';
import { Ledger } from './ledger.ts';
import type { Accumulator, LocalMember } from './local-member.ts';
import type { Member } from './membership.ts';
import type { Peer } from './peer.ts';
import { TIMING } from './step-machine.ts';
import { StepRun, type StepTools } from './step-run.ts';
import { VirtualClock } from './testing/virtual-time.ts';

const NUM_PARAMETERS = 64;
const layout = { numWeights: NUM_PARAMETERS, numParameters: NUM_PARAMETERS, sumLength: NUM_PARAMETERS + 3 };
const plan = new ShardPlan(32, 4, 8);

/** A pool that only notes what it is asked to do. */
function notingPool(updates: Range[]): Accumulator {
  let places = 0;
  return {
    expect: (node) => ({ node, at: places++ }),
    accept: () => {},
    isFinite: () => true,
    release: () => {},
    canUpdateSlices: () => true,
    updateSlice: (_step: StepPlan, partials: readonly PartialSum[], slice: Range) => {
      expect(partials).toHaveLength(2);
      updates.push(slice);
      return true;
    },
    parameters: () => new Float32Array(NUM_PARAMETERS),
    reference: () => new Float32Array(NUM_PARAMETERS),
    packedChange: (wire: WireFormat, slice: Range) => new Uint8Array(slicedBytes(wire, NUM_PARAMETERS, slice)),
  } satisfies Partial<Accumulator> as unknown as Accumulator;
}

/** Peers that have the parameters of step 0, unless told otherwise, and what they were sent. */
function scene(wire: WireFormat, names: readonly string[]) {
  const updates: Range[] = [];
  const sent: { to: string; message: Frame<CoordinatorMessage>['message'] }[] = [];
  const members = names.map((id) => ({ id, speed: undefined, owes: 0 }) as unknown as Member);
  const peers = new Map(
    names.map((id) => {
      const peer: Pick<Peer, 'parametersOf' | 'ahead' | 'sendFrame'> = {
        parametersOf: { runStep: 0, wire },
        ahead: undefined,
        sendFrame: (frame, onTaken) => {
          sent.push({ to: id, message: decodeFromCoordinator(frame).message });
          onTaken?.();
        },
      };
      return [id, peer];
    }),
  );
  const crew = {
    generation: 1,
    get: (id: string) => members.find((member) => member.id === id),
    peer: (id: string) => peers.get(id),
    send: (id: string, message: Frame<CoordinatorMessage>['message']) => void sent.push({ to: id, message }),
    measured: () => {},
    strike: () => {},
  } as unknown as Crew;
  const ledger = new Ledger<StepRun>(crew);
  let numAssignments = 0;
  const pool = notingPool(updates);
  const refused = new Counters();
  const tools: StepTools = {
    plan,
    layout,
    sampleBytes: 1,
    pool,
    clock: new VirtualClock(),
    timing: TIMING,
    crew,
    local: { idle: Promise.resolve() } as LocalMember,
    ledger,
    nextAssignment: () => ++numAssignments,
    refused,
    onReassigned: () => {},
  };
  const begin = (runStep: number, ranges: ReadonlyMap<string, Range>): StepRun => {
    const step = new StepRun({ epoch: 0, step: runStep, runStep, wire, count: 8, learningRate: 1 }, undefined, tools);
    step.begin(ranges, members);
    return step;
  };
  /** A slice of somebody's answer. */
  const answer = (step: StepRun, id: string, slice: Range): void => {
    const owed = ledger.all.find(({ member }) => member === id)!;
    const nodes = coveringNodes(owed.range, plan.numShards);
    const { runStep } = step.plan;
    const { assignment, generation } = owed;
    const result = {
      type: 'result',
      assignment,
      generation,
      runStep,
      nodes,
      startedAt: 0,
      computeMs: 0,
      slice,
    } as const;
    const payload = new Uint8Array(nodes.length * slicedBytes(wire, NUM_PARAMETERS, slice));
    const terms = { layout, numShards: plan.numShards, sliceUnit: 8, numEntries: undefined, pool, refused };
    const taken = takeAnswer(owed, result, payload, terms);
    if (taken.kind === 'slice') step.advance();
    else if (taken.kind === 'sums') {
      ledger.settle(0, owed);
      step.answer(owed, taken.values, 0, undefined);
    } else throw new Error(taken.reason);
  };
  const vectors = (id: string) =>
    sent
      .filter(({ to, message }) => to === id && message.type !== 'work' && message.type !== 'cancel')
      .map(({ message }) => message);
  return { begin, answer, vectors, updates, peers, ledger };
}

const halves = new Map([
  ['a', { from: 0, to: 2 }],
  ['b', { from: 2, to: 4 }],
]);

it.each([
  ['fp32', 'parameters'],
  ['int8', 'change'],
] as const)(
  'sends the next parameters ahead as far as all sums have come, and then the rest: %s',
  async (wire, type) => {
    const { begin, answer, vectors, updates, ledger } = scene(wire, ['a', 'b']);
    const step = begin(0, halves);
    answer(step, 'a', { from: 0, to: 32 });
    expect(updates).toEqual([]);
    answer(step, 'b', { from: 0, to: 16 });
    answer(step, 'b', { from: 16, to: 67 });
    answer(step, 'a', { from: 32, to: 40 });
    expect(updates).toEqual([
      { from: 0, to: 16 },
      { from: 16, to: 32 },
      { from: 32, to: 40 },
    ]);
    answer(step, 'a', { from: 40, to: 67 });
    expect(await step.ended).toBe(true);
    expect(step.updatedTo).toBe(40);
    await step.finish();
    expect(ledger.all).toEqual([]);
    begin(1, halves);
    for (const id of ['a', 'b']) {
      const slices = [...updates, { from: 40, to: 64 }];
      expect(vectors(id)).toMatchObject(slices.map((slice) => ({ type, runStep: 1, slice })));
    }
  },
);

it('sends nothing ahead of an end of an epoch, with which a run may end', () => {
  const { begin, answer, vectors, updates, peers } = scene('fp32', ['a', 'b']);
  const last = plan.stepsPerEpoch - 1;
  for (const peer of peers.values()) peer.parametersOf = { runStep: last, wire: 'fp32' };
  const step = begin(last, halves);
  for (const id of ['a', 'b']) answer(step, id, { from: 0, to: 32 });
  expect(updates).toEqual([]);
  expect(vectors('a')).toEqual([]);
});

it('sends all of them again when somebody else had to take part in the step', async () => {
  const { begin, answer, vectors, updates, ledger } = scene('fp32', ['a', 'b']);
  const step = begin(0, halves);
  answer(step, 'a', { from: 0, to: 32 });
  answer(step, 'b', { from: 0, to: 32 });
  expect(updates).toHaveLength(1);
  ledger.forget('b');
  step.remove('b');
  expect(step.updatedTo).toBe(0);
  answer(step, 'a', { from: 32, to: 67 });
  answer(step, 'a', { from: 0, to: 67 });
  expect(await step.ended).toBe(true);
  await step.finish();
  expect(updates).toHaveLength(1);
  begin(1, new Map([['a', { from: 0, to: 4 }]]));
  expect(vectors('a').map((message) => ('slice' in message ? message.slice : 'whole'))).toEqual([
    { from: 0, to: 32 },
    'whole',
  ]);
});

it('sends whole parameters, and no change, to whoever joins a step when the next change has begun', async () => {
  const { begin, answer, vectors, updates, ledger } = scene('int8', ['a', 'b', 'late']);
  const before = begin(0, halves);
  for (const id of ['a', 'b'])
    for (const [from, to] of [
      [0, 32],
      [32, 67],
    ] as const)
      answer(before, id, { from, to });
  await before.finish();
  const step = begin(1, halves);
  for (const id of ['a', 'b']) answer(step, id, { from: 0, to: 32 });
  expect(updates).toHaveLength(2);
  expect(vectors('late')).toEqual([]);
  ledger.forget('b');
  step.remove('b');
  // What led to this step was never packed as a whole, and is not there any more.
  expect(vectors('late')).toEqual([{ type: 'parameters', runStep: 1 }]);
});
