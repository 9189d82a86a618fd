/** What a device needs of the process before its first session: the environment in which its driver is looked for. */
import { isMainThread } from 'node:worker_threads';
import { invariant, LockstepError } from '@lockstep/core';
import { parseDevice } from './name.ts';
import { MANIFEST_VARIABLES, type VulkanDriver, vulkanDrivers } from './vulkan.ts';

type Variables = Readonly<Record<string, string>>;

/** The drivers behind `webgpu` or `webgpu:<choice>`. @throws LockstepError `engine-unavailable` */
function driversFor(choice: string | undefined, drivers: readonly VulkanDriver[]): readonly VulkanDriver[] {
  const hardware = drivers.filter(({ isSoftware }) => !isSoftware);
  if (choice === undefined || choice === 'low-power') {
    if (hardware.length > 0) return hardware;
    throw drivers.length > 0
      ? unavailable(
          'the only Vulkan drivers of this machine are software.',
          "Install the GPU's Vulkan driver, or try it out slowly with --device webgpu:software.",
        )
      : unavailable(
          'this machine has no Vulkan driver.',
          "Install the GPU's driver with Vulkan; in a container, let it in (NVIDIA: NVIDIA_DRIVER_CAPABILITIES=all).",
        );
  }
  const chosen = drivers.filter(({ name }) => name === choice);
  if (chosen.length > 0) return chosen;
  const names = [...new Set(drivers.map(({ name }) => `webgpu:${name}`))];
  throw choice === 'software'
    ? unavailable(
        'this machine has no software Vulkan driver.',
        'Install one: Mesa 23 or newer (package mesa-vulkan-drivers), or Chromium, which brings one along.',
      )
    : unavailable(
        `there is no Vulkan driver called "${choice}".`,
        names.length > 0 ? `There is ${names.join(', ')}.` : 'Run: lockstep devices',
      );
}

const unavailable = (message: string, nextStep: string): LockstepError =>
  new LockstepError('engine-unavailable', `WebGPU does not work here: ${message}`, nextStep);

/**
 * The environment variables that a device needs.
 * @throws LockstepError `engine-unavailable` when the machine cannot have it
 */
export function deviceVariables(
  name: string,
  env: NodeJS.ProcessEnv = process.env,
  platform: NodeJS.Platform = process.platform,
): Variables {
  const device = parseDevice(name);
  if (device.kind !== 'webgpu') return {};
  if (platform !== 'linux') {
    if (device.choice === undefined || device.choice === 'low-power') return {};
    throw unavailable(
      `"${name}" names a Vulkan driver, which can be chosen on Linux only.`,
      'Use --device webgpu, or webgpu:low-power for the slower of two GPUs.',
    );
  }
  const manifests = driversFor(device.choice, vulkanDrivers(env)).map(({ manifest }) => manifest);
  return Object.fromEntries(MANIFEST_VARIABLES.map((variable) => [variable, manifests.join(':')]));
}

/**
 * Prepares this process for a device. To be called on the main thread before the device is first used on any thread: the
 * Vulkan loader reads the environment of the process, which other threads cannot change. `auto` needs nothing.
 * @throws LockstepError `engine-unavailable` when the machine cannot have it
 */
export function prepareDevice(name: string): void {
  if (name === 'auto') return;
  for (const [variable, value] of Object.entries(deviceVariables(name))) {
    if (process.env[variable] === value) continue;
    invariant(isMainThread, `the main thread has prepared the device ${name}`);
    process.env[variable] = value;
  }
}
