/** Results of which only the largest entries are sent: what stays behind, and when it is known that it does. */
import { ErrorFeedback } from '@lockstep/core';
import { closeCodes } from '@lockstep/protocol';
import { expect, it } from 'vitest';
import { SparseResults } from './sparse-results.ts';
import type { ScriptedPeer } from './testing/coordinator.ts';
import {
  job,
  localGradient,
  NUM_ENTRIES,
  network,
  parametersOf,
  partitions,
  plan,
  positionOf,
  sparseJob,
} from './testing/job.ts';
import { pair, sendParameters } from './testing/scene.ts';
import type { TestWorkerOptions } from './testing/worker.ts';

// One shard, so that the sums have the same bits as those of a worker that computes shards one by one.
const RANGE = { from: 1, to: 2 };
const parameters = parametersOf(1);

let assignments = 0;
function assign(peer: ScriptedPeer, runStep: number): number {
  const assignment = ++assignments;
  peer.send({ type: 'work', assignment, generation: 7, ...positionOf(runStep), ...RANGE, wire: 'topk' });
  return assignment;
}

async function meet(options?: TestWorkerOptions) {
  const { coordinator, worker } = await pair(options);
  const enter = async (): Promise<ScriptedPeer> => {
    const peer = await coordinator.welcome(sparseJob);
    peer.serveAll(partitions);
    sendParameters(peer, 0, parameters);
    return peer;
  };
  return { worker, enter };
}

/** What is sent of the gradients of a step, by somebody who holds back what `feedback` does. */
async function expected(feedback: ErrorFeedback, runStep: number): Promise<Uint8Array> {
  const { bytes } = await localGradient(runStep, parameters, RANGE);
  return feedback.pack([bytes], plan.stepSize(positionOf(runStep).step));
}

async function expectResult(peer: ScriptedPeer, assignment: number, bytes: Uint8Array): Promise<void> {
  const { message, payload } = await peer.next('result');
  expect(message.assignment).toBe(assignment);
  expect(Buffer.compare(payload, bytes)).toBe(0);
}

it('sends the largest entries of its sums and of what it holds back, a small part of all bytes', async () => {
  const { enter } = await meet();
  const peer = await enter();
  const feedback = new ErrorFeedback(network.layout, NUM_ENTRIES);
  // The last step of the epoch is a short one.
  for (let runStep = 0; runStep <= plan.stepsPerEpoch; runStep++) {
    if (runStep > 0) sendParameters(peer, runStep, parameters);
    const assignment = assign(peer, runStep);
    const bytes = await expected(feedback, runStep);
    expect(bytes.length).toBeLessThan(NUM_ENTRIES * 6.5);
    await expectResult(peer, assignment, bytes);
    // Now and then somebody else was faster.
    const taken = runStep % 3 !== 1;
    feedback.settle(taken);
    peer.send({ type: 'outcome', assignment, taken });
  }
});

it.each([true, false])('packs a result when it knows of the one before whether it counts: %s', async (taken) => {
  const { enter } = await meet();
  const peer = await enter();
  const [first, second] = [assign(peer, 0), assign(peer, 0)];
  const feedback = new ErrorFeedback(network.layout, NUM_ENTRIES);
  await expectResult(peer, first, await expected(feedback, 0));
  peer.send({ type: 'outcome', assignment: first, taken });
  feedback.settle(taken);
  await expectResult(peer, second, await expected(feedback, 0));
});

it('gives up what it has computed when it is called off before it knows', async () => {
  const { enter } = await meet();
  const peer = await enter();
  const [first, second] = [assign(peer, 0), assign(peer, 0)];
  await peer.next('result');
  peer.send({ type: 'cancel', assignment: second });
  expect((await peer.next('failed')).message).toEqual({ type: 'failed', assignment: second, reason: 'cancelled' });
  peer.send({ type: 'outcome', assignment: first, taken: true });
  const third = assign(peer, 0);
  expect((await peer.next('result')).message.assignment).toBe(third);
});

it('gives up at once when it was called off before it began to wait', async () => {
  const options = { layout: network.layout, numEntries: NUM_ENTRIES, connection: { cut: () => {} }, outcomeMs: 60_000 };
  const results = new SparseResults(options);
  const { bytes } = await localGradient(0, parameters, RANGE);
  await results.pack(1, [bytes], plan.stepSize(0), new AbortController().signal);
  const calledOff = AbortSignal.abort(new Error('called off'));
  await expect(results.pack(2, [bytes], plan.stepSize(0), calledOff)).rejects.toThrow('called off');
});

it('dials again when it is not told, and holds nothing back from before', async () => {
  const { enter, worker } = await meet({ settings: { outcomeMs: 50 } });
  const first = await enter();
  assign(first, 0);
  assign(first, 0);
  await first.next('result');
  const second = await enter();
  expect(worker.of('waiting')[0]!.reason).toBe('the coordinator has not said for 0.05 s whether a result counts');
  const bytes = await expected(new ErrorFeedback(network.layout, NUM_ENTRIES), 0);
  await expectResult(second, assign(second, 0), bytes);
});

it('does not go on with a coordinator that speaks of a result that was not sent, or of a format that the job has not', async () => {
  const { enter } = await meet();
  const peer = await enter();
  const assignment = assign(peer, 0);
  await peer.next('result');
  peer.send({ type: 'outcome', assignment: assignment + 1, taken: true });
  expect(await peer.closed).toBe(closeCodes.malformed);

  const { coordinator } = await pair();
  for (const wrong of [
    { type: 'outcome', assignment, taken: true },
    { type: 'work', assignment, generation: 7, ...positionOf(0), ...RANGE, wire: 'topk' },
  ] as const) {
    const other = await coordinator.welcome(job);
    sendParameters(other, 0, parameters);
    other.send(wrong);
    expect(await other.closed).toBe(closeCodes.malformed);
  }
});
