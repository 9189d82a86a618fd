/** Finds the model that `--model` names: one of the zoo, or a file. */
import { readFile } from 'node:fs/promises';
import { LockstepError } from '@lockstep/core';
import type { ImageDataset } from '@lockstep/dataset';
import {
  defaultRecipe,
  type Network,
  parseTopology,
  type Recipe,
  type ZooModel,
  zoo,
  zooNames,
} from '@lockstep/engine';

export interface LoadedModel {
  /** For file names and displays. */
  readonly name: string;
  readonly topology: unknown;
  readonly network: Network;
  readonly recipe: Recipe;
}

/**
 * Loads a model.
 * @param nameOrPath a name of the zoo or the path of a Keras topology in JSON
 * @throws LockstepError `usage` when there is neither, `model-invalid` or `model-unsupported` as parseTopology does
 */
export async function loadModel(nameOrPath: string): Promise<LoadedModel> {
  const known = (zoo as { readonly [name: string]: ZooModel })[nameOrPath];
  if (known) {
    return { name: nameOrPath, topology: known.topology, network: parseTopology(known.topology), recipe: known.recipe };
  }
  let text: string;
  try {
    text = await readFile(nameOrPath, 'utf8');
  } catch (error) {
    throw new LockstepError(
      'usage',
      `--model ${nameOrPath} is neither a known model nor a file that can be read (${(error as NodeJS.ErrnoException).code}).`,
      `Known models: ${zooNames.join(', ')}. Or give the path of a Keras or tf.js model.json.`,
      { cause: error },
    );
  }
  const topology = parseJson(text, nameOrPath);
  const network = parseTopology(topology);
  return { name: network.name, topology, network, recipe: defaultRecipe };
}

/** The model of a run that was saved. Its recipe is in the run's configuration. */
export function savedModel(topology: unknown): LoadedModel {
  const network = parseTopology(topology);
  return { name: network.name, topology, network, recipe: defaultRecipe };
}

function parseJson(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new LockstepError(
      'model-invalid',
      `${path} is not JSON: ${(error as Error).message}.`,
      'Give the model.json that tf.js or Keras wrote.',
      { cause: error },
    );
  }
}

/** @throws LockstepError `model-unsupported` when the model does not fit the pictures and classes of the data */
export function checkFits(network: Network, dataset: ImageDataset): void {
  if (network.inputShape.join() !== dataset.imageShape.join()) {
    throw new LockstepError(
      'model-unsupported',
      `The model takes pictures of ${network.inputShape.join(' x ')}, but those of ${dataset.name} are ${dataset.imageShape.join(' x ')}.`,
      `Give its input the shape [${dataset.imageShape.join(', ')}].`,
    );
  }
  if (network.numClasses !== dataset.classNames.length) {
    throw new LockstepError(
      'model-unsupported',
      `The model tells ${network.numClasses} classes apart, but ${dataset.name} has ${dataset.classNames.length}.`,
      `Give its last layer ${dataset.classNames.length} units.`,
    );
  }
}
