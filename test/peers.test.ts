/** The comparison with peers: it does without those that are missing, and compares the same model. */
import { execFile, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { parseTopology, zoo } from '@lockstep/engine';
import { describe, expect, it } from 'vitest';
import { offline, ROOT } from './lockstep.ts';

const run = promisify(execFile);
const PEERS = join(ROOT, 'scripts/peers');

describe('scripts/peers.js', () => {
  it('says which peers are missing and how to install them, and does without', async () => {
    const args = [join(ROOT, 'scripts/peers.js'), '--python', '/nonexistent'];
    const { stdout } = await run(process.execPath, args, { env: offline() });
    for (const peer of ['PyTorch', 'TensorFlow and Keras', 'Ray Train']) expect(stdout).toContain(`left out: ${peer}`);
    expect(stdout).toContain('sh scripts/peers/install.sh');
    for (const section of ['engine', 'training', 'tutorial']) expect(stdout).toContain(`${section}: skipped`);
    expect(existsSync(join(PEERS, 'install.sh'))).toBe(true);
  });
});

const python = process.env.LOCKSTEP_PEERS_PYTHON ?? join(PEERS, '.venv/bin/python');
const hasTorch = spawnSync(python, ['-c', 'import importlib.metadata as m; m.version("torch")']).status === 0;

describe.skipIf(!hasTorch)('PyTorch (skipped where it is not installed: sh scripts/peers/install.sh)', () => {
  it('computes gradients of the same mlp, by the number of parameters', async () => {
    const program = run(python, ['-B', join(PEERS, 'torch_engine.py'), '--model', 'mlp']);
    // Nothing more is asked of it: it says hello and ends.
    program.child.stdin!.end();
    const { stdout } = await program;
    expect(JSON.parse(stdout).parameters).toBe(parseTopology(zoo.mlp.topology).layout.numParameters);
  });
});
