/**
 * How much of the engine's own speed a run keeps, as ratios in one process on the compiled packages:
 * training with one worker thread against the engine alone on the same micro-batches, two workers against two engines that run
 * beside each other, and two against one.
 * Blocks alternate, so that drift of the machine cancels; medians of the per-round ratios.
 *
 *   npm run build && node scripts/scaling.js [--models mlp,cnn] [--rounds 9] [--data-dir DIR]
 */
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Worker } from 'node:worker_threads';
import { median } from '@lockstep/bench';
import { loadDataset } from '@lockstep/dataset';
import { epochsPerBlock, openTrainer, samplesPerEpoch } from './trainer.js';

const { values } = parseArgs({
  options: {
    models: { type: 'string', default: 'mlp,cnn' },
    rounds: { type: 'string', default: '9' },
    'data-dir': { type: 'string' },
  },
});
const rounds = Number(values.rounds);
const shards = 8;
const batchSize = 512;

const { train } = await loadDataset({ dataset: 'auto', dataDir: values['data-dir'], env: process.env });

const folder = mkdtempSync(join(tmpdir(), 'lockstep-scaling-'));
let numRuns = 0;

const trainer = (model, workers) =>
  openTrainer({
    folder,
    name: String(numRuns++),
    local: workers,
    remote: 0,
    epochsPerBlock: epochsPerBlock[model],
    settings: {
      model,
      batchSize,
      // Of every model, so that the figures are of coordination alone.
      optimizer: 'adam',
      shards,
      epochs: (rounds + 1) * epochsPerBlock[model],
      limitTrain: samplesPerEpoch[model],
      limitTest: 100,
      ...(values['data-dir'] ? { dataDir: values['data-dir'] } : {}),
    },
  });

/** Engines by themselves, each in a thread: gradients of micro-batches of the same data, in the same groups, nothing else. */
function enginesAlone(model, count) {
  const threads = Array.from(
    { length: count },
    () =>
      new Worker(new URL('./scaling-engine.js', import.meta.url), {
        workerData: {
          model,
          microBatch: batchSize / shards,
          shards: shards / count,
          train,
          numSamples: (samplesPerEpoch[model] * epochsPerBlock[model]) / count,
        },
      }),
  );
  return {
    async block() {
      for (const thread of threads) thread.postMessage('run');
      const rates = await Promise.all(threads.map((thread) => once(thread, 'message')));
      return rates.flat().reduce((sum, rate) => sum + rate);
    },
    close: () => Promise.all(threads.map((thread) => thread.terminate())),
  };
}

const spread = (list) =>
  `${median(list).toFixed(3)}  (${Math.min(...list).toFixed(3)} to ${Math.max(...list).toFixed(3)})`;

for (const model of values.models.split(',')) {
  const subjects = [enginesAlone(model, 1), trainer(model, 1), enginesAlone(model, 2), trainer(model, 2)];
  const rates = subjects.map(() => []);
  for (const subject of subjects) await subject.block(); // warm-up
  for (let round = 0; round < rounds; round++) {
    for (const [i, subject] of subjects.entries()) rates[i].push(await subject.block());
  }
  await Promise.all(subjects.map((subject) => subject.close()));
  const [alone, one, together, two] = rates;
  console.log(
    `${model}, global batch ${batchSize} in ${shards} shards, median of ${rounds} rounds (least to greatest)`,
  );
  console.log(`  engine alone        ${Math.round(median(alone))} samples/s`);
  console.log(`  one worker          ${Math.round(median(one))} samples/s`);
  console.log(`  two engines         ${Math.round(median(together))} samples/s`);
  console.log(`  two workers         ${Math.round(median(two))} samples/s`);
  console.log(`  one worker / one engine   ${spread(one.map((rate, i) => rate / alone[i]))}`);
  console.log(`  two workers / two engines ${spread(two.map((rate, i) => rate / together[i]))}`);
  console.log(`  two engines / one engine  ${spread(together.map((rate, i) => rate / alone[i]))}`);
  console.log(`  two workers / one worker  ${spread(two.map((rate, i) => rate / one[i]))}`);
}
rmSync(folder, { recursive: true });
