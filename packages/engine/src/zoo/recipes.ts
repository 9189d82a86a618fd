/** The models that Lockstep knows by name, each with the recipe that trains it well. */
import type { OptimizerName, ScheduleName } from '@lockstep/core';
import { cnn } from './cnn.ts';
import { mlp } from './mlp.ts';
import { resnet } from './resnet.ts';

/** Training settings that suit a model; each can be overridden by its flag. */
export interface Recipe {
  readonly epochs: number;
  /** Samples per step, over all shards. */
  readonly batchSize: number;
  readonly optimizer: OptimizerName;
  readonly learningRate: number;
  readonly schedule: ScheduleName;
  readonly warmupSteps: number;
  readonly weightDecay: number;
  readonly labelSmoothing: number;
  /** Random changes of the training pictures: mirrored; moved by up to so many pixels; erased in part, with this probability. */
  readonly flip: boolean;
  readonly shift: number;
  readonly erase: number;
  /** Decay of the moving average of the weights; 0 for none. */
  readonly ema: number;
  /** Evaluate on the mean over each picture and its mirror image. */
  readonly testFlip: boolean;
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
  weightDecay: 0,
  labelSmoothing: 0,
  flip: false,
  shift: 0,
  erase: 0,
  ema: 0,
  testFlip: false,
};

export const zoo = {
  // Chosen on 5,000 pictures held out from training (--validation 5000), seeds 0 and 1.
  mlp: {
    topology: mlp,
    recipe: {
      ...defaultRecipe,
      batchSize: 128,
      optimizer: 'adamw',
      learningRate: 0.003,
      schedule: 'one-cycle',
      weightDecay: 0.02,
      labelSmoothing: 0.15,
    },
  },
  cnn: { topology: cnn, recipe: { ...defaultRecipe, learningRate: 0.003 } },
  resnet: { topology: resnet, recipe: { ...defaultRecipe, learningRate: 0.01, warmupSteps: 100 } },
} as const satisfies { [name: string]: ZooModel };

export type ZooName = keyof typeof zoo;
export const zooNames = Object.keys(zoo) as ZooName[];
