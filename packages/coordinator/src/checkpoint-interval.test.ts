/** How often a run saves checkpoints. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { train } from './train.ts';

it('saves after the first epoch and the last, and not after each of many short ones', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'lockstep-interval-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const runDir = join(folder, 'run');
  const epochs = 40;
  // One step each, of milliseconds.
  const settings = { limitTrain: 64, batchSize: 64, limitTest: 10, epochs, keepCheckpoints: epochs };
  const events = train({ dataset: 'synthetic', model: 'mlp', workers: 1, port: 0, runDir, ...settings });
  const started = performance.now();
  for await (const _ of events);
  const seconds = (performance.now() - started) / 1000;
  const saved = readdirSync(join(runDir, 'checkpoints')).filter((name) => name.endsWith('.json'));
  expect(saved).toContain('000000001.json');
  expect(saved).toContain('000000040.json');
  expect(saved.length).toBeLessThanOrEqual(2 + seconds);
});
