/** Runs from code, with real threads. */
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it, onTestFinished } from 'vitest';
import { train } from './train.ts';

it('writes nothing more once its events are left', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'lockstep-train-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const runDir = join(folder, 'run');
  const files = () =>
    (readdirSync(runDir, { recursive: true }) as string[]).map((name) => [name, statSync(join(runDir, name)).mtimeMs]);
  // Each step begins to write a checkpoint, so one is being written when the loop is left.
  const often = { logEvery: 1, checkpointEvery: 1 };
  for await (const event of train({ dataset: 'synthetic', limitTrain: 1000, workers: 1, port: 0, runDir, ...often })) {
    if (event.event === 'step' && event.runStep === 3) break;
  }
  const left = files();
  await sleep(500);
  expect(files()).toEqual(left);
});
