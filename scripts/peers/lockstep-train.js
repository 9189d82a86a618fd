/**
 * A training run of Lockstep as a subject of ../peers.js: an epoch per block. Pictures are uint8 in memory.
 *
 *   node lockstep-train.js --model cnn --samples 6144 --data-dir DIR [--batch 512] [--workers 2]
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { train } from '@lockstep/coordinator';
import { defaultRecipe } from '@lockstep/engine';
import { serve } from './lines.js';

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    batch: { type: 'string', default: '512' },
    samples: { type: 'string' },
    workers: { type: 'string', default: String(availableParallelism()) },
    'data-dir': { type: 'string' },
  },
});
const folder = mkdtempSync(join(tmpdir(), 'lockstep-peers-'));
const events = train({
  // Adam, and nothing of what a model's own recipe may have beside: the peers do without it.
  ...defaultRecipe,
  model: values.model,
  workers: Number(values.workers),
  batchSize: Number(values.batch),
  // More than anybody asks for.
  epochs: 10_000,
  limitTrain: Number(values.samples),
  limitTest: 100,
  dataset: 'fashion-mnist',
  dataDir: values['data-dir'],
  port: 0,
  runDir: join(folder, 'run'),
});

async function next(name) {
  for (;;) {
    const { value, done } = await events.next();
    if (done) throw new Error('the run ended early');
    if (value.event === name) return value;
  }
}

const { numParameters } = await next('model');
await serve({ parameters: numParameters }, async () => (await next('epoch')).samplesPerSecond);
await events.return();
rmSync(folder, { recursive: true });
