import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { gpuCandidates } from './candidates.ts';
import { deviceVariables } from './environment.ts';
import { isDeviceName, parseDevice } from './name.ts';
import { vulkanDrivers } from './vulkan.ts';

/** A machine with the given manifests, found as the Vulkan loader finds them. */
function machine(...manifests: string[]) {
  const root = mkdtempSync(join(tmpdir(), 'lockstep-vulkan-'));
  const folder = join(root, 'vulkan/icd.d');
  mkdirSync(folder, { recursive: true });
  for (const name of manifests) writeFileSync(join(folder, name), '{}');
  const paths = (...names: string[]) => names.map((name) => join(folder, name)).join(':');
  return { paths, env: { VK_DRIVER_FILES: paths(...manifests) } satisfies NodeJS.ProcessEnv, root };
}

const variables = (name: string, env: NodeJS.ProcessEnv) => deviceVariables(name, env, 'linux');
const limitedTo = (files: string) => ({ VK_DRIVER_FILES: files, VK_ICD_FILENAMES: files });

describe('device names', () => {
  it.each(['auto', 'cpu', 'cuda', 'cuda:1', 'webgpu', 'webgpu:nvidia', 'webgpu:software'])('takes %s', (name) => {
    expect(isDeviceName(name)).toBe(true);
  });

  it.each(['gpu', 'cuda:', 'cuda:x', 'webgpu:', 'webgpu:a b', 'CPU', ''])('refuses "%s"', (name) => {
    expect(isDeviceName(name)).toBe(false);
    expect(() => parseDevice(name)).toThrow(`There is no device "${name}".`);
  });
});

describe('Vulkan drivers', () => {
  it('are looked for where the loader looks', () => {
    const { root, paths } = machine('radeon_icd.x86_64.json');
    const found = vulkanDrivers({ XDG_DATA_DIRS: root });
    expect(found).toContainEqual({ name: 'amd', manifest: paths('radeon_icd.x86_64.json'), isSoftware: false });
  });

  it('are only those that the environment names', () => {
    const { env, paths } = machine('nvidia_icd.json', 'lvp_icd.x86_64.json');
    expect(vulkanDrivers(env)).toEqual([
      { name: 'nvidia', manifest: paths('nvidia_icd.json'), isSoftware: false },
      { name: 'software', manifest: paths('lvp_icd.x86_64.json'), isSoftware: true },
    ]);
  });

  it('make a machine worth a try with WebGPU unless they are all software', () => {
    expect(gpuCandidates(machine('vk_swiftshader_icd.json', 'lvp_icd.json').env, 'linux')).not.toContain('webgpu');
    expect(gpuCandidates(machine('vk_swiftshader_icd.json', 'intel_icd.json').env, 'linux')).toContain('webgpu');
    expect(gpuCandidates({}, 'darwin')).toContain('webgpu');
  });
});

describe('what a device needs of the environment', () => {
  it('nothing for a CPU, and nothing where Vulkan is not used', () => {
    expect(variables('cpu', {})).toEqual({});
    expect(variables('cuda:1', {})).toEqual({});
    expect(deviceVariables('webgpu:low-power', {}, 'win32')).toEqual({});
  });

  it('for webgpu all drivers but those in software', () => {
    const { env, paths } = machine('nvidia_icd.json', 'lvp_icd.json', 'intel_icd.json');
    expect(variables('webgpu', env)).toEqual(limitedTo(paths('nvidia_icd.json', 'intel_icd.json')));
  });

  it('for webgpu and a driver that driver alone', () => {
    const { env, paths } = machine('nvidia_icd.json', 'lvp_icd.json', 'intel_icd.json', 'intel_hasvk_icd.json');
    expect(variables('webgpu:intel', env)).toEqual(limitedTo(paths('intel_icd.json', 'intel_hasvk_icd.json')));
    expect(variables('webgpu:software', env)).toEqual(limitedTo(paths('lvp_icd.json')));
  });

  it('takes no software for a GPU', () => {
    const { env } = machine('lvp_icd.json');
    expect(() => variables('webgpu', env)).toThrow('the only Vulkan drivers of this machine are software');
  });

  it('says which drivers there are', () => {
    const { env } = machine('intel_icd.json');
    expect(() => variables('webgpu:nvidia', env)).toThrow(
      expect.objectContaining({ code: 'engine-unavailable', nextStep: 'There is webgpu:intel.' }),
    );
    expect(() => variables('webgpu:software', env)).toThrow('no software Vulkan driver');
  });

  it('says that drivers can be chosen on Linux only', () => {
    expect(() => deviceVariables('webgpu:nvidia', {}, 'darwin')).toThrow('on Linux only');
  });
});
