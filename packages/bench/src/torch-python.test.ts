import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { findTorch } from './torch-python.ts';

const folder = mkdtempSync(join(tmpdir(), 'lockstep-test-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** A program in the place of an interpreter. */
function interpreter(name: string, script: string): string {
  const path = join(folder, name);
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
  return path;
}
const withTorch = interpreter('with', 'echo 2.13.0');
const without = interpreter(
  'without',
  'echo "importlib.metadata.PackageNotFoundError: No package metadata was found for torch" >&2; exit 1',
);
const broken = interpreter('broken', 'echo "no such option" >&2; exit 2');

describe.skipIf(process.platform === 'win32')('findTorch (skipped where there are no shell scripts)', () => {
  it('has the version', async () => {
    expect(await findTorch(withTorch, {}, undefined)).toEqual({ python: withTorch, version: '2.13.0' });
  });

  it('looks where the environment says, unless an interpreter is named', async () => {
    const env = { ...process.env, LOCKSTEP_PEERS_PYTHON: withTorch };
    expect(await findTorch(undefined, env, undefined)).toMatchObject({ python: withTorch });
    await expect(findTorch(without, env, undefined)).rejects.toThrow();
  });

  it('only says so when there is none and nobody named one', async () => {
    const found = await findTorch(undefined, { LOCKSTEP_PEERS_PYTHON: without }, undefined);
    expect(found).toMatchObject({ python: undefined });
    expect((found as { reason: string }).reason).toMatch(/has no PyTorch\. .*pip install torch/);
  });

  it.each([
    [without, 'has no PyTorch'],
    [broken, 'is no Python that works: no such option'],
    [join(folder, 'absent'), 'cannot be started (ENOENT)'],
  ])('refuses a named one without it: %s', async (python, reason) => {
    await expect(findTorch(python, {}, undefined)).rejects.toMatchObject({
      code: 'usage',
      message: `--pytorch ${python}: ${python} ${reason}.`,
      nextStep: expect.stringContaining('pip install torch'),
    });
  });

  it('looks for none when none is wanted', async () => {
    expect(await findTorch('none', { LOCKSTEP_PEERS_PYTHON: without }, undefined)).toBeUndefined();
  });

  it('ends when the benchmark is interrupted', async () => {
    const slow = interpreter('slow', 'exec sleep 600');
    await expect(findTorch(slow, process.env, AbortSignal.timeout(100))).rejects.toMatchObject({ code: 'interrupted' });
  });
});
