import { execFileSync } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it, vi } from 'vitest';
import { parseTopology } from '../topology/parse.ts';
import { zoo } from '../zoo/recipes.ts';
import { tryEngineApart } from './trial.ts';

const config = { network: parseTopology(zoo.mlp.topology), labelSmoothing: 0.1 };
const measured = { microBatch: 16, maxGroup: 4, seconds: 0.05 };
const unmeasured = { ...measured, seconds: 0 };

afterEach(() => vi.unstubAllEnvs());

it('measures an engine that works', async () => {
  const result = await tryEngineApart(config, { kind: 'onnx', device: 'cpu', ...measured });
  expect(result).toEqual({ works: true, device: 'cpu', rate: expect.any(Number) });
  expect(result.works && result.rate).toBeGreaterThan(0);
});

it('only tries it where no time is given', async () => {
  const result = await tryEngineApart(config, { kind: 'tfjs', device: 'auto', ...unmeasured });
  expect(result).toEqual({ works: true, device: expect.stringMatching(/^(cpu|wasm)$/), rate: undefined });
});

it('says what is missing, and what helps', async () => {
  vi.stubEnv('VK_DRIVER_FILES', '/nonexistent/gpu_icd.json');
  const result = await tryEngineApart(config, { kind: 'onnx', device: 'webgpu:nvidia', ...unmeasured });
  expect(result).toEqual({
    works: false,
    reason: expect.stringContaining(process.platform === 'linux' ? 'no Vulkan driver' : 'Vulkan'),
    nextStep: expect.any(String),
  });
});

it('ends when it is told to', async () => {
  const controller = new AbortController();
  const trial = tryEngineApart(config, { kind: 'onnx', device: 'cpu', ...measured }, undefined, controller.signal);
  controller.abort();
  expect(await trial).toMatchObject({ works: false, reason: 'it was interrupted.' });
});

// The loader waits for a library that is a pipe without a writer, as it would inside of a driver that hangs.
it.runIf(process.platform === 'linux')('gives up on a driver that hangs', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'lockstep-driver-'));
  const library = join(folder, 'libdriver.so');
  execFileSync('mkfifo', [library]);
  const manifest = join(folder, 'hanging_icd.json');
  const icd = { library_path: library, api_version: '1.3.0' };
  writeFileSync(manifest, JSON.stringify({ file_format_version: '1.0.0', ICD: icd }));
  vi.stubEnv('VK_DRIVER_FILES', manifest);
  const result = await tryEngineApart(config, { kind: 'onnx', device: 'webgpu', ...unmeasured }, 4_000);
  expect(result).toMatchObject({ works: false, reason: 'it did not answer within 4 s.' });
});
