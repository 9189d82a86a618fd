import { describe, expect, it } from 'vitest';
import { workersFor } from './join-devices.ts';

const told = async (text: string, env: NodeJS.ProcessEnv) =>
  (await workersFor(text, env)).map(({ label, device, env }) => [label, device, env.CUDA_VISIBLE_DEVICES]);

describe('--devices', () => {
  it('starts a worker for each device', async () => {
    expect(await told('webgpu, cpu,cpu', { CUDA_VISIBLE_DEVICES: '' })).toEqual([
      ['webgpu', 'webgpu', ''],
      ['cpu', 'cpu', ''],
      ['cpu (3)', 'cpu', ''],
    ]);
  });

  it('shows every worker the GPU that is meant, and no other', async () => {
    expect(await told('cuda:1,cuda', { CUDA_VISIBLE_DEVICES: '4,GPU-5f' })).toEqual([
      ['cuda:1', 'cuda', 'GPU-5f'],
      ['cuda', 'cuda', '4'],
    ]);
    expect(await told('all', { CUDA_VISIBLE_DEVICES: '4,GPU-5f' })).toEqual([
      ['cuda:0', 'cuda', '4'],
      ['cuda:1', 'cuda', 'GPU-5f'],
    ]);
  });

  it('says what to do where there is no GPU, or no such device', async () => {
    await expect(workersFor('all', { CUDA_VISIBLE_DEVICES: '-1' })).rejects.toMatchObject({
      code: 'engine-unavailable',
      message: expect.stringContaining('no NVIDIA GPU'),
    });
    await expect(workersFor('cpu,tpu', {})).rejects.toMatchObject({
      code: 'usage',
      message: '--devices cpu,tpu: there is no device "tpu".',
    });
  });
});
