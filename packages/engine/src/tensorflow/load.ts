/**
 * Loads TensorFlow as tf.js' backend `tensorflow`: the JavaScript of @tensorflow/tfjs-node-gpu over a binding that was compiled
 * from the sources in the same package.
 */
import { createRequire } from 'node:module';
import { join } from 'node:path';
import util from 'node:util';
import type { Tf } from '../tfjs/applied.ts';
import { prepareEnvironment } from './environment.ts';
import { layout } from './installation.ts';

export const PACKAGE = '@tensorflow/tfjs-node-gpu';

/** `require` as if it stood in the package. @throws with code `MODULE_NOT_FOUND` when the package is not installed */
export function requireOfPackage(): NodeJS.Require {
  const { resolve } = createRequire(import.meta.url);
  return createRequire(resolve(`${PACKAGE}/package.json`));
}

interface Binding {
  readonly TF_Version: string;
}

interface Backend {
  new (binding: Binding, packageName: string): ReturnType<Tf['backend']>;
}

const loadBinding = (folder: string): Binding => requireOfPackage()(join(folder, layout.binding)) as Binding;

/** The version that the native library of an installation has. */
export const versionOf = (folder: string): string => loadBinding(folder).TF_Version;

/**
 * @param folder of an installation
 * @returns tf.js with the backend registered
 * @throws whatever hinders the native library from loading
 */
export function loadTensorflow(folder: string): Tf {
  // The binding does the same, but only after TensorFlow's first words.
  prepareEnvironment();
  const require = requireOfPackage();
  // Node 23 removed what the package still calls.
  const older = util as { isNullOrUndefined?: (value: unknown) => boolean };
  older.isNullOrUndefined ??= (value) => value === null || value === undefined;
  const binding = loadBinding(folder);
  const tf = require('@tensorflow/tfjs') as Tf;
  if (tf.findBackendFactory('tensorflow') === null) {
    require('./dist/register_all_kernels.js');
    const { NodeJSKernelBackend } = require('./dist/nodejs_kernel_backend.js') as { NodeJSKernelBackend: Backend };
    tf.registerBackend('tensorflow', () => new NodeJSKernelBackend(binding, PACKAGE));
  }
  return tf;
}
