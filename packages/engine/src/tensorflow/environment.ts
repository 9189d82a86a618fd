/** What TensorFlow is told by environment variables, which it reads once, when it starts. What the user has set stays. */

const variables: Readonly<Record<string, string>> = {
  // An engine is one thread's. With more, kernels would also divide, and so round, by the number of cores.
  TF_NUM_INTRAOP_THREADS: '1',
  TF_NUM_INTEROP_THREADS: '1',
  // The same bits again, on GPUs too.
  TF_DETERMINISTIC_OPS: '1',
  // GPUs of 2020 and later would multiply with 10 bits of mantissa.
  NVIDIA_TF32_OVERRIDE: '0',
  // Else one process takes the whole memory of the GPU at once.
  TF_FORCE_GPU_ALLOW_GROWTH: 'true',
  // Errors only.
  TF_CPP_MIN_LOG_LEVEL: '2',
};

/** Sets them from JavaScript. Reaches native code on the main thread only: others have a copy of the environment. */
export function prepareEnvironment(): void {
  for (const [name, value] of Object.entries(variables)) process.env[name] ??= value;
}

/** C++ that sets them when the library is loaded that it is linked into, on whatever thread that is. */
export const environmentSource = (): string =>
  [
    '#include <cstdlib>',
    '__attribute__((constructor)) static void prepareEnvironment() {',
    ...Object.entries(variables).map(([name, value]) => `  setenv("${name}", "${value}", 0);`),
    '}',
    '',
  ].join('\n');
