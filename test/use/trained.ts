/** A small trained run of a model, with what `evaluate` says about it: for tests that use trained models. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type EvaluationReport, evaluate } from '@lockstep/coordinator';
import { type ImageDataset, loadDataset } from '@lockstep/dataset';
import { lockstep, offline, smallDataset, temporaryFolder } from '../lockstep.ts';

const { LOCKSTEP_DATA_DIR = '', LOCKSTEP_ALL_PICTURES } = process.env;
const hasOriginals = existsSync(LOCKSTEP_DATA_DIR);

/** The originals where they are, else a few synthetic pictures. */
export const dataDir = hasOriginals ? LOCKSTEP_DATA_DIR : smallDataset(1500, 300);

/** All test pictures of the originals, with LOCKSTEP_ALL_PICTURES=1, where a slow program would take minutes for them. */
export const countFor = (samples: number, patience: number): number =>
  LOCKSTEP_ALL_PICTURES ? samples : Math.min(samples, patience);

export interface Trained {
  readonly runDir: string;
  readonly report: EvaluationReport;
  readonly data: ImageDataset;
}

/** Trains for a few seconds. */
export async function trained(model: string): Promise<Trained> {
  const runDir = join(temporaryFolder(), 'run');
  const size = ['--limit-train', model === 'resnet' ? '1000' : '1500', '--epochs', '2', '--batch-size', '100'];
  const { code, stderr } = await lockstep(
    ['train', '--model', model, ...size, '--data-dir', dataDir, '--limit-test', '50', '--run-dir', runDir],
    offline(),
  );
  if (code !== 0) throw new Error(stderr);
  const data = await loadDataset({
    dataset: 'auto',
    dataDir,
    env: {},
    onProgress: undefined,
    signal: undefined,
  });
  // On the pictures alone, as other programs do.
  return { runDir, report: await evaluate({ run: runDir, dataDir, testFlip: false, testShift: 0 }), data };
}
