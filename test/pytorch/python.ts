/** The interpreter that has PyTorch, for tests that need one. */
import { spawnSync } from 'node:child_process';

const hasTorch = (python: string): boolean =>
  spawnSync(python, ['-c', 'import importlib.metadata as m; m.version("torch")']).status === 0;

/** Undefined where there is none. */
export const torchPython = [process.env.LOCKSTEP_PEERS_PYTHON, 'python3'].find(
  (python) => python !== undefined && hasTorch(python),
);
