/** Which GPUs are worth a try on this machine, without touching a driver: that takes time where there is none. */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { vulkanDrivers } from './vulkan.ts';

/** Whether onnxruntime-node was installed with its CUDA libraries. */
function hasCudaProvider(): boolean {
  try {
    const entry = createRequire(import.meta.url).resolve('onnxruntime-node');
    const folder = join(dirname(entry), '../bin/napi-v6', process.platform, process.arch);
    return existsSync(join(folder, 'libonnxruntime_providers_cuda.so'));
  } catch {
    return false;
  }
}

/** Devices of the `onnx` engine that may be a GPU; never software. */
export function gpuCandidates(
  env: NodeJS.ProcessEnv = process.env,
  platform: NodeJS.Platform = process.platform,
): string[] {
  const hasDriver = platform !== 'linux' || vulkanDrivers(env).some(({ isSoftware }) => !isSoftware);
  return [...(hasCudaProvider() ? ['cuda'] : []), ...(hasDriver ? ['webgpu'] : [])];
}
