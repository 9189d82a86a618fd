/** Child processes of a benchmark: none outlives it. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';

/** Compiled scripts beside this file, also where a test runs it from source. */
const SCRIPTS = {
  'remote-worker': new URL('../dist/remote-worker.js', import.meta.url),
  'synthetic-workers': new URL('../dist/synthetic-workers.js', import.meta.url),
};

/** Starts a script of this package in a process that ends with this one. */
export function startChild(script: keyof typeof SCRIPTS, args: readonly string[]): ChildProcess {
  return fork(SCRIPTS[script], args, {
    // A process started with conditions or loaders for TypeScript must not hand them on to compiled scripts.
    execArgv: [],
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  });
}

/** Ends processes and waits until they are gone. */
export async function endChildren(children: readonly ChildProcess[]): Promise<void> {
  await Promise.all(
    children.map(async (child) => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const closed = once(child, 'exit');
      child.kill('SIGKILL');
      await closed;
    }),
  );
}
