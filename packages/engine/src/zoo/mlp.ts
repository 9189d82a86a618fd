/** The tutorial's dense net: 784-256-10. */
import { sequential } from './keras-json.ts';

export const mlp = sequential(
  'mlp',
  [28, 28, 1],
  [['Flatten'], ['Dense', { units: 256, activation: 'relu' }], ['Dense', { units: 10, activation: 'softmax' }]],
);
