/** Where `lockstep setup tensorflow` puts TensorFlow, and what tells that it is there. */
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { LockstepError } from '@lockstep/core';
import { z } from 'zod';

/** What a build can compute on: `cpu`, or `gpu` as well. */
export const flavours = ['cpu', 'gpu'] as const;
export type Flavour = (typeof flavours)[number];

/** Of the layout below and of how the binding is compiled; what has another one is not used but made anew. */
const FORMAT = 1;

const manifestSchema = z.object({
  format: z.literal(FORMAT),
  /** Of TensorFlow, such as `2.21.0`. */
  version: z.string(),
  flavour: z.enum(flavours),
  /** Where it came from, for people. */
  source: z.string(),
});

export type Manifest = Omit<z.output<typeof manifestSchema>, 'format'>;

/**
 * The parts of the folder. The libraries lie as in Python's site-packages, `tensorflow/` beside `nvidia/`, since that is where
 * those of the GPU build look for each other.
 */
export const layout = {
  manifest: 'lockstep.json',
  libraries: 'tensorflow',
  binding: join('tensorflow', 'tfjs_binding.node'),
} as const;

/** The two libraries that the binding is linked against. */
export const libraries = ['libtensorflow_cc.so.2', 'libtensorflow_framework.so.2'] as const;

/**
 * `LOCKSTEP_TENSORFLOW_DIR`, else `tensorflow` in the cache: `LOCKSTEP_CACHE_DIR`, or the system's cache folder of this user.
 * @throws LockstepError `usage` when there is none of them
 */
export async function installationFolder(env: NodeJS.ProcessEnv): Promise<string> {
  if (env.LOCKSTEP_TENSORFLOW_DIR) return resolve(env.LOCKSTEP_TENSORFLOW_DIR);
  if (env.LOCKSTEP_CACHE_DIR) return resolve(env.LOCKSTEP_CACHE_DIR, 'tensorflow');
  try {
    // It looks the user up as soon as it is loaded, and not every user of a container has a home.
    const { default: envPaths } = await import('env-paths');
    return join(envPaths('lockstep', { suffix: '' }).cache, 'tensorflow');
  } catch (error) {
    const nextStep = 'Set LOCKSTEP_TENSORFLOW_DIR to a folder for it, or HOME.';
    throw new LockstepError('usage', 'This user has no home folder to keep TensorFlow in.', nextStep, { cause: error });
  }
}

export const manifestText = (manifest: Manifest): string =>
  `${JSON.stringify({ format: FORMAT, ...manifest }, undefined, 2)}\n`;

/** What lies in a folder; undefined when nothing does that this version can use. */
export async function readManifest(folder: string): Promise<Manifest | undefined> {
  try {
    const { format: _, ...manifest } = manifestSchema.parse(
      JSON.parse(await readFile(join(folder, layout.manifest), 'utf8')),
    );
    return manifest;
  } catch {
    return undefined;
  }
}
