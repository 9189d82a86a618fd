import { afterEach, describe, expect, it } from 'vitest';
import { prepareEnvironment } from './environment.ts';

const before = { ...process.env };
afterEach(() => {
  process.env = { ...before };
});

describe('prepareEnvironment', () => {
  it('sets what keeps engines apart and results the same, but not what the user has set', () => {
    for (const name of Object.keys(process.env)) if (/^(TF_|NVIDIA_TF32)/.test(name)) delete process.env[name];
    process.env.TF_DETERMINISTIC_OPS = '0';
    prepareEnvironment();
    expect(process.env).toMatchObject({
      TF_NUM_INTRAOP_THREADS: '1',
      TF_NUM_INTEROP_THREADS: '1',
      TF_DETERMINISTIC_OPS: '0',
      NVIDIA_TF32_OVERRIDE: '0',
      TF_FORCE_GPU_ALLOW_GROWTH: 'true',
    });
  });
});
