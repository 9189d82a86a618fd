/** The pool of a tab with real engines, its lanes on this thread. */
import { createHash } from 'node:crypto';
import { wireFormats } from '@lockstep/core';
import { describe, expect, it, onTestFinished } from 'vitest';
import { readJob } from '../remote/job.ts';
import { job, localGradient, parametersOf, partitions, positionOf } from '../remote/testing/job.ts';
import { serveLane } from './lane.ts';
import { Lane, type LanePort } from './lane-client.ts';
import type { FromLane, LaneSetup } from './lane-messages.ts';
import { TabPool } from './pool.ts';

const remoteJob = readJob(job);
const setup: LaneSetup = { ...remoteJob, device: 'wasm' };

/** A lane without a Web Worker around it: the same messages, over a channel. */
function startLane(): LanePort {
  const { port1, port2 } = new MessageChannel();
  serveLane({
    postMessage: (message: FromLane, transfer: Transferable[] = []) => port2.postMessage(message, transfer),
    addEventListener: (type, listener) => port2.addEventListener(type, listener as EventListener),
  });
  port2.start();
  const terminate = (): void => port1.close();
  return Object.assign(port1, { terminate }) as unknown as LanePort;
}

async function openPool(numLanes: number): Promise<TabPool> {
  const lanes = Array.from({ length: numLanes }, () => new Lane(startLane));
  await Promise.all(lanes.map((lane) => lane.open(setup)));
  const pool = new TabPool(remoteJob, lanes);
  onTestFinished(() => pool.close());
  [...partitions.values()].forEach((partition, shard) => {
    pool.fill(shard, partition);
  });
  return pool;
}

type Wire = (typeof wireFormats)[number];

/** Nodes, the bytes of their sums, and a short text that is the same for the same bytes: failures print fast. */
async function sumsOf(pool: TabPool, runStep: number, from: number, to: number, wire: Wire) {
  const partials = (await pool.gradient({ ...positionOf(runStep), wire }, { from, to }))!;
  const bytes = Buffer.concat(partials.map((partial) => pool.packed(partial, wire)));
  pool.release(partials);
  const nodes = partials.map(({ node }) => node);
  return { bytes, bits: { nodes, sha256: createHash('sha256').update(bytes).digest('hex') } };
}

const floats = (bytes: Uint8Array): Float32Array => new Float32Array(Uint8Array.from(bytes).buffer);

function relativeDistance(a: Float32Array, b: Float32Array): number {
  const norm = (values: Float32Array): number => Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
  return norm(a.map((value, i) => value - b[i]!)) / norm(b);
}

describe('the pool of a tab', () => {
  it('computes what the native pool computes, up to rounding', async () => {
    const parameters = parametersOf(5);
    const native = await localGradient(2, parameters, { from: 1, to: 4 });
    const pool = await openPool(1);
    pool.load(2, parameters);
    const { bytes, bits } = await sumsOf(pool, 2, 1, 4, 'fp32');
    expect(bits.nodes).toEqual(native.nodes);
    expect(relativeDistance(floats(bytes), floats(native.bytes))).toBeLessThan(1e-5);
  });

  it.each(wireFormats)('computes the same bits with any number of lanes, sent as %s', async (wire) => {
    const results = [];
    for (const numLanes of [1, 2, 3]) {
      const pool = await openPool(numLanes);
      pool.load(0, parametersOf(5));
      results.push([(await sumsOf(pool, 0, 0, 4, wire)).bits, (await sumsOf(pool, 1, 1, 4, wire)).bits]);
    }
    expect(results[0]![0]!.nodes).toEqual([1]);
    expect(results[1]).toEqual(results[0]);
    expect(results[2]).toEqual(results[0]);
  });

  it('gives every place for a sum back', async () => {
    const pool = await openPool(2);
    pool.load(0, parametersOf(5));
    const first = (await sumsOf(pool, 0, 0, 4, 'fp32')).bits;
    for (let i = 0; i < 20; i++) await sumsOf(pool, 0, 0, 4, 'fp32');
    expect((await sumsOf(pool, 0, 0, 4, 'fp32')).bits).toEqual(first);
  });

  it('goes on from a change as from the parameters that it leads to', async () => {
    const [before, change] = [floats(parametersOf(5)), floats(parametersOf(6))];
    const after = before.map((value, i) => value + change[i]!);
    const pool = await openPool(1);
    pool.load(1, new Uint8Array(after.buffer));
    const expected = (await sumsOf(pool, 1, 0, 4, 'fp32')).bits;
    const other = await openPool(1);
    other.load(0, new Uint8Array(before.buffer));
    other.change(1, new Uint8Array(change.buffer), 'fp32');
    expect((await sumsOf(other, 1, 0, 4, 'fp32')).bits).toEqual(expected);
  });

  it('does not round sums of which only a part is sent', async () => {
    const pool = await openPool(2);
    pool.load(0, parametersOf(5));
    const expected = (await sumsOf(pool, 0, 0, 4, 'fp32')).bits;
    const partials = (await pool.gradient({ ...positionOf(0), wire: 'topk' }, { from: 0, to: 4 }))!;
    const bytes = Buffer.concat(partials.map((partial) => pool.packed(partial, 'fp32')));
    expect(createHash('sha256').update(bytes).digest('hex')).toBe(expected.sha256);
  });

  it('can be cancelled, and then asked again', async () => {
    const pool = await openPool(1);
    pool.load(0, parametersOf(5));
    const expected = (await sumsOf(pool, 0, 0, 4, 'fp32')).bits;
    const cancelled = pool.gradient({ ...positionOf(0), wire: 'fp32' }, { from: 0, to: 4 });
    pool.cancel();
    expect(await cancelled).toBe(undefined);
    expect((await sumsOf(pool, 0, 0, 4, 'fp32')).bits).toEqual(expected);
  });

  it('says what is wrong when the engine cannot be opened', async () => {
    const lane = new Lane(startLane);
    onTestFinished(() => lane.close());
    await expect(lane.open({ ...setup, device: 'webgpu' })).rejects.toMatchObject({ code: 'engine-failed' });
  });
});
