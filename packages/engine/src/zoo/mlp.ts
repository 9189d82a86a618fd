/** The tutorial's dense net, 784-256-10, and how to train it well, or fast. */
import { sequential } from './keras-json.ts';
import { defaultRecipe, type Recipe, type ZooModel } from './recipe.ts';

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

/** Two short epochs with long steps, for more than the tutorial's accuracy in a fraction of its time. */
export const quick: Recipe = { ...mlp.recipe, epochs: 2, batchSize: 1024, learningRate: 0.04, labelSmoothing: 0 };
