/** The tutorial's kind of convolutional net: two convolutions with pooling, one hidden dense layer with dropout. */
import { sequential } from './keras-json.ts';

export const cnn = sequential(
  'cnn',
  [28, 28, 1],
  [
    ['Conv2D', { filters: 32, kernel_size: [3, 3], activation: 'relu' }],
    ['MaxPooling2D', { pool_size: [2, 2] }],
    ['Conv2D', { filters: 64, kernel_size: [3, 3], activation: 'relu' }],
    ['MaxPooling2D', { pool_size: [2, 2] }],
    ['Flatten'],
    ['Dense', { units: 128, activation: 'relu' }],
    ['Dropout', { rate: 0.3 }],
    ['Dense', { units: 10, activation: 'softmax' }],
  ],
);
