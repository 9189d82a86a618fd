/**
 * How long a run stands still when a worker dies (`kill -9`) and when its machine just falls silent (`SIGSTOP`):
 * real processes on loopback, three remote workers, no local one. Prints the usual time between two steps, the longest
 * one after each incident, and the bounds that the documentation names.
 *
 *   npm run build && node scripts/stalls.js [--model cnn] [--incidents 5] [--data-dir DIR]
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { median } from '@lockstep/bench';

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: 'cnn' },
    incidents: { type: 'string', default: '5' },
    'data-dir': { type: 'string' },
  },
});
const HEARTBEAT_S = 5;
const COMMAND = fileURLToPath(new URL('../packages/cli/bin/lockstep.js', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'lockstep-stalls-'));
const children = new Set();

/** A command whose JSON lines are handed on with the time at which they came. */
function run(args, onEvent) {
  const child = spawn(process.execPath, [COMMAND, ...args, '--json'], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'ignore'],
    env: { ...process.env, LOCKSTEP_CACHE_DIR: join(folder, 'cache') },
  });
  children.add(child);
  child.on('close', () => children.delete(child));
  let rest = '';
  child.stdout.setEncoding('utf8').on('data', (text) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop();
    for (const line of lines) if (line.startsWith('{')) onEvent(JSON.parse(line), performance.now());
  });
  return child;
}

const dataDir = values['data-dir'] ? ['--data-dir', values['data-dir']] : [];
const job = ['--model', values.model, '--epochs', '1000', '--batch-size', '128', '--limit-train', '12800'];
const places = ['--workers', '0', '--min-workers', '2', '--port', '0', '--log-every', '1', '--limit-test', '100'];
const steps = [];
let numReady = 0;
let listening;
const url = new Promise((resolve) => {
  listening = resolve;
});
run(['train', ...job, ...places, ...dataDir], (event, at) => {
  if (event.event === 'listening') listening(event.url);
  if (event.event === 'step') steps.push(at);
  if (event.event === 'worker') numReady += event.state === 'ready' ? 1 : event.state === 'left' ? -1 : 0;
});
const address = await url;
const start = () => run(['join', address, '--workers', '1'], () => {});
const workers = [start(), start(), start()];

async function until(condition) {
  while (!condition()) await sleep(20);
}
/** Waits until all three have taken part for a while. */
async function settled() {
  await until(() => numReady >= 3);
  const from = steps.length;
  await until(() => steps.length > from + 30);
}
const gaps = (from, to) => steps.slice(from + 1, to).map((at, i) => at - steps[from + i]);
const stalls = { SIGKILL: [], SIGSTOP: [] };
const usual = [];
for (let i = 0; i < Number(values.incidents) * 2; i++) {
  const signal = i % 2 === 0 ? 'SIGKILL' : 'SIGSTOP';
  await settled();
  usual.push(...gaps(steps.length - 20, steps.length));
  const before = steps.length;
  const worker = workers.shift();
  worker.kill(signal);
  const at = performance.now();
  // Long enough to see what happens when a silent member's heartbeats are missed, too.
  await until(() => performance.now() - at > (HEARTBEAT_S + 2) * 1000);
  stalls[signal].push(Math.max(...gaps(before - 1, steps.length)));
  worker.kill('SIGKILL');
  if (worker.exitCode === null && worker.signalCode === null) await once(worker, 'close');
  workers.push(start());
}
for (const child of children) child.kill('SIGKILL');
await Promise.all([...children].map((child) => once(child, 'close')));
rmSync(folder, { recursive: true });

const list = (times) => times.map((ms) => `${Math.round(ms)} ms`).join(', ');
console.log(`${values.model}, batch 128 in 8 shards, three remote workers with one thread each`);
console.log(`  usual time from step to step     ${Math.round(median(usual))} ms (median)`);
console.log(`  longest after kill -9            ${list(stalls.SIGKILL)}   bound: 1 s`);
console.log(`  longest after SIGSTOP            ${list(stalls.SIGSTOP)}   bound: ${HEARTBEAT_S} s + soft deadline`);
