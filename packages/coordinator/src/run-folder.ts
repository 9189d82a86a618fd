/**
 * The folder in which a run is kept: `config.json` (all settings, resolved), `model.json` (topology), `metrics.jsonl`
 * (every event), `checkpoints/`, `access.json` (port and token), and in the end `weights.safetensors` and `README.md`.
 */
import { createHash } from 'node:crypto';
import { appendFile, mkdir, readdir, readFile, rm, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import {
  decodeSafetensors,
  encodeSafetensors,
  LockstepError,
  type NamedTensor,
  type ParameterLayout,
  type TensorFile,
  tensorsOf,
} from '@lockstep/core';
import type { EngineChoice, Views } from '@lockstep/engine';
import type { TrainEvent } from '@lockstep/protocol';
import writeFileAtomic from 'write-file-atomic';
import { z } from 'zod';
import type { TrainConfig } from './config.ts';

/** Where runs are kept when nothing else is said. */
const RUNS_DIR = 'runs';

const files = {
  config: 'config.json',
  model: 'model.json',
  metrics: 'metrics.jsonl',
  weights: 'weights.safetensors',
  access: 'access.json',
  card: 'README.md',
} as const;

/** How workers find and enter a run; kept so that they find it again after a restart. */
const accessSchema = z.object({ port: z.int().min(1).max(65_535), token: z.string().optional() });
export type Access = z.infer<typeof accessSchema>;

/** SHA-256 of the flat parameter vector as little-endian float32, in hexadecimal. */
export function weightsSha256(parameters: Float32Array): string {
  // All processors that Node.js runs on keep float32 values in little-endian order.
  return createHash('sha256')
    .update(new Uint8Array(parameters.buffer, parameters.byteOffset, parameters.byteLength))
    .digest('hex');
}

/** A model's name without what file systems do not like. */
export const fileNameOf = (modelName: string): string => modelName.replaceAll(/[^\w.-]+/g, '_');

/** What `config.json` holds. */
export interface RunDescription {
  readonly startedAt: string;
  readonly node: string;
  readonly platform: string;
  readonly engine: EngineChoice;
  readonly config: Omit<TrainConfig, 'token' | 'port'>;
  readonly dataset: {
    readonly name: 'fashion-mnist' | 'synthetic';
    readonly source: string;
    readonly reason: string;
    readonly checksums?: 'match' | 'differ' | undefined;
    readonly sha256: string;
    readonly trainSamples: number;
    readonly testSamples: number;
    readonly validationSamples?: number | undefined;
  };
}

const unwritable = (path: string, error: unknown): LockstepError =>
  new LockstepError(
    'output-unwritable',
    `Cannot write ${path}: ${(error as Error).message}.`,
    'Choose another folder with --run-dir, or free space.',
    { cause: error },
  );

export class RunFolder {
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  /**
   * Makes the folder.
   * @param path as the user said, or undefined for `runs/<time>-<model>`
   * @throws LockstepError `output-unwritable`; `usage` when the folder holds a run already
   */
  static async create(path: string | undefined, modelName: string, now: Date): Promise<RunFolder> {
    const time = now.toISOString().slice(0, 19).replaceAll(':', '-');
    const wanted = path ?? join(RUNS_DIR, `${time}-${fileNameOf(modelName)}`);
    try {
      if (path === undefined) {
        await mkdir(RUNS_DIR, { recursive: true });
        return new RunFolder(await makeUnique(wanted));
      }
      await mkdir(path, { recursive: true });
      if ((await readdir(path)).includes(files.config)) {
        throw new LockstepError(
          'usage',
          `--run-dir ${path} holds a run already.`,
          'Name a new folder, or remove that one.',
        );
      }
      return new RunFolder(path);
    } catch (error) {
      throw error instanceof LockstepError ? error : unwritable(wanted, error);
    }
  }

  async #write(name: string, content: string | Uint8Array, mode?: number): Promise<void> {
    const path = join(this.path, name);
    try {
      await writeFileAtomic(path, content as string | Buffer, mode === undefined ? {} : { mode });
    } catch (error) {
      throw unwritable(path, error);
    }
  }

  async writeConfig(description: RunDescription): Promise<void> {
    await this.#write(files.config, `${JSON.stringify(description, undefined, 2)}\n`);
  }

  /** Readable for the owner alone: it may hold the token. */
  async writeAccess(access: Access): Promise<void> {
    await this.#write(files.access, `${JSON.stringify(access)}\n`, 0o600);
  }

  /** Nobody enters a finished run. */
  async removeAccess(): Promise<void> {
    await rm(join(this.path, files.access), { force: true });
  }

  /** Undefined when the run did not get so far, or the file is damaged: a new port and token do as well. */
  async readAccess(): Promise<Access | undefined> {
    const text = await readFile(join(this.path, files.access), 'utf8').catch(() => undefined);
    try {
      return text === undefined ? undefined : accessSchema.parse(JSON.parse(text));
    } catch {
      return undefined;
    }
  }

  /** A tf.js layers model without weights. */
  async writeModel(modelTopology: unknown): Promise<void> {
    const model = { format: 'layers-model', generatedBy: 'lockstep', modelTopology, weightsManifest: [] };
    await this.#write(files.model, `${JSON.stringify(model, undefined, 2)}\n`);
  }

  /** The model card. */
  async writeCard(markdown: string): Promise<void> {
    await this.#write(files.card, markdown);
  }

  /** What the run said so far, in order. */
  async readEvents(): Promise<TrainEvent[]> {
    const text = await readFile(join(this.path, files.metrics), 'utf8');
    // The process may have been ended while it wrote a line.
    return text.split('\n').flatMap((line): TrainEvent[] => {
      try {
        return [JSON.parse(line) as TrainEvent];
      } catch {
        return [];
      }
    });
  }

  async appendEvent(event: TrainEvent): Promise<void> {
    const path = join(this.path, files.metrics);
    try {
      await appendFile(path, `${JSON.stringify({ time: new Date().toISOString(), ...event })}\n`);
    } catch (error) {
      throw unwritable(path, error);
    }
  }

  async writeWeights(
    layout: ParameterLayout,
    parameters: Float32Array,
    metadata: Record<string, string>,
  ): Promise<void> {
    await this.#write(files.weights, encodeSafetensors({ tensors: tensorsOf(layout, parameters), metadata }));
  }

  /** An existing folder, to go on with its run. */
  static open(path: string): RunFolder {
    return new RunFolder(path);
  }
}

/** Appends a number when another run started in the same second. */
async function makeUnique(path: string): Promise<string> {
  for (let i = 1; ; i++) {
    const candidate = i === 1 ? path : `${path}-${i}`;
    try {
      await mkdir(candidate);
      return candidate;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
  }
}

/** A finished run, as read back. */
export interface SavedRun {
  readonly path: string;
  readonly modelTopology: unknown;
  readonly tensors: readonly NamedTensor[];
  /** Of the file of weights. */
  readonly metadata: TensorFile['metadata'];
}

/** The views of each picture on which a run was evaluated, but for those that were asked for. */
export const savedViews = (
  { metadata }: SavedRun,
  asked: { readonly testFlip?: boolean | undefined; readonly testShift?: number | undefined } = {},
): Views => ({
  flip: asked.testFlip ?? metadata.testFlip === 'true',
  shift: asked.testShift ?? Number(metadata.testShift ?? 0),
});

/** The newest run in `runs/` that has a file. @throws LockstepError `run-not-found` */
async function latestRun(file: string, what: string): Promise<string> {
  const names = await readdir(RUNS_DIR).catch(() => []);
  const dated = await Promise.all(
    names.map(async (name) => {
      const path = join(RUNS_DIR, name);
      const info = await stat(join(path, file)).catch(() => undefined);
      return { path, time: info?.mtimeMs };
    }),
  );
  const latest = dated.filter(({ time }) => time !== undefined).sort((a, b) => b.time! - a.time!)[0];
  if (latest) return latest.path;
  throw new LockstepError(
    'run-not-found',
    `There is no ${what} run in ${resolve(RUNS_DIR)}.`,
    'Train one with lockstep train, or give the folder of a run.',
  );
}

/** Reads a file of a run. @throws LockstepError `run-not-found` */
async function readFileOf(folder: string, name: string, what: string): Promise<Buffer> {
  try {
    return await readFile(join(folder, name));
  } catch (error) {
    throw new LockstepError(
      'run-not-found',
      `${folder} is not the folder of a ${what} run: ${name} cannot be read (${(error as NodeJS.ErrnoException).code}).`,
      'Give the folder that lockstep train named, or "latest".',
      { cause: error },
    );
  }
}

/** Parses a JSON file of a run. @throws LockstepError `run-not-found`, `run-invalid` */
async function readJsonOf(folder: string, name: string, what: string): Promise<unknown> {
  const text = (await readFileOf(folder, name, what)).toString('utf8');
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new LockstepError('run-invalid', `${join(folder, name)} is not JSON.`, 'Restore the file, or train again.', {
      cause: error,
    });
  }
}

/** An unfinished run: its folder, the configuration it began with, and its model. */
export interface UnfinishedRun {
  readonly path: string;
  readonly config: TrainConfig;
  readonly modelTopology: unknown;
}

/**
 * Reads what is needed to go on with a run.
 * @param path its folder, or `latest`
 * @throws LockstepError `run-not-found`, `run-invalid`; `usage` when the run is finished
 */
export async function readUnfinishedRun(path: string): Promise<UnfinishedRun> {
  const folder = path === 'latest' ? await latestRun(files.config, 'unfinished') : path;
  const { config } = (await readDescription(folder)) as { config: TrainConfig };
  const { modelTopology } = (await readJsonOf(folder, files.model, 'started')) as { modelTopology: unknown };
  if (await stat(join(folder, files.weights)).catch(() => undefined)) {
    throw new LockstepError('usage', `The run in ${folder} is finished.`, 'Start a new one without --resume.');
  }
  return { path: folder, config, modelTopology };
}

/** What a run wrote down at its beginning. @throws LockstepError `run-not-found`, `run-invalid` */
export async function readDescription(folder: string): Promise<RunDescription> {
  const description = (await readJsonOf(folder, files.config, 'started')) as Partial<RunDescription> | null;
  if (description?.config && description.dataset) return description as RunDescription;
  const path = join(folder, files.config);
  throw new LockstepError('run-invalid', `${path} does not describe a run.`, 'Restore the file, or train again.');
}

/**
 * Reads a finished run.
 * @param path its folder, or `latest`
 * @throws LockstepError `run-not-found`, `run-invalid`
 */
export async function readRun(path: string): Promise<SavedRun> {
  const folder = path === 'latest' ? await latestRun(files.weights, 'finished') : path;
  const { modelTopology } = (await readJsonOf(folder, files.model, 'finished')) as { modelTopology: unknown };
  const bytes = await readFileOf(folder, files.weights, 'finished');
  const { tensors, metadata } = decodeSafetensors(bytes, join(folder, files.weights));
  return { path: folder, modelTopology, tensors, metadata };
}
