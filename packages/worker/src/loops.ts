/** The SIMD loops over a pool's memory. */
import { type KernelFunctions, loadKernels } from '@lockstep/core';
import { accelerate } from '@lockstep/engine';
import type { PoolSetup } from './job.ts';

/** Loads the fastest that there are here; all give the same bits. */
export async function openLoops({ job, layout, memory }: PoolSetup): Promise<KernelFunctions> {
  const kernels = loadKernels(memory);
  // Machine code is at hand where an engine computes with it; else only products of matrices, and rounding, are worth loading it.
  const isWorthIt = job.engine === 'native' || layout.matrixScratch.length > 0 || job.keepsReference;
  return isWorthIt ? accelerate(kernels, memory) : kernels;
}
