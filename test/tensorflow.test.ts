/**
 * The engine `tensorflow` on a real TensorFlow, which is set up once and kept for the next time. That takes a download of
 * about 270 MB and a compiler; where they cannot be had, these tests are skipped and say why.
 */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { layout } from '../packages/engine/src/tensorflow/installation.ts';
import { setUpTensorflow } from '../packages/engine/src/tensorflow/setup.ts';
import { describeEngineContract } from '../packages/engine/src/testing/contract.ts';
import { openTensorflow } from '../packages/engine/src/tfjs/backends.ts';
import { createEngineOnBackend, type TfjsBackend } from '../packages/engine/src/tfjs/engine.ts';
import { lockstep, offline, ROOT, smallDataset, temporaryFolder } from './lockstep.ts';

const folder = join(ROOT, 'node_modules/.cache/lockstep-tests/tensorflow');

/** @returns why it cannot be had; undefined when it is there */
async function setUp(): Promise<string | undefined> {
  try {
    await setUpTensorflow({
      ...{ folder, flavour: 'cpu', wheel: undefined, force: false, env: process.env, signal: undefined },
      downloadDeadlineMs: 180_000,
    });
    return undefined;
  } catch (error) {
    // What a machine lacks is no fault of ours; what does not compile or compute is.
    const { code, message } = error as { code?: string; message: string };
    const isLacking = /cannot be downloaded|there is no|is not installed|can be set up on/.test(message);
    if (!isLacking && code !== 'cache-unwritable') throw error;
    return message.split('\n')[0];
  }
}

const skip = await setUp();
const backend = skip === undefined ? await openTensorflow(folder) : undefined;
const env = (): NodeJS.ProcessEnv => ({ ...offline(), LOCKSTEP_TENSORFLOW_DIR: folder });

describeEngineContract('tensorflow', (config) => createEngineOnBackend(config, backend as TfjsBackend), { skip });

describe.skipIf(skip !== undefined)(
  `the command with TensorFlow${skip === undefined ? '' : ` (skipped: ${skip})`}`,
  () => {
    it('is told to compute on one thread, also where JavaScript cannot tell it', async () => {
      const code = `
      const { Worker } = require('node:worker_threads');
      const load = 'try { require(' + JSON.stringify(process.argv[1]) + ') } catch (error) { console.log(error) }';
      new Worker(load, { eval: true }).on('exit', () => console.log(process.env.TF_NUM_INTRAOP_THREADS));
    `;
      const env = { ...process.env, TF_NUM_INTRAOP_THREADS: undefined };
      const args = ['-e', code, join(folder, layout.binding)];
      const { stdout } = await promisify(execFile)(process.execPath, args, { env });
      expect(stdout).toBe('1\n');
    });

    it('finds what is set up already, and says how to use it from elsewhere', async () => {
      const { code, events, stderr } = await lockstep(
        ['setup', 'tensorflow', '--cpu', '--folder', folder, '--json'],
        offline(),
      );
      expect(code, stderr).toBe(0);
      expect(events).toEqual([
        expect.objectContaining({ event: 'set-up', engine: 'tensorflow', action: 'kept', folder, device: 'cpu' }),
      ]);
      expect(stderr).toContain(`LOCKSTEP_TENSORFLOW_DIR=${folder}`);
      expect(stderr).toContain('lockstep train --engine tensorflow');
    });

    it('trains as the onnx engine does, to the same bits on one thread and on two', async () => {
      const data = ['--data-dir', smallDataset(3000, 500), '--batch-size', '256', '--epochs', '2', '--run-dir', 'run'];
      const train = async (engine: string, workers: string) => {
        const args = ['train', ...data, '--engine', engine, '--workers', workers, '--json'];
        const { code, events, stderr } = await lockstep(args, env());
        expect(code, stderr).toBe(0);
        expect(events).toContainEqual(
          expect.objectContaining({ event: 'worker', engine, device: 'cpu', state: 'ready' }),
        );
        const losses = events.filter(({ event }) => event === 'epoch').flatMap((e) => [e.trainLoss, e.testLoss]);
        return { losses, weights: events.at(-1).weightsSha256 };
      };
      const one = await train('tensorflow', '1');
      const two = await train('tensorflow', '2');
      const onnx = await train('onnx', '2');
      expect(one.losses).toHaveLength(4);
      expect(one.losses).toEqual(two.losses);
      expect(one.weights).toBe(two.weights);
      // It is another engine: it rounds differently.
      expect(one.weights).not.toBe(onnx.weights);
      for (const [i, loss] of one.losses.entries()) expect(Math.abs(loss / onnx.losses[i] - 1)).toBeLessThan(1e-3);
    });

    it('says so when the device is not there', async () => {
      const args = ['train', '--data-dir', smallDataset(64, 8), '--engine', 'tensorflow', '--device', 'cuda', '--json'];
      const { code, events } = await lockstep(args, { ...env(), CUDA_VISIBLE_DEVICES: '-1' });
      expect(code).toBe(1);
      expect(events.at(-1)).toMatchObject({
        code: 'engine-unavailable',
        message: expect.stringContaining('not on cuda'),
      });
    });
  },
);

describe('lockstep setup', () => {
  it('refuses what does not fit together, and a wheel that is none', async () => {
    const both = await lockstep(['setup', 'tensorflow', '--cpu', '--gpu', '--json'], offline());
    expect(both.code).toBe(2);
    expect(both.events).toMatchObject([{ event: 'error', code: 'usage', message: '--cpu and --gpu were both given.' }]);
    const args = [
      'setup',
      'tensorflow',
      '--wheel',
      join(ROOT, 'package.json'),
      '--folder',
      join(temporaryFolder(), 'new'),
    ];
    const wheel = await lockstep(args, offline());
    expect(wheel.code).toBe(2);
    expect(wheel.stderr).toContain('package.json is not a wheel, or only the beginning of one');
  });

  it('fails with what is missing, and what to do', async () => {
    const { code, stderr } = await lockstep(['setup', 'tensorflow'], { ...offline(), CXX: 'no-such-compiler' });
    expect(code).toBe(1);
    expect(stderr).toMatch(/there is no C\+\+ compiler \(CXX is no-such-compiler\)\.\n +Install one/);
  });
});
