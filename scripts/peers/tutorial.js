/** The tutorial's dense net from start to end: whole processes, as a user starts them, and the accuracy they reach. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { estimate, median } from '@lockstep/bench';
import { environment } from './subject.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const KERAS = fileURLToPath(new URL('keras_tutorial.py', import.meta.url));
const LOCKSTEP = 'npx lockstep train --model mlp';
const QUICK = 'npx lockstep train --recipe quick';
const TUTORIAL = 'Keras tutorial, batch 32';
const LARGE_BATCH = 'Keras tutorial, batch 512';

/** How many times as long the tutorial is to take. */
const wanted = 10;

/** @returns seconds from start to end, and its standard output as JSON lines */
async function timed(command, args) {
  const started = performance.now();
  const child = spawn(command, args, { cwd: ROOT, env: environment, stdio: ['ignore', 'pipe', 'pipe'] });
  let errors = '';
  let output = '';
  child.on('error', (error) => {
    errors += error.message;
  });
  child.stderr.setEncoding('utf8').on('data', (text) => {
    errors = (errors + text).slice(-4000);
  });
  child.stdout.setEncoding('utf8').on('data', (text) => {
    output += text;
  });
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`${command} ended with ${code}: ${errors.trim().split('\n').slice(-3).join(' | ')}`);
  const lines = output.split('\n').filter((line) => line.startsWith('{'));
  return { seconds: (performance.now() - started) / 1000, lines: lines.map((line) => JSON.parse(line)) };
}

async function lockstep(command, dataDir) {
  const folder = mkdtempSync(join(tmpdir(), 'lockstep-peers-'));
  try {
    const [npx, ...words] = command.split(' ');
    const options = ['--data-dir', dataDir, '--run-dir', join(folder, 'run'), '--port', '0', '--json'];
    const { seconds, lines } = await timed(npx, ['--no', ...words, ...options]);
    const epochs = lines.filter(({ event }) => event === 'epoch');
    // From the first step to the end of the last epoch, the evaluation after each included.
    const trainSeconds = epochs.reduce((sum, epoch) => sum + epoch.seconds, 0);
    return { seconds, trainSeconds, testAccuracy: lines.find(({ event }) => event === 'done').testAccuracy };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function keras(python, dataDir, batch) {
  const { seconds, lines } = await timed(python, [KERAS, '--data-dir', dataDir, '--batch', String(batch)]);
  return { seconds, ...lines[0] };
}

const column = (runs, field) => runs.map((run) => run[field]);

function ratio(runs, peer, own, field, words) {
  const list = runs.get(peer).map((run, i) => run[field] / runs.get(own)[i][field]);
  const target = peer === TUTORIAL && own === QUICK ? { wanted } : {};
  return { of: `${peer}: ${words}`, to: own, ...estimate(list), ...target };
}

export async function compareTutorial({ python, versions, dataDir, runs: numRuns, report, note }) {
  if (!versions.tensorflow) return note('tutorial: skipped, there is nothing to compare with.');
  if (!dataDir) return note('tutorial: skipped, it needs Fashion-MNIST: --data-dir or LOCKSTEP_DATA_DIR.');
  const subjects = [
    [LOCKSTEP, () => lockstep(LOCKSTEP, dataDir)],
    [QUICK, () => lockstep(QUICK, dataDir)],
    [TUTORIAL, () => keras(python, dataDir, 32)],
    [LARGE_BATCH, () => keras(python, dataDir, 512)],
  ];
  const runs = new Map(subjects.map(([name]) => [name, []]));
  for (let round = 0; round < numRuns; round++) {
    for (let i = 0; i < subjects.length; i++) {
      const [name, run] = subjects[(round + i) % subjects.length];
      runs.get(name).push(await run());
    }
  }
  const rows = [...runs].map(([name, list]) => [
    name,
    ...['seconds', 'trainSeconds'].map((field) => median(column(list, field)).toFixed(1)),
    `${(median(column(list, 'testAccuracy')) * 100).toFixed(2)} %`,
  ]);
  const accuracy = (name) => median(column(runs.get(name), 'testAccuracy'));
  const reached = [LOCKSTEP, QUICK].map(
    (own) => `${own}: ${accuracy(own) >= accuracy(TUTORIAL) ? 'reached' : 'missed'}`,
  );
  report({
    title: 'The tutorial: 784-256-10 from start to end, all cores',
    table: [['', 'process, s', 'training, s', 'test accuracy'], ...rows],
    ratios: [LOCKSTEP, QUICK].flatMap((own) =>
      [TUTORIAL, LARGE_BATCH].flatMap((peer) => [
        ratio(runs, peer, own, 'seconds', 'time of the process'),
        ratio(runs, peer, own, 'trainSeconds', 'time of training'),
      ]),
    ),
    remark: `Wanted: the accuracy of the tutorial (batch 32) or a better one. ${reached.join('; ')}.`,
    raw: Object.fromEntries(runs),
  });
}
