/** Finds an interpreter of Python that has PyTorch. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { LockstepError } from '@lockstep/core';
import { interrupted } from './within.ts';

/** The version without loading it, which takes seconds. */
const PROGRAM = 'import importlib.metadata as m; print(m.version("torch"))';
const DEADLINE_MS = 60_000;

/** For `--pytorch`: to train with Lockstep alone. */
const NO_TORCH = 'none';
const VARIABLE = 'LOCKSTEP_PEERS_PYTHON';
const DEFAULT = 'python3';

export type FoundTorch =
  | { readonly python: string; readonly version: string }
  /** There is none; why, and what to do about it. */
  | { readonly python: undefined; readonly reason: string };

/**
 * @param given interpreter that the user named, which must have PyTorch; else the one of the environment is tried
 * @returns undefined when none is wanted
 * @throws LockstepError `usage` when the named interpreter has no PyTorch, `interrupted`
 */
export async function findTorch(
  given: string | undefined,
  env: NodeJS.ProcessEnv,
  signal: AbortSignal | undefined,
): Promise<FoundTorch | undefined> {
  if (given === NO_TORCH) return undefined;
  const python = given ?? env[VARIABLE] ?? DEFAULT;
  try {
    const options = { timeout: DEADLINE_MS, killSignal: 'SIGKILL', env, ...(signal ? { signal } : {}) } as const;
    const { stdout } = await promisify(execFile)(python, ['-c', PROGRAM], options);
    return { python, version: stdout.trim() };
  } catch (error) {
    if (signal?.aborted) throw interrupted();
    const reason = `${python} ${reasonOf(error as NodeJS.ErrnoException & { stderr?: string; killed?: boolean })}`;
    const nextStep = `To compare with it, install it (pip install torch) and name the interpreter with --pytorch or ${VARIABLE}.`;
    if (given === undefined) return { python: undefined, reason: `${reason}. ${nextStep}` };
    throw new LockstepError('usage', `--pytorch ${given}: ${reason}.`, nextStep, { cause: error });
  }
}

function reasonOf({
  code,
  killed,
  stderr = '',
}: NodeJS.ErrnoException & { stderr?: string; killed?: boolean }): string {
  if (killed) return `gave no answer within ${DEADLINE_MS / 1000} s`;
  if (typeof code === 'string') return `cannot be started (${code})`;
  if (stderr.includes('PackageNotFoundError')) return 'has no PyTorch';
  return `is no Python that works: ${stderr.trim().split('\n').at(-1)}`;
}
