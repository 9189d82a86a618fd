/**
 * Models of the layers that the engine `native` computes, in sizes that do not fit: channels that fill no vector, edges that cut tiles,
 * windows and strides of all kinds.
 */
import { type ContractModel, type Edge, functional3, layer, type Picture, sequential } from './models.ts';

const picture: Picture = [9, 8, 1];

const relu = (name: string) => layer('Activation', name, { activation: 'relu' });
const dense = (name: string, units: number, config = {}) => layer('Dense', name, { units, ...config });
const conv = (name: string, filters: number, kernel: number | readonly number[], config = {}) =>
  layer('Conv2D', name, { filters, kernel_size: kernel, ...config });
const norm = (name: string, config = {}) => layer('BatchNormalization', name, config);
const flatten = layer('Flatten', 'flatten');
const head = dense('head', 4, { activation: 'softmax' });
const same = { padding: 'same' };

/** Small enough to be differentiated, large enough for tiles of every kind in the middle and at the edges. */
const tiled = (size: number, config: object): ContractModel =>
  sequential(
    `3 x 3 convolutions of ${size} x ${size} pixels, ${JSON.stringify(config)}`,
    [size, size, 2],
    [
      conv('first', 3, 1),
      conv('second', 18, 3, { use_bias: false, ...config }),
      relu('second_relu'),
      conv('third', 5, 3, config),
      layer('GlobalAveragePooling2D', 'mean'),
      head,
    ],
  );

const residual: readonly Edge[] = [
  [conv('stem', 4, 3, { padding: 'same', use_bias: false }), 'picture'],
  [norm('stem_norm', { momentum: 0.9 }), 'stem'],
  [relu('stem_relu'), 'stem_norm'],
  [conv('inner', 4, 3, same), 'stem_relu'],
  [norm('inner_norm', { epsilon: 1e-5, center: false }), 'inner'],
  [layer('Add', 'two'), 'inner_norm', 'stem_relu'],
  [layer('ReLU', 'two_relu'), 'two'],
  // The same tensor twice: its gradients add up.
  [layer('Add', 'four'), 'two_relu', 'stem_norm', 'two_relu'],
  [layer('Dropout', 'dropout', { rate: 0.25 }), 'four'],
  [layer('GlobalAveragePooling2D', 'mean', { keepdims: true }), 'dropout'],
  [flatten, 'mean'],
  [head, 'flatten'],
];

const plain = sequential('dense layers', picture, [
  flatten,
  dense('wide', 40, { activation: 'relu' }),
  layer('Dropout', 'wide_dropout', { rate: 0.3 }),
  dense('unbiased', 16, { use_bias: false }),
  relu('unbiased_relu'),
  dense('linear', 7),
  head,
]);

export const nativeModels: readonly ContractModel[] = [
  plain,
  sequential('batch norm of rows', picture, [
    flatten,
    dense('many', 72),
    norm('norm'),
    relu('norm_relu'),
    dense('few', 5),
    norm('bare', { center: false, scale: false }),
    head,
  ]),
  sequential(
    'windows of all kinds',
    [17, 16, 1],
    [
      conv('strided', 6, [3, 2], { strides: [2, 1], activation: 'relu' }),
      conv('oblong', 20, [2, 3], { ...same, activation: 'relu' }),
      conv('square', 18, 3, { ...same, activation: 'relu' }),
      layer('MaxPooling2D', 'square_pool', { pool_size: [2, 1] }),
      norm('norm', { scale: false }),
      conv('pointwise', 33, 1),
      layer('MaxPooling2D', 'pool', { pool_size: [2, 2] }),
      conv('wide', 3, [2, 3], { use_bias: false }),
      flatten,
      head,
    ],
  ),
  sequential(
    'pooling that leaves pixels out',
    [11, 10, 3],
    [
      conv('features', 17, 3, { ...same, strides: 1 }),
      layer('MaxPooling2D', 'thirds', { pool_size: [2, 3], strides: [3, 3] }),
      norm('norm'),
      relu('norm_relu'),
      // Flattened while its channels are filled up.
      flatten,
      norm('flat_norm'),
      head,
    ],
  ),
  sequential(
    'strides without gradients',
    [10, 9, 2],
    [
      // As large as its input, so that every tap is an own row of the gradient.
      conv('far', 16, 5, { strides: [2, 3], padding: 'same', use_bias: false }),
      layer('MaxPooling2D', 'pool', { pool_size: [1, 2] }),
      flatten,
      head,
    ],
  ),
  sequential(
    'kernels with many rows',
    [6, 5, 1],
    [
      conv('first', 16, 2, { activation: 'relu' }),
      conv('second', 16, [2, 3], { ...same, activation: 'relu' }),
      flatten,
      head,
    ],
  ),
  ...[3, 4, 6, 7].map((size) => tiled(size, same)),
  tiled(8, { padding: 'valid' }),
  functional3('residual', [6, 7, 2], residual),
];

/**
 * A dense layer makes a picture in which every position has a weight of its own, so that the gradient shows which of equal values won.
 */
const ties = sequential('ties', picture, [
  flatten,
  dense('values', 480),
  layer('Reshape', 'values_picture', { target_shape: [6, 5, 16] }),
  layer('MaxPooling2D', 'pool', { pool_size: [2, 2] }),
  layer('Flatten', 'pool_flat'),
  head,
]);

export const nativeSpecial = { plain, ties };
