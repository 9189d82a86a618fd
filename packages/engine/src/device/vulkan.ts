/**
 * Vulkan drivers of a Linux machine, found as the Vulkan loader finds them: by their manifests. WebGPU takes the first
 * adapter of the drivers that the loader sees, so which it sees is the one way to choose.
 * https://github.com/KhronosGroup/Vulkan-Loader/blob/main/docs/LoaderDriverInterface.md
 */
import { existsSync, readdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { basename, delimiter, join } from 'node:path';

export interface VulkanDriver {
  /** `nvidia`, `amd`, `intel`, or what its manifest is called. */
  readonly name: string;
  /** Path of the manifest. */
  readonly manifest: string;
  /** Whether it computes on the CPU. */
  readonly isSoftware: boolean;
}

/** Variables that tell the loader which manifests to read; older loaders know the second alone. */
export const MANIFEST_VARIABLES = ['VK_DRIVER_FILES', 'VK_ICD_FILENAMES'] as const;

const SOFTWARE = /^(lvp|lavapipe|vk_swiftshader|swiftshader)_/;
const NAMES: Readonly<Record<string, string>> = { radeon: 'amd', intel_hasvk: 'intel', amdvlk: 'amd', amd: 'amd' };

/** Chromium brings a software driver along, which the loader does not look for. */
const CHROMIUM = ['/usr/lib/chromium/vk_swiftshader_icd.json', '/usr/lib/chromium-browser/vk_swiftshader_icd.json'];

function searchedFolders(env: NodeJS.ProcessEnv): string[] {
  const list = (value: string | undefined, otherwise: string): string[] => (value || otherwise).split(delimiter);
  const config = list(env.XDG_CONFIG_HOME, join(homedir(), '.config'));
  const configs = list(env.XDG_CONFIG_DIRS, '/etc/xdg');
  const data = list(env.XDG_DATA_HOME, join(homedir(), '.local/share'));
  const datas = list(env.XDG_DATA_DIRS, '/usr/local/share:/usr/share');
  const roots = [...config, ...configs, '/etc', ...data, ...datas];
  return [...new Set(roots)].map((root) => join(root, 'vulkan/icd.d'));
}

function manifestsIn(folder: string): string[] {
  try {
    return readdirSync(folder)
      .filter((name) => name.endsWith('.json'))
      .map((name) => join(folder, name));
  } catch {
    return [];
  }
}

function describe(manifest: string): VulkanDriver {
  const file = basename(manifest);
  const stem = file.replace(/\.json$/, '').replace(/_icd(\..*)?$/, '');
  const isSoftware = SOFTWARE.test(file);
  return { name: isSoftware ? 'software' : (NAMES[stem] ?? stem.toLowerCase()), manifest, isSoftware };
}

/** All drivers that are installed, or those that the environment limits the loader to. */
export function vulkanDrivers(env: NodeJS.ProcessEnv): VulkanDriver[] {
  const given = MANIFEST_VARIABLES.map((variable) => env[variable]).find((value) => value);
  const added = (env.VK_ADD_DRIVER_FILES ?? '').split(delimiter).filter(Boolean);
  const paths =
    given === undefined
      ? [...added, ...searchedFolders(env).flatMap(manifestsIn), ...CHROMIUM]
      : given.split(delimiter).flatMap((path) => (path.endsWith('.json') ? [path] : manifestsIn(path)));
  return [...new Set(paths)].filter((path) => existsSync(path)).map(describe);
}
