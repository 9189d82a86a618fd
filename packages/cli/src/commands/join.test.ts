/** The command as a user meets it, in a process of its own that runs what was built. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { closeCodes, joinEvent } from '@lockstep/protocol';
import { afterEach, describe, expect, it } from 'vitest';
import { ScriptedCoordinator } from '../../../worker/src/remote/testing/coordinator.ts';
import { job, parametersOf, partitions, positionOf } from '../../../worker/src/remote/testing/job.ts';

const COMMAND = fileURLToPath(new URL('../../bin/lockstep.js', import.meta.url));

const open: (() => void)[] = [];
afterEach(() => {
  for (const close of open.splice(0)) close();
});

async function openCoordinator(): Promise<ScriptedCoordinator> {
  const coordinator = await ScriptedCoordinator.open();
  open.push(() => coordinator.close());
  return coordinator;
}

/** Starts `lockstep join` with a cache of its own. */
function start(args: readonly string[], env: NodeJS.ProcessEnv = {}) {
  const cacheDir = mkdtempSync(join(tmpdir(), 'lockstep-join-'));
  const child: ChildProcess = spawn(process.execPath, [COMMAND, 'join', ...args], {
    env: { ...process.env, LOCKSTEP_TOKEN: undefined, NO_COLOR: '1', LOCKSTEP_CACHE_DIR: cacheDir, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  open.push(() => child.kill('SIGKILL'));
  let stdout = '';
  let stderr = '';
  child.stdout!.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const ended = new Promise<{ code: number | null; stdout: string; stderr: string }>((resolve) => {
    child.on('close', (code) => resolve({ code, stdout, stderr }));
  });
  return { child, cacheDir, ended };
}

/** Lets the next worker compute one step. */
async function giveWork(coordinator: ScriptedCoordinator) {
  const peer = await coordinator.welcome(job);
  peer.serveAll(partitions);
  peer.send({ type: 'parameters', runStep: 4 }, parametersOf(1));
  peer.send({ type: 'work', assignment: 1, generation: 1, ...positionOf(4), from: 0, to: 2 });
  await peer.next('result');
  return peer;
}

describe('lockstep join', () => {
  it('writes events that keep the contract, and nothing else, with --json', async () => {
    const coordinator = await openCoordinator();
    const { ended, cacheDir } = start([coordinator.url, '--json', '--workers', '1']);
    const peer = await giveWork(coordinator);
    peer.goodbye(closeCodes.finished, 'The run is over.');
    const { code, stdout, stderr } = await ended;
    expect(code, stderr).toBe(0);
    const events = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    for (const event of events) expect(joinEvent.parse(event)).toEqual(event);
    const names = events.map(({ event }) => event).filter((event) => event !== 'fetching');
    expect(names).toEqual(['connecting', 'joined', 'step', 'finished']);
    expect(stderr).toContain('the run is over');
    expect(existsSync(join(cacheDir, 'partitions'))).toBe(true);
  });

  it('says what a person wants to know', async () => {
    const coordinator = await openCoordinator();
    const { ended } = start([coordinator.url, '--workers', '1']);
    const peer = await giveWork(coordinator);
    peer.drop();
    (await giveWork(coordinator)).goodbye(closeCodes.finished, 'The run is over.');
    const { code, stdout } = await ended;
    expect(code).toBe(0);
    expect(
      stdout.replace(/after \d+:\d\d/, 'after 0:00').replaceAll(/engine (native|onnx) on cpu: .*/g, 'engine on cpu'),
    ).toBe(
      [
        `dial    ${coordinator.url}/worker`,
        'joined  as worker-1: 1 threads, engine on cpu',
        'job     mlp, 203,530 parameters, 4 shards, the data of 0 at hand',
        'lost    no coordinator: the connection broke',
        'joined  as worker-1: 1 threads, engine on cpu',
        'job     mlp, 203,530 parameters, 4 shards, the data of 2 at hand',
        'done    the run is over: 80 samples in 1 steps, after 0:00',
        '',
      ].join('\n'),
    );
  });

  it('ends with 1 and the reason when it is refused', async () => {
    const coordinator = await openCoordinator();
    const body = { code: 'token', message: 'The token is wrong.', nextStep: 'Use the right one.' };
    coordinator.refusals.push({ status: 401, body: JSON.stringify(body) });
    const { code, stdout, stderr } = await start([coordinator.url, '--json']).ended;
    expect(code).toBe(1);
    const error = JSON.parse(stdout.trim().split('\n').at(-1)!);
    expect(error).toMatchObject({ event: 'error', fatal: true, code: 'coordinator-refused', nextStep: body.nextStep });
    expect(stderr).toContain(body.message);
  });

  it('ends with 2 when it was called in a wrong way', async () => {
    for (const args of [
      [],
      ['http://host'],
      ['ws://host', '--tls-fingerprint', '12'],
      ['ws://host', '--token', 'a b'],
    ]) {
      const { code, stderr } = await start(args).ended;
      expect(code, args.join(' ')).toBe(2);
      expect(stderr).not.toContain('a b');
    }
  });

  it('leaves the run with Ctrl-C', async () => {
    const coordinator = await openCoordinator();
    const { child, ended } = start([coordinator.url, '--workers', '1']);
    const peer = await giveWork(coordinator);
    child.kill('SIGINT');
    const { code, stdout, stderr } = await ended;
    expect(code).toBe(130);
    expect(stdout).toContain('Leaving the run; press Ctrl-C again');
    expect(stderr).toContain('Left the run after 40 samples');
    expect(await peer.closed).toBe(closeCodes.leaving);
  });

  it('shows its token to the coordinator and not to the list of processes', async () => {
    const coordinator = await openCoordinator();
    const { child } = start([coordinator.url, '--token', 'offengelegt'], { LOCKSTEP_TOKEN: 'aus-der-umgebung' });
    await coordinator.accept();
    if (existsSync('/proc/self/cmdline')) {
      expect(readFileSync(`/proc/${child.pid}/cmdline`, 'utf8')).toMatch(/^lockstep/);
      expect(readFileSync(`/proc/${child.pid}/cmdline`, 'utf8')).not.toContain('offengelegt');
    }
    start([coordinator.url], { LOCKSTEP_TOKEN: 'aus-der-umgebung' });
    await coordinator.accept();
    const tokens = coordinator.dials.map(({ headers }) => headers.authorization);
    expect(tokens).toEqual(['Bearer offengelegt', 'Bearer aus-der-umgebung']);
  });
});
