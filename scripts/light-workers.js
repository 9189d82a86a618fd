/**
 * How the coordinator alone behaves with many light workers: one process with a WebSocket for each of them, which compute
 * a softmax regression in plain JavaScript, against a coordinator that only adds up. On Linux each of the two has a core
 * of its own. Fails when a worker is lost on the way, or the model has learnt nothing.
 *
 *   npm run build && node scripts/light-workers.js [--workers 200,100,50,10] [--steps 100] [--data-dir DIR]
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { median } from '@lockstep/bench';

const { values } = parseArgs({
  options: {
    workers: { type: 'string', default: '200,100,50,10' },
    steps: { type: 'string', default: '100' },
    'data-dir': { type: 'string' },
  },
});
const SHARDS = 256;
const BATCH = 512;
const STEPS_PER_EPOCH = 50;
/** Of Fashion-MNIST; the synthetic stand-in is another matter. */
const LEAST_ACCURACY = 0.7;

const path = (file) => fileURLToPath(new URL(file, import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'lockstep-light-'));
const model = join(folder, 'model.json');
const layers = [
  { class_name: 'Flatten', config: { name: 'flatten', batch_input_shape: [null, 28, 28, 1] } },
  { class_name: 'Dense', config: { name: 'dense', units: 10, activation: 'softmax' } },
];
writeFileSync(model, JSON.stringify({ class_name: 'Sequential', config: { name: 'linear', layers } }));

/** Of util-linux: runs a command on some of the cores. */
const PIN = 'taskset';
const canPin = availableParallelism() > 1 && spawnSync(PIN, ['-c', '0,1', 'true']).status === 0;

/** Starts a script of Node on a core, and hands its JSON lines on. */
function start(core, args, onLine) {
  const [command, ...rest] = [...(canPin ? [PIN, '-c', String(core)] : []), process.execPath, ...args];
  const child = spawn(command, rest, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
  child.errors = '';
  child.stderr.setEncoding('utf8').on('data', (text) => {
    child.errors += text;
  });
  let unfinished = '';
  child.stdout.setEncoding('utf8').on('data', (text) => {
    const lines = (unfinished + text).split('\n');
    unfinished = lines.pop();
    for (const line of lines) if (line.startsWith('{')) onLine(JSON.parse(line));
  });
  child.ended = once(child, 'close').then(([code]) => code);
  return child;
}

/** Memory in MB and processor time in seconds of a process; undefined without /proc, or when it is over. */
function usage({ pid }) {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    const megabytes = (field) => (Number(new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(status)[1]) * 1024) / 1e6;
    // Behind the name in parentheses, which may hold spaces; a hundredth of a second each.
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
    return { resident: megabytes('VmRSS'), peak: megabytes('VmHWM'), cpu: (Number(stat[11]) + Number(stat[12])) / 100 };
  } catch {
    return undefined;
  }
}

async function measure(numWorkers) {
  const seen = { ready: 0, left: 0, reassigned: 0, steps: [] };
  let client;
  let report;
  const onEvent = (event) => {
    const now = performance.now();
    if (event.event === 'dataset') seen.dataset = event.name;
    if (event.event === 'listening') {
      seen.dialledAt = now;
      client = start(1, [path('light-client.js'), event.url, String(numWorkers)], (line) => {
        report = line;
      });
      client.ended.then((code) => {
        if (code === 0) return;
        console.error(client.errors);
        coordinator.kill('SIGKILL');
      });
    }
    if (event.event === 'worker' && event.state === 'left') seen.left++;
    if (event.event === 'worker' && event.state === 'ready' && event.id !== 'local' && ++seen.ready === numWorkers) {
      seen.readyAt = now;
    }
    if (event.event === 'reassigned') seen.reassigned += event.to - event.from;
    if (event.event === 'step') {
      seen.steps.push(event.seconds * 1000);
      seen.usage = usage(coordinator) ?? seen.usage;
      // In the first step the data is fetched.
      seen.firstUsage ??= seen.usage;
    }
    if (event.event === 'done') seen.testAccuracy = event.testAccuracy;
  };
  const recipe = ['--model', model, '--batch-size', String(BATCH), '--shards', String(SHARDS)];
  const optimizer = ['--optimizer', 'adam', '--learning-rate', '0.01'];
  const length = ['--epochs', String(Math.ceil(values.steps / STEPS_PER_EPOCH))];
  const data = ['--limit-train', String(BATCH * STEPS_PER_EPOCH)];
  if (values['data-dir']) data.push('--data-dir', values['data-dir']);
  const places = ['--workers', '0', '--min-workers', String(numWorkers), '--port', '0', '--log-every', '1', '--json'];
  const command = [
    path('../packages/cli/bin/lockstep.js'),
    'train',
    ...recipe,
    ...optimizer,
    ...length,
    ...data,
    ...places,
  ];
  const coordinator = start(0, command, onEvent);
  const code = await coordinator.ended;
  if (code === 0) await client.ended;
  else client?.kill('SIGKILL');
  return { ...seen, code, report, errors: coordinator.errors };
}

/** What is wrong with a run; empty when nothing is. */
function faults({ code, errors, left, ready, dataset, testAccuracy, report }, numWorkers) {
  if (code !== 0) return [`the coordinator ended with ${code}: ${errors.trim().split('\n').slice(-5).join('\n')}`];
  const found = [];
  if (ready !== numWorkers) found.push(`${ready} of ${numWorkers} workers were ready`);
  if (left > 0) found.push(`${left} left before the end`);
  if (report?.closeCodes.finished !== numWorkers) found.push(`ends: ${JSON.stringify(report?.closeCodes)}`);
  if (dataset === 'fashion-mnist' && !(testAccuracy > LEAST_ACCURACY)) found.push(`test accuracy ${testAccuracy}`);
  return found;
}

console.log(`softmax regression, 7,850 parameters, batch ${BATCH} in ${SHARDS} shards, plain JavaScript, on loopback`);
console.log(canPin ? 'coordinator on core 0, all workers on core 1' : `not pinned: there is no ${PIN}, or one core`);
for (const numWorkers of values.workers.split(',').map(Number)) {
  const run = await measure(numWorkers);
  const wrong = faults(run, numWorkers);
  console.log(`\n${numWorkers} workers: ${wrong.length === 0 ? 'all stayed to the end' : wrong.join('; ')}`);
  if (wrong.length > 0) process.exitCode = 1;
  if (run.code !== 0 || !run.report) continue;
  const { steps, report, firstUsage, usage: last } = run;
  const perStep = (total, unit) => (total / report.steps / unit).toFixed(2);
  const [fastest, slowest] = [Math.min(...steps).toFixed(1), Math.max(...steps).toFixed(0)];
  console.log(
    `  all ready after    ${((run.readyAt - run.dialledAt) / 1000).toFixed(1)} s, the client's start included`,
  );
  console.log(
    `  a step takes       ${median(steps).toFixed(1)} ms (median of ${steps.length}; ${fastest} to ${slowest})`,
  );
  console.log(`  gradients take     ${perStep(report.computeMs, 1)} ms of it, all workers one after the other`);
  console.log(`  a step sends       ${perStep(report.bytesDown, 1e6)} MB down, ${perStep(report.bytesUp, 1e6)} MB up`);
  if (last) {
    const cpu = ((last.cpu - firstUsage.cpu) / (steps.length - 1)) * 1000;
    console.log(`  the coordinator    ${cpu.toFixed(1)} ms of processor time a step, the update included`);
    console.log(`  its memory         ${last.resident.toFixed(0)} MB, ${last.peak.toFixed(0)} MB at its peak`);
  }
  console.log(`  shards reassigned  ${run.reassigned}`);
  console.log(`  test accuracy      ${(run.testAccuracy * 100).toFixed(2)} %, on ${run.dataset}`);
}
rmSync(folder, { recursive: true });
