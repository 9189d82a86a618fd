/**
 * A coordinator in training, and more than a hundred thousand frames of all sorts that nobody honest sends: it goes on to
 * the same weights, keeps its honest worker, counts what it refused, and keeps none of it.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { attack, type Kind, plan, Tally } from './fuzz/attack.ts';
import { members, sleeper, sparseMembers } from './fuzz/members.ts';
import { idlers, strangers } from './fuzz/strangers.ts';
import { spy } from './fuzz/target.ts';
import { type Finished, lockstep, Running, smallDataset, temporaryFolder } from './lockstep.ts';

/** Another one finds other ways: LOCKSTEP_FUZZ_SEED=7 npx vitest run test/fuzz.test.ts */
const SEED = Number(process.env.LOCKSTEP_FUZZ_SEED ?? 1);
/** Equal parts of the attack. After the first memory should not grow any more. */
const NUM_PARTS = 4;
/** Of memory in a part; less than half of what comes in it. */
const MAX_GROWTH_MB = 50;
/** Ends by the coordinator's WebSocket library. */
const WEBSOCKET_CODES = [1002, 1007, 1008, 1009];

/** Small, so that steps are many and short. */
const model = join(temporaryFolder(), 'model.json');
const layers = [
  { class_name: 'Flatten', config: { name: 'flatten', batch_input_shape: [null, 28, 28, 1] } },
  { class_name: 'Dense', config: { name: 'dense', units: 10, activation: 'softmax' } },
];
writeFileSync(model, JSON.stringify({ class_name: 'Sequential', config: { name: 'linear', layers } }));
/** Enough for the whole attack. */
const EPOCHS = 300;
const NUM_SAMPLES = 10_000;
const recipe = ['--model', model, '--epochs', String(EPOCHS), '--batch-size', '40', '--shards', '8'];
const job = [...recipe, '--data-dir', smallDataset(NUM_SAMPLES, 100), '--json'];

const kinds: readonly Kind[] = [...strangers, ...members];
const hasProc = existsSync('/proc/self/status');
const running: Running[] = [];
afterAll(async () => {
  for (const process of running) process.kill('SIGKILL');
  await Promise.all(running.splice(0).map(({ end }) => end));
});

function run(args: readonly string[]): Running {
  const process = new Running(args);
  running.push(process);
  return process;
}

/** Resident memory of a process in MB, when it has calmed down. */
async function residentMemory({ child }: Running): Promise<number> {
  const samples: number[] = [];
  for (let i = 0; hasProc && i < 10; i++) {
    await sleep(200);
    const status = readFileSync(`/proc/${child.pid}/status`, 'utf8');
    samples.push((Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)![1]) * 1024) / 1e6);
  }
  return Math.min(...samples);
}

/** A metric of the coordinator. */
async function metric(port: number, series: string): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  const line = text.split('\n').find((line) => line.startsWith(`${series} `));
  expect(line, series).toBeDefined();
  return Number(line!.slice(series.length));
}
const receivedBytes = (port: number): Promise<number> =>
  metric(port, 'lockstep_network_bytes_total{direction="received"}');

describe(`an attack (seed ${SEED})`, () => {
  const tally = new Tally();
  let quiet: string;
  /** Of the parts after the first, in MB: what memory grew by, and what came. */
  const parts: { readonly growth: number; readonly received: number }[] = [];
  let status: { refused: Record<string, number>; members: { id: string; state: string }[] };
  let handshakes: number;
  let wasTraining: boolean;
  let coordinator: Finished;
  let honest: Finished;

  beforeAll(async () => {
    const args = [...job, '--log-every', '100'];
    quiet = (await lockstep(['train', ...args, '--workers', '2'])).events.at(-1).weightsSha256;
    const victim = run(['train', ...args, '--workers', '1', '--port', '0']);
    const { url, port } = await victim.event(({ event }) => event === 'listening');
    const worker = run(['join', url, '--workers', '1', '--json']);
    await worker.event(({ event }) => event === 'step');

    const target = await spy(port);
    const planned = [...plan(kinds, SEED), ...plan(kinds, SEED + 1)];
    const part = (i: number) =>
      planned.slice(...[i, i + 1].map((end) => Math.round((planned.length * end) / NUM_PARTS)));
    const sleepers = await Promise.all([sleeper(target), sleeper(target)]);
    await Promise.all([idlers(port), attack(target, part(0), tally)]);
    for (const end of sleepers) end();
    let memory = await residentMemory(victim);
    for (let i = 1; i < NUM_PARTS; i++) {
      const [memoryBefore, bytesBefore] = [memory, await receivedBytes(port)];
      await attack(target, part(i), tally);
      memory = await residentMemory(victim);
      parts.push({ growth: memory - memoryBefore, received: ((await receivedBytes(port)) - bytesBefore) / 1e6 });
    }

    handshakes = await metric(port, 'lockstep_refused_connections_total{reason="handshake"}');
    status = (await (await fetch(`http://127.0.0.1:${port}/api/status`)).json()) as typeof status;
    wasTraining = victim.child.exitCode === null && !victim.events.some(({ event }) => event === 'done');
    worker.kill('SIGINT');
    honest = await worker.end;
    coordinator = await victim.end;
  }, 600_000);

  it('arrives', () => {
    expect(tally.numSent).toBeGreaterThan(100_000);
    for (const { name, total } of kinds) {
      // Those who do not listen are ended before they have said all.
      expect(tally.sent.get(name), name).toBeGreaterThanOrEqual(name.startsWith('deaf') ? total / 10 : total);
    }
    expect(wasTraining).toBe(true);
  });

  it('is refused, and counted by reason', () => {
    const { refused } = status;
    const closed = (...codes: number[]): number => codes.reduce((sum, code) => sum + (tally.closed.get(code) ?? 0), 0);
    expect(closed(4003)).toBeGreaterThan(4_000);
    expect(refused.malformed).toBeGreaterThanOrEqual(closed(4003));
    expect(closed(...WEBSOCKET_CODES)).toBeGreaterThan(1_000);
    expect(refused.websocket).toBeGreaterThanOrEqual(closed(...WEBSOCKET_CODES));
    for (const [reason, code, least] of [
      ['version', 4001, 20],
      ['job', 4002, 20],
      ['slowReader', 4005, 8],
    ] as const) {
      expect(refused[reason], reason).toBeGreaterThanOrEqual(Math.max(least, closed(code)));
    }
    for (const [reason, count] of tally.answers) {
      expect(count, reason).toBeGreaterThan(50);
      // Numbers that come when others have done the work already are not looked at.
      expect(refused[reason], reason).toBeGreaterThanOrEqual(reason === 'not finite' ? count / 2 : count);
    }
    expect(handshakes).toBeGreaterThanOrEqual(7);
  });

  it('leaves nothing in memory', ({ skip }) => {
    if (!hasProc) skip('there is no /proc to ask how much memory a process has');
    // Else the bound would not see that all of it was kept.
    expect(Math.min(...parts.map(({ received }) => received))).toBeGreaterThan(2 * MAX_GROWTH_MB);
    // What is kept adds up in every part; a heap that happens to be larger does not.
    expect(Math.min(...parts.map(({ growth }) => growth))).toBeLessThan(MAX_GROWTH_MB);
  });

  it('does not drive an honest worker out', () => {
    expect(status.members.map(({ id, state }) => [id, state])).toContainEqual(['worker-1', 'ready']);
    const states = coordinator.events.filter(({ event, id }) => event === 'worker' && id === 'worker-1');
    expect(states.map(({ state }) => state)).toEqual(['joining', 'ready', 'left']);
    expect(states.at(-1).reason).toBe('it was stopped');
    expect(honest.events.filter(({ event }) => event === 'joined')).toHaveLength(1);
    expect(honest.events.filter(({ event }) => event === 'step').length).toBeGreaterThan(100);
    expect(honest.code, honest.stderr).toBe(130);
  });

  it('changes nothing in the result', () => {
    expect(coordinator.code, coordinator.stderr).toBe(0);
    expect(coordinator.events.at(-1)).toMatchObject({
      event: 'done',
      weightsSha256: quiet,
      samples: EPOCHS * NUM_SAMPLES,
    });
  });
});

it(`an attack with parts of sums is refused, and the run learns on (seed ${SEED})`, async () => {
  const tally = new Tally();
  const sparse = ['--wire', 'topk:0.01', '--reduction', 'fast', '--workers', '1', '--port', '0'];
  const victim = run(['train', ...job, ...sparse]);
  const { url, port } = await victim.event(({ event }) => event === 'listening');
  const worker = run(['join', url, '--workers', '1', '--json']);
  await worker.event(({ event }) => event === 'step');
  await attack(await spy(port), plan(sparseMembers, SEED), tally);
  const { refused } = (await (await fetch(`http://127.0.0.1:${port}/api/status`)).json()) as {
    refused: Record<string, number>;
  };
  for (const [reason, least] of [
    ['wrong entries', 50],
    ['not finite', 10],
  ] as const) {
    const count = tally.answers.get(reason) ?? 0;
    expect(count, reason).toBeGreaterThan(least);
    expect(refused[reason], reason).toBeGreaterThanOrEqual(reason === 'not finite' ? count / 2 : count);
  }
  const { code, events, stderr } = await victim.end;
  expect(code, stderr).toBe(0);
  expect(events.at(-1)).toMatchObject({ event: 'done', samples: EPOCHS * NUM_SAMPLES });
  const losses = events.filter(({ event }) => event === 'epoch').map(({ trainLoss }) => trainLoss);
  expect(losses.at(-1)).toBeLessThan(losses[0] / 2);
  const states = events.filter(({ event, id }) => event === 'worker' && id === 'worker-1').map(({ state }) => state);
  expect(states.slice(0, 2)).toEqual(['joining', 'ready']);
  expect(states).not.toContain('quarantined');
}, 600_000);
