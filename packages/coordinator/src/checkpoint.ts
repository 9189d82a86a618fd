/**
 * Checkpoints: weights, optimizer state and what goes with them as safetensors, the position in the run as JSON beside it. Everything else is
 * computed again from those, to the same bits.
 */
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import {
  decodeSafetensors,
  encodeSafetensors,
  fillFromTensors,
  type ParameterLayout,
  type SumFormat,
  tensorsOf,
} from '@lockstep/core';
import writeFileAtomic from 'write-file-atomic';
import { z } from 'zod';
import { type TargetState, targetState } from './target.ts';
import { wireState } from './wire-choice.ts';

/** Where in the run the next step is. */
export interface Position {
  readonly epoch: number;
  /** In the epoch, from 0. */
  readonly step: number;
  /** In the run, from 0. */
  readonly runStep: number;
}

/** Sums over the steps of the current epoch before the position. */
export interface PartialEpoch {
  readonly lossSum: number;
  readonly numCorrect: number;
  readonly count: number;
}

export interface Checkpoint {
  readonly position: Position;
  readonly partialEpoch: PartialEpoch;
  readonly parameters: Float32Array;
  readonly optimizer: readonly Float32Array[];
  /** Moving average of the parameters, where the run keeps one. */
  readonly average: Float32Array | undefined;
  /** The parameters as the workers have them, where those are sent rounded changes. */
  readonly reference: Float32Array | undefined;
  /** Undefined in checkpoints of earlier versions. */
  readonly target: TargetState | undefined;
  /** Kinds of engines that have taken part so far. */
  readonly engines: readonly string[];
  /** In which gradients travel; undefined while that is not decided. */
  readonly wire: SumFormat | undefined;
}

const manifestSchema = z.object({
  /** What determines the result of the run; a checkpoint of another job is not taken. */
  job: z.string(),
  /** Of the safetensors file. */
  sha256: z.string(),
  position: z.object({ epoch: z.int(), step: z.int(), runStep: z.int() }),
  partialEpoch: z.object({ lossSum: z.number(), numCorrect: z.number(), count: z.number() }),
  target: targetState.optional(),
  wire: wireState.optional(),
  engines: z.array(z.string()).optional(),
});

const FOLDER = 'checkpoints';
const MANIFEST = /^\d{9}\.json$/;
const OPTIMIZER = 'optimizer/';
const AVERAGE = 'average/parameters';
const REFERENCE = 'reference/parameters';

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** The checkpoints of one run folder. */
export class CheckpointStore {
  readonly #folder: string;
  readonly #layout: ParameterLayout;
  readonly #job: string;
  readonly #keep: number;

  /** @param job identifies what determines the run's result @param keep how many checkpoints to keep */
  constructor(runDir: string, layout: ParameterLayout, job: string, keep: number) {
    this.#folder = join(runDir, FOLDER);
    this.#layout = layout;
    this.#job = job;
    this.#keep = keep;
  }

  /** Writes a checkpoint, and removes the oldest ones. The manifest comes last: without it, a checkpoint does not count. */
  async save({
    position,
    partialEpoch,
    parameters,
    optimizer,
    average,
    reference,
    target,
    wire,
    engines,
  }: Checkpoint): Promise<void> {
    await mkdir(this.#folder, { recursive: true });
    const state = optimizer.map((values, i) => ({ name: `${OPTIMIZER}${i}`, shape: [values.length], values }));
    if (average) state.push({ name: AVERAGE, shape: [average.length], values: average });
    if (reference) state.push({ name: REFERENCE, shape: [reference.length], values: reference });
    const bytes = encodeSafetensors({
      tensors: [...tensorsOf(this.#layout, parameters), ...state],
      metadata: { format: 'lockstep checkpoint' },
    });
    const manifest: z.infer<typeof manifestSchema> = {
      job: this.#job,
      sha256: sha256(bytes),
      position,
      partialEpoch,
      target,
      wire,
      engines: [...engines],
    };
    const base = join(this.#folder, String(position.runStep).padStart(9, '0'));
    await writeFileAtomic(`${base}.safetensors`, Buffer.from(bytes.buffer));
    await writeFileAtomic(`${base}.json`, `${JSON.stringify(manifest, undefined, 2)}\n`);
    for (const name of (await this.#manifests()).slice(this.#keep)) {
      await rm(join(this.#folder, name));
      await rm(join(this.#folder, name.replace('.json', '.safetensors')), { force: true });
    }
  }

  /**
   * Reads the newest checkpoint that is whole.
   * @param onSkipped receives a sentence about each newer one that is not
   */
  async loadLatest(onSkipped: (reason: string) => void): Promise<Checkpoint | undefined> {
    for (const name of await this.#manifests()) {
      try {
        return await this.#load(name);
      } catch (error) {
        onSkipped(`The checkpoint ${join(this.#folder, name)} cannot be used: ${(error as Error).message}`);
      }
    }
    return undefined;
  }

  /** Names of the manifests, newest first. */
  async #manifests(): Promise<string[]> {
    const names = await readdir(this.#folder).catch((): string[] => []);
    return names
      .filter((name) => MANIFEST.test(name))
      .sort()
      .reverse();
  }

  async #load(name: string): Promise<Checkpoint> {
    const manifest = manifestSchema.parse(JSON.parse(await readFile(join(this.#folder, name), 'utf8')));
    if (manifest.job !== this.#job) throw new Error('it belongs to another model, dataset, recipe or kind of engine.');
    const file = name.replace('.json', '.safetensors');
    const bytes = await readFile(join(this.#folder, file));
    if (sha256(bytes) !== manifest.sha256) throw new Error(`the checksum of ${file} is wrong: it is damaged.`);
    const { tensors } = decodeSafetensors(bytes, file);
    const parameters = new Float32Array(this.#layout.numParameters);
    fillFromTensors(this.#layout, parameters, tensors, file);
    const optimizer = tensors.filter(({ name }) => name.startsWith(OPTIMIZER)).map(({ values }) => values);
    const named = (wanted: string): Float32Array | undefined => tensors.find(({ name }) => name === wanted)?.values;
    const { position, partialEpoch, target, wire, engines = [] } = manifest;
    const [average, reference] = [named(AVERAGE), named(REFERENCE)];
    return { position, partialEpoch, parameters, optimizer, average, reference, target, wire, engines };
  }
}
