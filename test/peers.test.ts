/** The comparison with peers: it does without those that are missing, and compares the same model. */
import { execFile } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describeNetwork } from '@lockstep/bench';
import { parseTopology, zoo } from '@lockstep/engine';
import { describe, expect, it } from 'vitest';
import { offline, ROOT, temporaryFolder } from './lockstep.ts';
import { missing, torchPython } from './pytorch/python.ts';

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

describe.skipIf(!torchPython)(`PyTorch (${missing})`, () => {
  it('computes gradients of the same mlp, by the number of parameters', async () => {
    const network = parseTopology(zoo.mlp.topology);
    const file = join(temporaryFolder(), 'mlp.json');
    writeFileSync(file, JSON.stringify(describeNetwork(network)));
    const program = run(torchPython!, ['-B', join(PEERS, 'torch_engine.py'), '--network', file]);
    // Nothing more is asked of it: it says hello and ends.
    program.child.stdin!.end();
    const { stdout } = await program;
    expect(JSON.parse(stdout).parameters).toBe(network.layout.numParameters);
  });
});
