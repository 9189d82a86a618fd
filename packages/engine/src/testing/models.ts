/**
 * Small models that between them use every supported layer and option, in the spellings of Keras 2, Keras 3 and tf.js.
 * Pictures are tiny and not square, so that finite differences are cheap and swapped dimensions show.
 */

export interface ContractModel {
  readonly name: string;
  /** Keras topology, for `parseTopology`. */
  readonly topology: unknown;
}

type Config = Readonly<Record<string, unknown>>;

export interface Layer {
  readonly class_name: string;
  readonly config: Config;
  readonly inbound_nodes?: readonly unknown[];
}

export type Picture = readonly [height: number, width: number, channels: number];

export const layer = (className: string, name: string, config: Config = {}): Layer => ({
  class_name: className,
  config: { name, ...config },
});

/** A Sequential model as tf.js writes it: the first layer says the input shape. */
export function sequential(name: string, input: Picture, layers: readonly Layer[]): ContractModel {
  const [first, ...rest] = layers;
  const entry = { ...first!, config: { ...first!.config, batch_input_shape: [null, ...input] } };
  return { name, topology: { class_name: 'Sequential', config: { name, layers: [entry, ...rest] } } };
}

/** The same as Keras 3 writes it: an InputLayer with `batch_shape`, wrapped as in a `model.json`. */
export function sequential3(name: string, input: Picture, layers: readonly Layer[]): ContractModel {
  const entry = layer('InputLayer', 'picture', { batch_shape: [null, ...input] });
  const model = { class_name: 'Sequential', config: { name, layers: [entry, ...layers] } };
  return { name, topology: { modelTopology: { keras_version: '3.9.0', model_config: model } } };
}

/** A layer and the names of those it reads. */
export type Edge = readonly [layer: Layer, ...inputs: string[]];

const functionalModel = (className: string, name: string, layers: readonly Layer[]): ContractModel => {
  const output = [layers.at(-1)!.config.name, 0, 0];
  const config = { name, layers, input_layers: [['picture', 0, 0]], output_layers: [output] };
  return { name, topology: { class_name: className, config } };
};

/** A functional model as Keras 2 and tf.js write it; its input is called `picture`. */
export function functional2(name: string, input: Picture, edges: readonly Edge[]): ContractModel {
  const entry = { ...layer('InputLayer', 'picture', { batch_input_shape: [null, ...input] }), inbound_nodes: [] };
  const others = edges.map(
    ([node, ...inputs]): Layer => ({ ...node, inbound_nodes: [inputs.map((from) => [from, 0, 0, {}])] }),
  );
  return functionalModel('Model', name, [entry, ...others]);
}

/** A functional model as Keras 3 writes it: calls with tensors as arguments. */
export function functional3(name: string, input: Picture, edges: readonly Edge[]): ContractModel {
  const entry = { ...layer('InputLayer', 'picture', { batch_shape: [null, ...input] }), inbound_nodes: [] };
  const tensor = (from: string) => ({
    class_name: '__keras_tensor__',
    config: { shape: [null], dtype: 'float32', keras_history: [from, 0, 0] },
  });
  const others = edges.map(([node, ...inputs]): Layer => {
    const tensors = inputs.map(tensor);
    return { ...node, inbound_nodes: [{ args: [tensors.length === 1 ? tensors[0] : tensors], kwargs: {} }] };
  });
  return functionalModel('Functional', name, [entry, ...others]);
}

const small: Picture = [7, 6, 2];
const larger: Picture = [9, 8, 1];

/** Large enough that ReLU6 meets its upper end. */
const wide = {
  class_name: 'VarianceScaling',
  config: { scale: 100, mode: 'fan_in', distribution: 'untruncated_normal' },
};

const dense = (name: string, units: number, config: Config = {}): Layer => layer('Dense', name, { units, ...config });
const conv = (name: string, filters: number, kernel: number | readonly number[], config: Config = {}): Layer =>
  layer('Conv2D', name, { filters, kernel_size: kernel, ...config });
const depthwise = (name: string, kernel: number | readonly number[], config: Config = {}): Layer =>
  layer('DepthwiseConv2D', name, { kernel_size: kernel, ...config });
const batchNorm = (name: string, config: Config = {}): Layer => layer('BatchNormalization', name, config);
const flatten = layer('Flatten', 'flatten');
const head = dense('head', 4, { activation: 'softmax' });

const denseModels: readonly ContractModel[] = [
  sequential('dense activations', small, [
    flatten,
    dense('relu', 6, { activation: 'relu' }),
    dense('tanh', 6, { activation: 'tanh', kernel_initializer: 'glorot_normal' }),
    dense('sigmoid', 6, { activation: 'sigmoid', use_bias: false }),
    dense('gelu', 6, { activation: 'gelu', kernel_initializer: { class_name: 'HeNormal', config: { seed: null } } }),
    dense('gelu_new', 6, { activation: 'gelu_new' }),
    dense('linear', 5, { activation: 'linear' }),
    head,
  ]),
  sequential('batch norm of many channels', small, [flatten, dense('many', 72), batchNorm('norm'), head]),
  sequential3('relu6 and softmax in the middle', small, [
    flatten,
    dense('relu6', 12, { activation: 'relu6', kernel_initializer: wide }),
    dense('softmax', 6, { activation: 'softmax' }),
    dense('logits', 4, { kernel_initializer: wide }),
  ]),
  sequential('activation layers and dropout', small, [
    flatten,
    dense('a', 12),
    layer('Activation', 'a_gelu', { activation: 'gelu' }),
    layer('Dropout', 'a_dropout', { rate: 0.3, noise_shape: null, seed: 1 }),
    dense('b', 12, { kernel_initializer: wide }),
    layer('ReLU', 'b_relu6', { max_value: 6 }),
    dense('c', 10),
    layer('ReLU', 'c_relu', { max_value: null, negative_slope: 0, threshold: 0 }),
    layer('Dropout', 'c_dropout', { rate: 0.5 }),
    dense('d', 6),
    layer('Softmax', 'd_softmax', { axis: -1 }),
    layer('Dropout', 'no_dropout', { rate: 0 }),
    dense('logits', 4),
    layer('Activation', 'probabilities', { activation: 'softmax' }),
  ]),
  sequential('dense on a sequence', small, [
    layer('Reshape', 'rows', { target_shape: [7, -1] }),
    dense('per_row', 5, { activation: 'tanh' }),
    layer('Reshape', 'columns', { target_shape: [5, 7] }),
    layer('Softmax', 'attention'),
    layer('Activation', 'nothing', { activation: 'linear' }),
    flatten,
    head,
  ]),
];

const convolutionModels: readonly ContractModel[] = [
  sequential('conv valid', larger, [
    conv('odd', 3, 3, { activation: 'relu' }),
    conv('even', 4, [2, 2], { use_bias: false, activation: 'tanh' }),
    conv('oblong', 3, [3, 2], { strides: [2, 1] }),
    flatten,
    head,
  ]),
  sequential3('conv same', larger, [
    conv('odd', 3, [3, 3], { padding: 'same', activation: 'relu', data_format: 'channels_last' }),
    conv('even', 3, [2, 4], { padding: 'same', use_bias: false, activation: 'sigmoid' }),
    conv('strided', 4, [3, 3], { padding: 'same', strides: [2, 2], activation: 'gelu' }),
    conv('strided_even', 3, [4, 4], { padding: 'same', strides: 2 }),
    flatten,
    head,
  ]),
  sequential('conv strides', small, [
    // Strides larger than the window leave pixels out; one by one is a matrix product.
    conv('skipping', 3, 2, { strides: 3, padding: 'same', activation: 'relu6' }),
    conv('pointwise', 5, 1, { activation: 'gelu_new' }),
    conv('pointwise_strided', 3, 1, { strides: 2, dilation_rate: [1, 1], groups: 1 }),
    flatten,
    head,
  ]),
  // As many channels as engines put into one block, and twice as many.
  sequential(
    'conv of many channels',
    [6, 5, 16],
    [
      conv('same', 16, 3, { padding: 'same', activation: 'tanh' }),
      batchNorm('norm'),
      conv('oblong', 32, [2, 3], { padding: 'same', use_bias: false, activation: 'sigmoid' }),
      conv('valid', 16, [2, 3], { activation: 'gelu' }),
      conv('strided', 16, 3, { padding: 'same', strides: [2, 1] }),
      flatten,
      head,
    ],
  ),
  sequential('depthwise', small, [
    depthwise('plain', [3, 3], { padding: 'same', activation: 'relu' }),
    depthwise('multiplied', [2, 3], { depth_multiplier: 2, strides: [1, 1] }),
    depthwise('strided', 3, { depth_multiplier: 2, strides: 2, padding: 'same', use_bias: false, activation: 'tanh' }),
    conv('pointwise', 3, 1),
    flatten,
    head,
  ]),
  functional3('padding and branches', small, [
    [
      layer('ZeroPadding2D', 'pad', {
        padding: [
          [1, 2],
          [0, 1],
        ],
      }),
      'picture',
    ],
    [conv('left', 3, 3, { activation: 'relu' }), 'pad'],
    [conv('right', 2, 3, { activation: 'tanh' }), 'pad'],
    [layer('Concatenate', 'channels', { axis: -1 }), 'left', 'right'],
    [layer('ZeroPadding2D', 'pad_more', { padding: 1 }), 'channels'],
    [layer('MaxPooling2D', 'pool', { pool_size: [2, 2] }), 'pad_more'],
    [layer('ZeroPadding2D', 'pad_again', { padding: [1, 1] }), 'right'],
    [layer('AveragePooling2D', 'average', { pool_size: [3, 2], strides: [2, 2] }), 'pad_again'],
    [conv('match', 5, 1), 'average'],
    // Rows: the dimension 1 of [batch, height, width, channels].
    [layer('Concatenate', 'rows', { axis: 1 }), 'pool', 'match', 'pool'],
    [flatten, 'rows'],
    [head, 'flatten'],
  ]),
];

const poolingModels: readonly ContractModel[] = (['MaxPooling2D', 'AveragePooling2D'] as const).flatMap((pooling) => {
  const pool = (name: string, config: Config): Layer => layer(pooling, name, config);
  return [
    sequential(`${pooling} valid`, larger, [
      conv('features', 3, 2, { padding: 'same' }),
      // The last row falls off the edge.
      pool('halves', { pool_size: [2, 2] }),
      conv('mixed', 3, 2, { padding: 'same' }),
      pool('oblong', { pool_size: [3, 2], strides: [1, 2] }),
      flatten,
      head,
    ]),
    sequential3(`${pooling} same`, larger, [
      // No activation: negative values next to the padding would lose against a padding of zeros.
      conv('features', 3, 2, { bias_initializer: { class_name: 'Constant', config: { value: -1 } } }),
      pool('uneven', { pool_size: [3, 3], strides: [3, 3], padding: 'same' }),
      conv('mixed', 3, 2, { padding: 'same' }),
      pool('dense', { pool_size: [3, 2], strides: [1, 1], padding: 'same' }),
      flatten,
      head,
    ]),
    sequential(`${pooling} overlapping`, larger, [
      conv('features', 3, [2, 3], { padding: 'same', activation: 'relu' }),
      pool('overlap', { pool_size: [3, 3], strides: [2, 2] }),
      conv('mixed', 2, 2, { padding: 'same' }),
      pool('overlap_same', { pool_size: 3, strides: 2, padding: 'same' }),
      // Strides larger than the window.
      pool('single', { pool_size: 1, strides: 2 }),
      flatten,
      head,
    ]),
  ];
});

const residualEdges: readonly Edge[] = [
  [conv('stem', 4, 3, { padding: 'same', use_bias: false }), 'picture'],
  [batchNorm('stem_norm', { axis: [3], momentum: 0.9 }), 'stem'],
  [layer('Activation', 'stem_relu', { activation: 'relu' }), 'stem_norm'],
  [conv('inner', 4, 3, { padding: 'same' }), 'stem_relu'],
  [batchNorm('inner_norm', { epsilon: 1e-5, center: false }), 'inner'],
  [layer('Add', 'two'), 'inner_norm', 'stem_relu'],
  [layer('ReLU', 'two_relu'), 'two'],
  [depthwise('third', 3, { padding: 'same' }), 'two_relu'],
  // The same tensor twice: its gradients add up.
  [layer('Add', 'four'), 'third', 'two_relu', 'stem_norm', 'two_relu'],
  [layer('Dropout', 'dropout', { rate: 0.25 }), 'four'],
  [layer('GlobalAveragePooling2D', 'mean', { keepdims: true }), 'dropout'],
  [flatten, 'mean'],
  [head, 'flatten'],
];

const normalizationModels: readonly ContractModel[] = [
  sequential('batch normalization', small, [
    conv('features', 3, 3, { use_bias: false }),
    batchNorm('features_norm', { momentum: 0.9, epsilon: 1e-3 }),
    layer('Activation', 'features_relu', { activation: 'relu' }),
    batchNorm('bare', { center: false, scale: false }),
    flatten,
    dense('hidden', 6),
    batchNorm('hidden_norm', { scale: false, epsilon: 0.01 }),
    layer('Activation', 'hidden_tanh', { activation: 'tanh' }),
    head,
  ]),
  sequential3('batch normalization of the picture', small, [
    batchNorm('picture_norm'),
    conv('features', 4, 3, { strides: 2, activation: 'relu' }),
    layer('GlobalAveragePooling2D', 'mean', { keepdims: false }),
    batchNorm('mean_norm', { epsilon: 0.1 }),
    head,
  ]),
  functional2('residual, Keras 2', small, residualEdges),
  functional3('residual, Keras 3', small, residualEdges),
];

/**
 * Exact ties in overlapping and padded windows: a dense layer makes a picture in which every position has a weight of its
 * own, so that the gradient shows which of equal values won. The contract sets its kernel to zero and its bias to
 * few different values, which every engine adds up without rounding.
 */
export const tieModel: ContractModel = functional2('ties', small, [
  [flatten, 'picture'],
  [dense('values', 60), 'flatten'],
  [layer('Reshape', 'values_picture', { target_shape: [6, 5, 2] }), 'values'],
  [layer('MaxPooling2D', 'overlapping', { pool_size: [3, 3], strides: [2, 2], padding: 'same' }), 'values_picture'],
  [layer('MaxPooling2D', 'dense', { pool_size: [2, 2], strides: [1, 1] }), 'values_picture'],
  [layer('Flatten', 'overlapping_flat'), 'overlapping'],
  [layer('Flatten', 'dense_flat'), 'dense'],
  [layer('Concatenate', 'both'), 'overlapping_flat', 'dense_flat'],
  [head, 'both'],
]);

export const contractModels: readonly ContractModel[] = [
  ...denseModels,
  ...convolutionModels,
  ...poolingModels,
  ...normalizationModels,
];

/** The topology with all dropout off, for comparisons with what draws other masks. */
export const withoutDropout = (topology: unknown): unknown =>
  JSON.parse(JSON.stringify(topology), (key, value) => (key === 'rate' ? 0 : value));
