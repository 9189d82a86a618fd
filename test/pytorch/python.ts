/** The interpreter that has PyTorch, for tests that need one. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { findTorch } from '../../packages/bench/src/torch-python.ts';
import { ROOT } from '../lockstep.ts';

/** Undefined where there is none. */
export const torchPython = (await findTorch(undefined, process.env, undefined))?.python;

export const missing = 'skipped where LOCKSTEP_PEERS_PYTHON, or else python3, has no PyTorch';

/**
 * What a program of this folder answers to some jobs, all from one process: it takes seconds to start.
 * @param jobs each goes there as a line of JSON, and each answer comes back as one
 */
export function askTorch<Answer>(program: string, jobs: readonly object[]): Answer[] {
  const args = ['-B', join(ROOT, 'test/pytorch', program), join(ROOT, 'packages/bench/python')];
  const input = jobs.map((job) => `${JSON.stringify(job)}\n`).join('');
  const output = execFileSync(torchPython!, args, { input, encoding: 'utf8', maxBuffer: 2 ** 29, timeout: 100_000 });
  return output
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
}
