/**
 * What a remote worker on the same machine reaches, against a local one: ratios in one run on the compiled packages.
 * Blocks of training alternate, so that drift of the machine cancels. Also prints the traffic of a step.
 *
 *   npm run build && node scripts/remote-rate.js [--models cnn,mlp] [--rounds 7] [--workers 1] [--data-dir DIR]
 *
 * With --workers 2: two remote workers with one thread each, against two local threads.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { median } from '@lockstep/bench';
import { epochsPerBlock, openTrainer, samplesPerEpoch } from './trainer.js';

const { values } = parseArgs({
  options: {
    models: { type: 'string', default: 'cnn,mlp' },
    rounds: { type: 'string', default: '7' },
    workers: { type: 'string', default: '1' },
    'data-dir': { type: 'string' },
  },
});
const rounds = Number(values.rounds);
const numWorkers = Number(values.workers);
const folder = mkdtempSync(join(tmpdir(), 'lockstep-remote-'));
let numRuns = 0;

/** @param remote workers that dial in */
const trainer = (model, local, remote) =>
  openTrainer({
    folder,
    name: String(numRuns++),
    local,
    remote,
    epochsPerBlock: epochsPerBlock[model],
    settings: {
      model,
      batchSize: 512,
      // Of every model, so that the figures are of coordination alone.
      optimizer: 'adam',
      epochs: (rounds + 3) * epochsPerBlock[model],
      limitTrain: samplesPerEpoch[model],
      limitTest: 100,
      ...(values['data-dir'] ? { dataDir: values['data-dir'] } : {}),
    },
  });

for (const model of values.models.split(',')) {
  const local = trainer(model, numWorkers, 0);
  const remote = trainer(model, 0, numWorkers);
  const rates = { local: [], remote: [] };
  for (const subject of [local, remote, local, remote]) await subject.block(); // warm-up
  const before = await remote.traffic();
  for (let round = 0; round < rounds; round++) {
    rates.local.push(await local.block());
    rates.remote.push(await remote.block());
  }
  const after = await remote.traffic();
  await Promise.all([local.close(), remote.close()]);
  const ratios = rates.remote.map((rate, i) => rate / rates.local[i]);
  const steps = rounds * epochsPerBlock[model] * remote.stepsPerEpoch;
  const megabytes = (bytes) => `${(bytes / steps / 1e6).toFixed(2)} MB`;
  const range = `${Math.min(...ratios).toFixed(3)} to ${Math.max(...ratios).toFixed(3)}`;
  console.log(
    `${model}, ${numWorkers} worker${numWorkers === 1 ? '' : 's'} with one thread, median of ${rounds} rounds`,
  );
  console.log(`  local            ${Math.round(median(rates.local))} samples/s`);
  console.log(`  remote           ${Math.round(median(rates.remote))} samples/s`);
  console.log(`  remote / local   ${median(ratios).toFixed(3)}  (${range})`);
  for (const [i, { bytesSent, bytesReceived }] of after.entries()) {
    const down = megabytes(bytesSent - before[i].bytesSent);
    console.log(`  a step sends     ${down} down, ${megabytes(bytesReceived - before[i].bytesReceived)} up`);
  }
}
rmSync(folder, { recursive: true });
