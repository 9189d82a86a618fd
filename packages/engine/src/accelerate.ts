/** Faster loops for optimizers where this machine can run machine code; the same bits everywhere. */
import { type KernelFunctions, LockstepError } from '@lockstep/core';

/** @param kernels loops over `memory`, kept where nothing is faster */
export async function accelerate(kernels: KernelFunctions, memory: WebAssembly.Memory): Promise<KernelFunctions> {
  try {
    const { withNativeProducts } = await import('./native/matrix.ts');
    return withNativeProducts(kernels, memory);
  } catch (error) {
    if (error instanceof LockstepError && error.code === 'engine-unavailable') return kernels;
    throw error;
  }
}
