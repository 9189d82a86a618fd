// Which engine and device a run takes on machines with a GPU in software, without one, and without an ONNX Runtime.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { gpuCandidates } from '../packages/engine/src/device/candidates.ts';
import { vulkanDrivers } from '../packages/engine/src/device/vulkan.ts';
import { type Finished, finished, offline, smallDataset, start, temporaryFolder } from './lockstep.ts';

const software = process.platform === 'linux' ? vulkanDrivers(process.env).filter((driver) => driver.isSoftware) : [];
const skip = software.length > 0 ? undefined : 'there is no software Vulkan driver';
const note = skip === undefined ? '' : ` (skipped: ${skip})`;
const hasCuda = gpuCandidates().includes('cuda');

/** A machine whose only GPU is software, or that has none at all. */
const limitedTo = (manifests: readonly string[]): NodeJS.ProcessEnv => {
  const files = manifests.join(':') || '/nonexistent/none_icd.json';
  return { ...offline(), VK_DRIVER_FILES: files, VK_ICD_FILENAMES: files };
};
const softwareOnly = limitedTo(software.map(({ manifest }) => manifest));
const noDriver = limitedTo([]);

const data = smallDataset(256, 64);
const recipe = ['--model', 'mlp', '--optimizer', 'adam', '--epochs', '1', '--batch-size', '64'];
const training = [...recipe, '--data-dir', data, '--json', '--seed', '5'];

const run = (env: NodeJS.ProcessEnv, ...args: string[]): Promise<Finished> =>
  finished(start(['train', ...training, '--run-dir', join(temporaryFolder(), 'run'), '--port', '0', ...args], env));

const event = ({ events }: Finished, name: string) => events.find((one) => one.event === name);

/** What `auto` takes on a CPU. */
const onCpu = expect.stringMatching(/^(native|onnx)$/);

describe.skipIf(skip !== undefined)(`a GPU in software${note}`, () => {
  // Chromium's driver takes some ten seconds to compile the shaders, more on a busy machine.
  it('trains when it is asked for, and its losses follow those of the CPU', { timeout: 240_000 }, async () => {
    const gpu = await run(softwareOnly, '--device', 'webgpu:software');
    expect(gpu.code, gpu.stderr).toBe(0);
    expect(event(gpu, 'worker')).toMatchObject({ engine: 'onnx', device: 'webgpu:software', threads: 1 });
    const cpu = await run(softwareOnly, '--device', 'cpu');
    const [a, b] = [event(gpu, 'epoch'), event(cpu, 'epoch')];
    expect(a.samples).toBe(256);
    expect(a.trainLoss).toBeCloseTo(b.trainLoss, 4);
    expect(a.testLoss).toBeCloseTo(b.testLoss, 4);
    // Not the same bits, so it was not the CPU.
    expect(event(gpu, 'done').weightsSha256).not.toBe(event(cpu, 'done').weightsSha256);
  });

  it('is not taken otherwise', async () => {
    const auto = await run(softwareOnly);
    expect(event(auto, 'worker')).toMatchObject({ engine: onCpu, device: 'cpu' });
    const asked = await run(softwareOnly, '--device', 'webgpu');
    expect(asked.code).toBe(1);
    expect(event(asked, 'error')).toMatchObject({
      code: 'engine-unavailable',
      message: expect.stringContaining('software'),
      nextStep: expect.stringContaining('--device webgpu:software'),
    });
  });

  it('is listed, but only tried when asked for', async () => {
    const { code, events } = await finished(start(['devices', '--json', '--seconds', '0.1'], softwareOnly));
    expect(code).toBe(0);
    const [{ devices, auto }] = events;
    const named = (device: string) => devices.find((one: { device: string }) => one.device === device);
    expect(named('cpu')).toMatchObject({ engine: onCpu, works: true, rate: expect.any(Number) });
    expect(named('webgpu:software')).toMatchObject({ works: false, nextStep: expect.stringContaining('--software') });
    expect(auto).toMatchObject({ engine: onCpu, device: 'cpu' });
  });
});

describe('a machine without a GPU', () => {
  it('says what WebGPU needs', async () => {
    const { code, ...rest } = await run(noDriver, '--device', 'webgpu');
    expect(code).toBe(1);
    expect(event({ code, ...rest }, 'error')).toMatchObject({
      code: 'engine-unavailable',
      message: expect.stringContaining('no Vulkan driver'),
    });
  });

  it.skipIf(hasCuda)('says what CUDA needs', async () => {
    const finished = await run(noDriver, '--engine', 'onnx', '--device', 'cuda');
    expect(finished.code).toBe(1);
    expect(event(finished, 'error')).toMatchObject({
      code: 'engine-unavailable',
      message: expect.stringContaining('CUDA provider does not load'),
      nextStep: expect.stringContaining('ONNXRUNTIME_NODE_INSTALL=cuda12'),
    });
  });

  it('trains with plain tf.js when there is neither koffi nor ONNX Runtime nor TensorFlow, and says so', async () => {
    const hook = join(temporaryFolder(), 'missing.mjs');
    writeFileSync(
      hook,
      `import { register } from 'node:module';
      const hooks = \`export async function resolve(name, context, next) {
        if (name !== 'koffi' && name !== 'onnxruntime-node' && !name.startsWith('@tensorflow/tfjs-node')) return next(name, context);
        throw Object.assign(new Error("Cannot find package '" + name + "'"), { code: 'ERR_MODULE_NOT_FOUND' });
      }\`;
      register('data:text/javascript,' + encodeURIComponent(hooks));`,
    );
    const env = { ...noDriver, NODE_OPTIONS: `--import=${hook}`, LOCKSTEP_TENSORFLOW_DIR: temporaryFolder() };
    const finished = await run(env, '--limit-train', '128', '--workers', '1');
    expect(finished.code, finished.stderr).toBe(0);
    expect(event(finished, 'worker')).toMatchObject({
      engine: 'tfjs',
      reason: expect.stringMatching(
        /native does not work here .*koffi.*onnx does not work here .*onnxruntime-node.*tensorflow does not work here/,
      ),
    });
    expect(event(finished, 'done').samples).toBe(128);
  });
});
