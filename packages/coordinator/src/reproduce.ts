/** The command that trains the same weights again. */
import { join, resolve } from 'node:path';
import type { ImageDataset } from '@lockstep/dataset';
import { defaultRecipe, type EngineKind, type ZooModel, zoo } from '@lockstep/engine';
import {
  checkOptions,
  RESUMABLE,
  recipeOf,
  resolveConfig,
  type TrainConfig,
  type TrainOptions,
  trainOptions,
} from './config.ts';

type OptionName = keyof TrainOptions;

export interface ReproducibleRun {
  readonly config: Omit<TrainConfig, 'token' | 'port'>;
  readonly dataset: Pick<ImageDataset, 'name' | 'source' | 'checksums'>;
  readonly engine: EngineKind;
  /** Its folder, which holds the topology. */
  readonly runDir: string;
}

/** Said in another way below. */
const SAID_APART: readonly OptionName[] = ['model', 'dataset', 'dataDir', 'engine', 'runDir', 'resume'];

/** A setting as its flag would say it: the configuration keeps what belongs to the optimizer together. */
function settingOf(config: ReproducibleRun['config'], name: OptionName): unknown {
  const { optimizer } = config;
  if (name === 'optimizer') return optimizer.name;
  if (name === 'momentum' || name === 'weightDecay') return optimizer[name];
  return (config as { readonly [name in OptionName]?: unknown })[name];
}

const flagOf = (name: string): string => `--${name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;

/** A word as a POSIX shell takes it literally. */
export const shellQuoted = (word: string): string =>
  /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;

/** Where the data is: the published files are the same everywhere; others are only where they were. */
function dataFlags({ config, dataset }: ReproducibleRun): string[] {
  const flags = ['--dataset', dataset.name];
  if (dataset.name === 'synthetic') return flags;
  const isNamed = config.dataDir !== undefined || dataset.checksums === 'differ';
  return isNamed ? [...flags, '--data-dir', resolve(dataset.source)] : flags;
}

/** The words of `lockstep train …`: whatever the result depends on and differs from the defaults of the model. */
function reproductionWords(run: ReproducibleRun): string[] {
  const { config } = run;
  const known = (zoo as { readonly [name: string]: ZooModel })[config.model];
  const recipe = recipeOf(config, known?.recipe ?? defaultRecipe);
  const model = known ? config.model : resolve(join(run.runDir, 'model.json'));
  const words = ['lockstep', 'train', '--model', model, ...dataFlags(run), '--engine', run.engine];
  // Another optimizer has defaults of its own, and another batch size another learning rate.
  const optimizer = config.optimizer.name;
  const { batchSize } = config;
  const usual = resolveConfig(
    checkOptions(optimizer === recipe.optimizer ? { batchSize } : { optimizer, batchSize }),
    recipe,
  );
  const plain = resolveConfig(checkOptions({}), recipe);
  for (const name of Object.keys(trainOptions.shape) as OptionName[]) {
    if (SAID_APART.includes(name) || (RESUMABLE.includes(name) && name !== 'device')) continue;
    const value = settingOf(config, name);
    const otherwise = settingOf(name === 'optimizer' || name === 'batchSize' ? plain : usual, name);
    if (value === undefined || value === otherwise) continue;
    if (value === true) words.push(flagOf(name));
    else if (value === false) words.push(flagOf(name).replace('--', '--no-'));
    else words.push(flagOf(name), String(value));
  }
  return words;
}

export const reproductionCommand = (run: ReproducibleRun): string =>
  ['npx', ...reproductionWords(run)].map(shellQuoted).join(' ');
