/** What a recipe holds: a topology, and how to train it well. */
import type { OptimizerName, ScheduleName } from '@lockstep/core';

/** Training settings that suit a model; each can be overridden by its flag. */
export interface Recipe {
  readonly epochs: number;
  /** Samples per step, over all shards. */
  readonly batchSize: number;
  readonly optimizer: OptimizerName;
  /** At the peak, for `batchSize`; {@link learningRateFor} has it for others. */
  readonly learningRate: number;
  readonly schedule: ScheduleName;
  readonly warmupSteps: number;
  /** Of an optimizer that has any; undefined for its default. */
  readonly momentum: number | undefined;
  readonly weightDecay: number;
  readonly labelSmoothing: number;
  /** Random changes of the training pictures: mirrored; moved by up to so many pixels; erased in part, with this probability. */
  readonly flip: boolean;
  readonly shift: number;
  readonly erase: number;
  /** Decay of the moving average of the weights; 0 for none. */
  readonly ema: number;
  /** Evaluate on the mean over each picture and its mirror image; both also moved by so many pixels. */
  readonly testFlip: boolean;
  readonly testShift: number;
}

export interface ZooModel {
  readonly topology: unknown;
  readonly recipe: Recipe;
}

/** What a user's own model.json gets: the tutorial's optimizer, with the rate falling to zero. */
export const defaultRecipe: Recipe = {
  epochs: 10,
  batchSize: 512,
  optimizer: 'adam',
  learningRate: 0.001,
  schedule: 'cosine',
  warmupSteps: 0,
  momentum: undefined,
  weightDecay: 0,
  labelSmoothing: 0,
  flip: false,
  shift: 0,
  erase: 0,
  ema: 0,
  testFlip: false,
  testShift: 0,
};

/** Of sgd, whose steps follow the size of the gradient, for batches of {@link defaultRecipe}'s size. */
const SGD_LEARNING_RATE = 0.1;

/**
 * The peak learning rate for an optimizer and batches of any size. The steps of a larger batch are fewer and less noisy: sgd
 * takes them longer in proportion (Goyal and others, 2017), the others by the square root (for Adam: Malladi and others,
 * 2022). Those others move weights by about their rate in each step, so the recipe's suits all of them.
 */
export function learningRateFor(recipe: Recipe, optimizer: OptimizerName, batchSize: number): number {
  if (optimizer !== 'sgd') return recipe.learningRate * Math.sqrt(batchSize / recipe.batchSize);
  const { learningRate, batchSize: suited } =
    recipe.optimizer === 'sgd' ? recipe : { ...defaultRecipe, learningRate: SGD_LEARNING_RATE };
  return (learningRate * batchSize) / suited;
}
