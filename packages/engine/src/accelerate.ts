/** What machine code does beside an engine, where this machine can run it; the same bits everywhere. */
import { type KernelFunctions, LockstepError } from '@lockstep/core';
import type { EngineKind } from './engine.ts';

/** What `attempt` gives, and `otherwise` where there is no machine code. */
async function attemptNative<T>(otherwise: T, attempt: () => Promise<T>): Promise<T> {
  try {
    return await attempt();
  } catch (error) {
    if (error instanceof LockstepError && error.code === 'engine-unavailable') return otherwise;
    throw error;
  }
}

/** Faster loops for optimizers, for rounding and for gathering samples. @param kernels loops over `memory`, kept where nothing is faster */
export const accelerate = (kernels: KernelFunctions, memory: WebAssembly.Memory): Promise<KernelFunctions> =>
  attemptNative(kernels, async () => {
    const natives = await Promise.all([
      import('./native/adam.ts').then(({ withNativeAdam }) => withNativeAdam),
      import('./native/gather.ts').then(({ withNativeGather }) => withNativeGather),
      import('./native/matrix.ts').then(({ withNativeProducts }) => withNativeProducts),
      import('./native/rounding.ts').then(({ withNativeRounding }) => withNativeRounding),
    ]);
    return natives.reduce((loops, replace) => replace(loops, memory), kernels);
  });

/** Asks the system for large pages under a memory that nothing was written to yet. */
export type PageAdvice = (memory: WebAssembly.Memory) => void;

/** @param engine that computes in the memory @returns undefined where nobody can be asked, or it would not be worth loading code for */
export async function findPageAdvice(engine: EngineKind): Promise<PageAdvice | undefined> {
  if (engine !== 'native') return undefined;
  return attemptNative<PageAdvice | undefined>(undefined, async () => {
    const { addressOf, adviseLargePages } = await import('./native/machine.ts');
    return ({ buffer }) => adviseLargePages(addressOf(new Uint8Array(buffer)), buffer.byteLength);
  });
}
