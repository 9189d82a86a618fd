/**
 * What it costs to be watched: the rate of one run while a scraper reads /metrics every second and a page follows
 * /events, against the rate of the same run while nobody looks. Blocks alternate, so that drift of the machine cancels.
 *
 *   npm run build && node scripts/watched-rate.js [--models mlp,cnn] [--rounds 15] [--seconds 4] [--data-dir DIR]
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { median } from '@lockstep/bench';
import { train } from '@lockstep/coordinator';

const { values } = parseArgs({
  options: {
    models: { type: 'string', default: 'mlp,cnn' },
    rounds: { type: 'string', default: '15' },
    seconds: { type: 'string', default: '4' },
    'data-dir': { type: 'string' },
  },
});
const rounds = Number(values.rounds);
const secondsPerBlock = Number(values.seconds);
/** Training samples per epoch: a fraction of a second. */
const samplesPerEpoch = { mlp: 30_000, cnn: 2_048, resnet: 512 };
const folder = mkdtempSync(join(tmpdir(), 'lockstep-watched-'));
const watcher = fork(new URL('./watcher.js', import.meta.url));
let numRuns = 0;

async function watch(url) {
  watcher.send({ url });
  await once(watcher, 'message');
}

/** Samples per second over whole epochs, evaluation and checkpoints included, for about as long as a block takes. */
async function block(events) {
  const started = performance.now();
  let samples = 0;
  for (;;) {
    const { value, done } = await events.next();
    if (done) throw new Error('the run ended early');
    if (value.event !== 'epoch') continue;
    samples += value.samples;
    const seconds = (performance.now() - started) / 1000;
    if (seconds >= secondsPerBlock) return samples / seconds;
  }
}

for (const model of values.models.split(',')) {
  const events = train({
    model,
    batchSize: 512,
    workers: 2,
    port: 0,
    epochs: 1_000_000,
    limitTrain: samplesPerEpoch[model],
    limitTest: 100,
    runDir: join(folder, String(numRuns++)),
    ...(values['data-dir'] ? { dataDir: values['data-dir'] } : {}),
  });
  let url;
  while (!url) {
    const { value } = await events.next();
    if (value.event === 'listening') url = value.url.replace(/^ws/, 'http');
  }
  await block(events); // warm-up
  const ratios = [];
  const rates = { alone: [], watched: [] };
  for (let round = 0; round < rounds; round++) {
    // The order alternates, too.
    const order = round % 2 === 0 ? ['alone', 'watched'] : ['watched', 'alone'];
    for (const how of order) {
      await watch(how === 'watched' ? url : undefined);
      rates[how].push(await block(events));
    }
    await watch(undefined);
    ratios.push(rates.watched[round] / rates.alone[round]);
  }
  await events.return();
  console.log(`${model}, two workers, median of ${rounds} rounds of ${secondsPerBlock} s (least to greatest)`);
  console.log(`  not watched  ${Math.round(median(rates.alone))} samples/s`);
  console.log(`  watched      ${Math.round(median(rates.watched))} samples/s`);
  console.log(
    `  ratio        ${median(ratios).toFixed(3)}  (${Math.min(...ratios).toFixed(3)} to ${Math.max(...ratios).toFixed(3)})`,
  );
}
watcher.disconnect();
rmSync(folder, { recursive: true });
