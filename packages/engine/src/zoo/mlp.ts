/** The tutorial's dense net, 784-256-10, and how to train it well. */
import { sequential } from './keras-json.ts';
import { defaultRecipe, type ZooModel } from './recipe.ts';

export const mlp: ZooModel = {
  topology: sequential(
    'mlp',
    [28, 28, 1],
    [['Flatten'], ['Dense', { units: 256, activation: 'relu' }], ['Dense', { units: 10, activation: 'softmax' }]],
  ),
  recipe: {
    ...defaultRecipe,
    batchSize: 2048,
    optimizer: 'muon',
    learningRate: 0.014,
    schedule: 'one-cycle',
    // Less than usual: a run has 300 steps, and their gradients have little noise.
    momentum: 0.8,
    weightDecay: 0.02,
    labelSmoothing: 0.15,
  },
};
