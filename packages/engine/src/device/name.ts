/** Names of devices, as `--device` takes them. */
import { LockstepError } from '@lockstep/core';

export type Device =
  | { readonly kind: 'cpu' }
  | { readonly kind: 'cuda'; readonly index: number }
  | {
      readonly kind: 'webgpu';
      /** A Vulkan driver, `software`, `low-power`, or undefined for the fastest GPU. */
      readonly choice: string | undefined;
    };

const PATTERN = /^(?:(cpu)|cuda(?::(\d{1,3}))?|webgpu(?::([a-z0-9_-]{1,32}))?)$/;

/** Whether `--device` takes it. */
export const isDeviceName = (name: string): boolean => name === 'auto' || PATTERN.test(name);

export const DEVICE_HELP =
  'what the engine must run on: auto, cpu, webgpu, cuda or cuda:<number>; on Linux also webgpu:<Vulkan driver> and ' +
  'webgpu:software (lockstep devices lists what works here)';

/** @throws LockstepError `usage` */
export function parseDevice(name: string): Device {
  const match = PATTERN.exec(name);
  if (!match) {
    throw new LockstepError('usage', `There is no device "${name}".`, 'Run: lockstep devices');
  }
  const [, cpu, index, choice] = match;
  if (cpu !== undefined) return { kind: 'cpu' };
  return name.startsWith('cuda') ? { kind: 'cuda', index: Number(index ?? 0) } : { kind: 'webgpu', choice };
}
