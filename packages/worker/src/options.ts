/** Settings about who computes, each defined once: type, default, check and line of help. */
import { DEVICE_HELP, engineKinds, isDeviceName } from '@lockstep/engine';
import { z } from 'zod';

export const engineOptions = {
  engine: z
    .enum(['auto', ...engineKinds])
    .default('auto')
    .describe('what computes gradients; auto takes the fastest that works'),
  device: z.string().refine(isDeviceName, 'not a device: see lockstep devices').default('auto').describe(DEVICE_HELP),
};

export const computeOptions = {
  workers: z.int().positive().max(256).optional().describe('local worker threads (default: one per core)'),
  ...engineOptions,
};
