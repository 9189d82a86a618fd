/** Workers in processes of their own, real sockets, and everything that can happen to them. */
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { generate } from 'selfsigned';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { lockstep, offline, Running, smallDataset, temporaryFolder } from './lockstep.ts';

const dataDir = smallDataset(2000, 100);
/** Steps are many and short: the recipe's optimizer would take longer than the gradients of so few pictures. */
const recipe = ['--model', 'mlp', '--optimizer', 'adam', '--batch-size', '40', '--shards', '8'];
const job = [...recipe, '--epochs', '2', '--data-dir', dataDir];

const running: Running[] = [];
afterEach(async () => {
  for (const process of running) process.kill('SIGKILL');
  await Promise.all(running.splice(0).map(({ end }) => end));
});

function run(args: readonly string[], env?: NodeJS.ProcessEnv, cwd?: string): Running {
  const process = new Running(args, env, cwd);
  running.push(process);
  return process;
}

/** Starts a coordinator and waits until it listens. */
async function coordinate(args: readonly string[], env = offline(), cwd = temporaryFolder()) {
  const process = run(['train', '--port', '0', '--json', ...args], env, cwd);
  const { url } = await process.event(({ event }) => event === 'listening');
  return { process, url: url as string, cwd };
}

const joinWorker = (url: string, args: readonly string[] = [], env = offline()): Running =>
  run(['join', url, '--workers', '1', '--json', ...args], env);

let quiet: string;
beforeAll(async () => {
  const { events } = await lockstep(['train', ...job, '--workers', '1', '--json']);
  quiet = events.at(-1).weightsSha256;
});

describe('lockstep join', () => {
  it('gives the weights of a local run, and fetches each partition once for all', async () => {
    const env = offline();
    const { process, url } = await coordinate([...job, '--workers', '0', '--min-workers', '2']);
    const workers = [joinWorker(url, [], env), joinWorker(url, ['--workers', '2'], env)];
    const { code, events, stderr } = await process.end;
    expect(code, stderr).toBe(0);
    expect(events.at(-1)).toMatchObject({ event: 'done', weightsSha256: quiet, samples: 4000 });
    expect(events.find(({ event }) => event === 'waiting')).toMatchObject({ ready: 0, needed: 2 });
    const ends = await Promise.all(workers.map(({ end }) => end));
    expect(ends.map(({ code }) => code)).toEqual([0, 0]);
    const samples = ends.map(({ events }) => events.at(-1).samples);
    expect(samples[0] + samples[1]).toBeGreaterThanOrEqual(4000);
    const cached = readdirSync(join(env.LOCKSTEP_CACHE_DIR!, 'partitions'));
    expect(cached).toHaveLength(8);
    expect(cached.every((name) => /^[0-9a-f]{64}$/.test(name))).toBe(true);
  });

  it('starts a worker of its own for each of several devices', async () => {
    const { process, url } = await coordinate([...job, '--workers', '0', '--min-workers', '2']);
    const both = joinWorker(url, ['--devices', 'cpu,cpu', '--name', 'box']);
    const { code, events, stderr } = await process.end;
    expect(code, stderr).toBe(0);
    expect(events.at(-1)).toMatchObject({ event: 'done', weightsSha256: quiet, samples: 4000 });
    const names = events.filter(({ event, state }) => event === 'worker' && state === 'ready').map(({ name }) => name);
    expect(names.sort()).toEqual(['box cpu', 'box cpu (2)']);
    const end = await both.end;
    expect(end.code, end.stderr).toBe(0);
    expect(end.events.filter(({ event }) => event === 'finished')).toHaveLength(2);
  });

  it('works beside local threads, and may leave at any time', async () => {
    const { process, url } = await coordinate([...job, '--workers', '1', '--log-every', '1', '--epochs', '20']);
    const worker = joinWorker(url);
    await worker.event(({ event, runStep }) => event === 'step' && runStep > 60);
    worker.kill('SIGINT');
    const { code, stderr } = await worker.end;
    expect(code).toBe(130);
    expect(stderr).toMatch(/Left the run/);
    const left = await process.event(({ event, state }) => event === 'worker' && state === 'left');
    expect(left.reason).toBe('it was stopped');
    expect((await process.end).events.at(-1).event).toBe('done');
  });

  it('is refused without the token, and never shows it', async () => {
    const token = 'correct-horse-battery';
    const env = { ...offline(), LOCKSTEP_TOKEN: token };
    const { process, url } = await coordinate([...job, '--workers', '0'], env);
    const wrong = await joinWorker(url, ['--token', 'wrong-horse-battery']).end;
    expect(wrong.code).toBe(1);
    expect(wrong.stderr).toMatch(/token/);
    const worker = joinWorker(url, [], env);
    const { events, stdout, stderr } = await process.end;
    expect(events.at(-1).weightsSha256).toBe(quiet);
    expect(stdout + stderr).not.toContain(token);
    expect((await worker.end).code).toBe(0);
  });

  it('joins by TLS when it knows the fingerprint', async () => {
    const folder = temporaryFolder();
    const { private: key, cert } = await generate([{ name: 'commonName', value: 'lockstep' }]);
    writeFileSync(join(folder, 'key.pem'), key);
    writeFileSync(join(folder, 'cert.pem'), cert);
    const tls = ['--tls-cert', join(folder, 'cert.pem'), '--tls-key', join(folder, 'key.pem')];
    const { process, url } = await coordinate([...job, '--workers', '0', '--host', '0.0.0.0', ...tls]);
    expect(url).toMatch(/^wss:/);
    await process.event(({ event }) => event === 'waiting');
    const [, token, fingerprint] =
      /npx lockstep join \S+ --token (\S+) --tls-fingerprint (\S+)/.exec(process.text) ?? [];
    const other = fingerprint?.replace(/^../, (byte) => (byte === '00' ? '01' : '00'));
    const wrong = await joinWorker(url, ['--token', token!, '--tls-fingerprint', other!]).end;
    expect(wrong.code).toBe(1);
    expect(wrong.stderr).toMatch(/fingerprint/);
    const worker = joinWorker(url, ['--token', token!, '--tls-fingerprint', fingerprint!]);
    expect((await process.end).events.at(-1).weightsSha256).toBe(quiet);
    expect((await worker.end).code).toBe(0);
  });

  it('pauses below the minimum of workers, and goes on above it', async () => {
    const { process, url } = await coordinate([...job, '--workers', '1', '--min-workers', '2', '--log-every', '1']);
    const first = joinWorker(url);
    await process.event(({ event, runStep }) => event === 'step' && runStep >= 5);
    const seen = process.events.length;
    first.kill('SIGKILL');
    await process.event(({ event, ready }) => event === 'waiting' && ready === 1, seen);
    joinWorker(url);
    const { events } = await process.end;
    expect(events.at(-1).weightsSha256).toBe(quiet);
  });

  it('ends a run for which no worker comes, and says how to go on', async () => {
    const { process } = await coordinate([...job, '--workers', '0', '--join-timeout', '0.5']);
    const { code, events, stderr } = await process.end;
    expect(code).toBe(1);
    expect(events.at(-1)).toMatchObject({ event: 'error', code: 'workers-missing' });
    expect(stderr).toMatch(/0 of 1 workers/);
  });

  it('comes back by itself when the coordinator was killed and resumed', async () => {
    const args = [...job, '--workers', '0', '--min-workers', '2', '--run-dir', 'run', '--checkpoint-every', '5'];
    const { process, url, cwd } = await coordinate([...args, '--log-every', '1']);
    const workers = [joinWorker(url), joinWorker(url)];
    await process.event(({ event, runStep }) => event === 'step' && runStep >= 20);
    process.kill('SIGKILL');
    await process.end;
    const resume = ['train', '--resume', 'run', '--data-dir', dataDir, '--json'];
    const resumed = run(resume, offline(), cwd);
    expect((await resumed.event(({ event }) => event === 'listening')).url).toBe(url);
    const { events, stderr } = await resumed.end;
    expect(events.at(-1), stderr).toMatchObject({ event: 'done', weightsSha256: quiet });
    expect(events.find(({ event }) => event === 'resumed').runStep).toBeGreaterThanOrEqual(10);
    const ends = await Promise.all(workers.map(({ end }) => end));
    expect(ends.map(({ code }) => code)).toEqual([0, 0]);
    // The same worker, with what it had prepared.
    expect(ends[0]!.events.filter(({ event }) => event === 'joined').length).toBeGreaterThanOrEqual(2);
  });
});
