/** The tutorial's kind of convolutional net with batch normalization, and how to train it well. */
import { sequential } from './keras-json.ts';
import { defaultRecipe, type ZooModel } from './recipe.ts';

/** Pooling comes first: normalizing and rectifying a quarter of the pixels costs a quarter. */
const block = (filters: number): [className: string, config: object][] => [
  ['Conv2D', { filters, kernel_size: [3, 3], padding: 'same', use_bias: false, kernel_initializer: 'he_normal' }],
  ['MaxPooling2D', { pool_size: [2, 2] }],
  ['BatchNormalization', { momentum: 0.9, epsilon: 1e-5 }],
  ['Activation', { activation: 'relu' }],
];

export const cnn: ZooModel = {
  topology: sequential(
    'cnn',
    [28, 28, 1],
    [
      ...block(32),
      ...block(64),
      ['Flatten'],
      ['Dense', { units: 128, activation: 'relu' }],
      ['Dropout', { rate: 0.3 }],
      ['Dense', { units: 10, activation: 'softmax' }],
    ],
  ),
  recipe: {
    ...defaultRecipe,
    epochs: 15,
    batchSize: 256,
    optimizer: 'muon',
    learningRate: 0.006,
    schedule: 'one-cycle',
    weightDecay: 0.02,
    labelSmoothing: 0.05,
    flip: true,
    shift: 1,
    testFlip: true,
  },
};
