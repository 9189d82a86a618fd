import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { StepReport } from '../fleet/index.ts';
import { TraceWriter } from './trace.ts';

const NOW = Date.now();
const mark = (from: number) => ({
  started: NOW + from,
  computed: NOW + from + 3,
  gathered: NOW + from + 4,
  ended: NOW + from + 6,
});

/** Two steps of the local threads alone, and one with a remote member. */
const local: StepReport = {
  runStep: 0,
  wire: 'fp32',
  numSteps: 2,
  startedAt: NOW,
  totalMs: 6,
  phases: { broadcast: 0, compute: 3, gather: 1, update: 2 },
  answers: [],
  heldUp: undefined,
  marks: [
    [mark(0), mark(1)],
    [mark(10), mark(11)],
  ],
};
const answer = {
  member: 'worker-1',
  from: 4,
  to: 8,
  sentAt: NOW + 21,
  answeredAt: NOW + 30,
  startedAt: NOW + 22,
  computeMs: 7,
};
const shared: StepReport = {
  runStep: 2,
  wire: 'fp32',
  numSteps: 1,
  startedAt: NOW + 20,
  totalMs: 12,
  phases: { broadcast: 1, compute: 7, gather: 2, update: 2 },
  answers: [{ ...answer, member: 'local', from: 0, to: 4 }, answer],
  heldUp: { member: 'worker-1', ms: 2 },
  marks: [],
};

interface TraceEvent {
  readonly name: string;
  readonly ph: string;
  readonly pid: number;
  readonly tid: number;
  readonly ts: number;
  readonly dur: number;
  readonly args: Record<string, unknown>;
}

async function traced(): Promise<TraceEvent[]> {
  const path = join(mkdtempSync(join(tmpdir(), 'lockstep-trace-')), 'sub', 'trace.json');
  const trace = await TraceWriter.open(path, () => {});
  trace.report(local);
  trace.report(shared);
  await trace.close();
  return JSON.parse(readFileSync(path, 'utf8')) as TraceEvent[];
}

describe('a trace', () => {
  it('shows every step on every thread and worker, on one clock', async () => {
    const events = await traced();
    const processes = new Map(
      events.filter(({ name }) => name === 'process_name').map(({ pid, args }) => [args.name, pid]),
    );
    expect([...processes.keys()]).toEqual(['coordinator', 'local', 'worker-1']);
    const spans = events.filter(({ ph }) => ph === 'X');
    const of = (name: string) => spans.filter((span) => span.name === name);
    expect(['step 1', 'step 2', 'step 3'].map((name) => of(name).length)).toEqual([1, 1, 1]);
    const origin = of('step 1')[0]!.ts;
    const remote = of('shards 4 to 7').find(({ pid }) => pid === processes.get('worker-1'))!;
    expect([remote.ts - origin, remote.dur]).toEqual([21_000, 9_000]);
    const computing = of('compute').find(({ pid }) => pid === processes.get('worker-1'))!;
    expect([computing.ts - origin, computing.dur]).toEqual([22_000, 7_000]);
    expect(of('step 3')[0]!.args).toEqual({ heldUpBy: 'worker-1', heldUpMs: 2 });
    expect(of('wait')).toHaveLength(4);
  });

  it('says where it cannot be written', async () => {
    const failure = await TraceWriter.open('/dev/null/trace.json', () => {}).catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: 'output-unwritable' });
  });
});
