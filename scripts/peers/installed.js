/** Which peers this machine has, and what to say of those that it has not. */
import { spawnSync } from 'node:child_process';

const PROGRAM = `
import json
from importlib.metadata import PackageNotFoundError, version

def first(*names):
    for name in names:
        try:
            return version(name)
        except PackageNotFoundError:
            pass

print(json.dumps({
    "torch": first("torch"),
    "tensorflow": first("tensorflow-cpu", "tensorflow"),
    "numpy": first("numpy"),
    "ray": first("ray"),
}))
`;
const TITLES = { torch: 'PyTorch', tensorflow: 'TensorFlow and Keras', numpy: 'numpy', ray: 'Ray Train' };

/**
 * @param python path of an interpreter, which need not be there
 * @returns versions by package, and a sentence on each that is missing
 */
export function findInstalled(python) {
  const { status, stdout } = spawnSync(python, ['-c', PROGRAM], { encoding: 'utf8' });
  const versions = status === 0 ? JSON.parse(stdout) : {};
  const reason = status === 0 ? 'not installed' : 'there is no Python environment for it';
  const missing = Object.keys(TITLES)
    .filter((name) => !versions[name])
    .map((name) => `left out: ${TITLES[name]}: ${reason}`);
  return { versions, missing };
}
