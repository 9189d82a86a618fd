/** Settings about who computes, each defined once: type, default, check and line of help. */
import { engineKinds } from '@lockstep/engine';
import { z } from 'zod';

export const engineOptions = {
  engine: z
    .enum(['auto', ...engineKinds])
    .default('auto')
    .describe('what computes gradients; auto takes the fastest that works'),
  device: z.enum(['auto', 'cpu', 'cuda']).default('auto').describe('what the engine must run on'),
};

export const computeOptions = {
  workers: z.int().positive().max(256).optional().describe('local worker threads (default: one per core)'),
  ...engineOptions,
};
