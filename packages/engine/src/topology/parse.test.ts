import { describe, expect, it } from 'vitest';
import { functional2, functional3, type Layer, layer, sequential, sequential3 } from '../testing/models.ts';
import { parseTopology } from './parse.ts';

const picture = [8, 6, 2] as const;
const flatten = layer('Flatten', 'flatten');
const head = layer('Dense', 'head', { units: 3, activation: 'softmax' });
const conv = (config: object = {}): Layer => layer('Conv2D', 'features', { filters: 4, kernel_size: 3, ...config });

const parse = (model: { topology: unknown }) => parseTopology(model.topology);
/** A model with `layers` between its picture and its head. */
const withLayers = (...layers: Layer[]) => sequential('model', picture, [...layers, flatten, head]).topology;

describe('parseTopology', () => {
  it('works out shapes and the places of parameters', () => {
    const network = parse(
      sequential('small', picture, [
        conv({ strides: [2, 1], padding: 'same', activation: 'relu' }),
        layer('BatchNormalization', 'norm', { momentum: 0.9, axis: [3] }),
        layer('DepthwiseConv2D', 'depthwise', { kernel_size: [2, 3], depth_multiplier: 2, use_bias: false }),
        layer('MaxPooling2D', 'pool', { pool_size: [2, 2], padding: 'same' }),
        layer('Dropout', 'dropout', { rate: 0.5 }),
        flatten,
        head,
      ]),
    );
    expect(network.nodes.map(({ id, shape }) => [id, shape.join(' x ')])).toEqual([
      ['input', '8 x 6 x 2'],
      ['features', '4 x 6 x 4'],
      ['features/relu', '4 x 6 x 4'],
      ['norm', '4 x 6 x 4'],
      ['depthwise', '3 x 4 x 8'],
      ['pool', '2 x 2 x 8'],
      ['dropout', '2 x 2 x 8'],
      ['flatten', '32'],
      ['head', '3'],
    ]);
    expect(network.layout.parameters.map(({ name, shape, offset }) => [name, shape.join(' x '), offset])).toEqual([
      ['features/kernel', '3 x 3 x 2 x 4', 0],
      ['features/bias', '4', 72],
      ['norm/gamma', '4', 76],
      ['norm/beta', '4', 80],
      ['depthwise/depthwise_kernel', '2 x 3 x 4 x 2', 84],
      ['head/kernel', '32 x 3', 132],
      ['head/bias', '3', 228],
      ['norm/moving_mean', '4', 231],
      ['norm/moving_variance', '4', 235],
    ]);
    expect(network.layout.numWeights).toBe(231);
    expect(network.layout.numParameters).toBe(239);
    expect(network.layout.parameters.filter(({ decays }) => decays).map(({ name }) => name)).toEqual([
      'features/kernel',
      'depthwise/depthwise_kernel',
      'head/kernel',
    ]);
    expect(network.layout.parameters.at(-1)!.momentum).toBe(0.9);
    expect(network).toMatchObject({ name: 'small', inputShape: picture, numClasses: 3, logits: 'head' });
    expect(network.dropouts).toEqual([{ rate: 0.5, size: 32 }]);
  });

  it.each([
    // The odd row or column of padding goes to the bottom or right, as in TensorFlow.
    [
      { kernel_size: 3, padding: 'same' },
      { top: 1, bottom: 1, left: 1, right: 1 },
    ],
    [
      { kernel_size: [2, 4], padding: 'SAME' },
      { top: 0, bottom: 1, left: 1, right: 2 },
    ],
    [
      { kernel_size: 3, strides: 2, padding: 'same' },
      { top: 0, bottom: 1, left: 0, right: 1 },
    ],
    [
      { kernel_size: 2, strides: 3, padding: 'same' },
      { top: 0, bottom: 0, left: 0, right: 0 },
    ],
    [
      { kernel_size: 3, padding: 'valid' },
      { top: 0, bottom: 0, left: 0, right: 0 },
    ],
  ])('resolves the padding of %j', (config, padding) => {
    const node = parseTopology(withLayers(conv(config))).nodes[1];
    expect(node).toMatchObject({ kind: 'conv2d', window: { padding } });
  });

  it('reads the spellings of Keras 2, Keras 3 and tf.js as one network', () => {
    const layers = [conv({ activation: 'relu', kernel_initializer: 'he_normal' }), flatten, head];
    const keras3 = [
      conv({
        activation: 'relu',
        strides: [1, 1],
        data_format: 'channels_last',
        dilation_rate: [1, 1],
        kernel_initializer: { module: 'keras.initializers', class_name: 'HeNormal', config: { seed: null } },
        bias_initializer: { module: 'keras.initializers', class_name: 'Zeros', config: {}, registered_name: null },
        kernel_regularizer: null,
      }),
      flatten,
      head,
    ];
    const withoutTopology = (model: { topology: unknown }) => ({ ...parse(model), modelTopology: undefined });
    const expected = withoutTopology(sequential('model', picture, layers));
    expect(withoutTopology(sequential3('model', picture, layers))).toEqual(expected);
    expect(withoutTopology(sequential3('model', picture, keras3))).toEqual(expected);
    const edges = layers.map((entry, i) => [entry, i === 0 ? 'picture' : String(layers[i - 1]!.config.name)] as const);
    expect(withoutTopology(functional2('model', picture, edges))).toEqual(expected);
    expect(withoutTopology(functional3('model', picture, edges))).toEqual(expected);
    // Layers in any order, and a Sequential model as a bare list.
    const { topology } = functional2('model', picture, edges);
    const model = topology as { config: { layers: unknown[] } };
    model.config.layers.reverse();
    expect(withoutTopology({ topology: model })).toEqual(expected);
    const list = (sequential('model', picture, layers).topology as { config: { layers: unknown } }).config.layers;
    expect(withoutTopology({ topology: { model_config: { class_name: 'Sequential', config: list } } })).toEqual(
      expected,
    );
  });

  it('leaves the last softmax to the loss, however it is spelled', () => {
    const logits = layer('Dense', 'head', { units: 3 });
    const linear = layer('Activation', 'linear', { activation: 'linear' });
    for (const end of [
      [head],
      [head, linear],
      [logits],
      [logits, linear],
      [logits, layer('Softmax', 'end')],
      [logits, layer('Softmax', 'end', { axis: [-1] }), linear],
      [logits, layer('Softmax', 'end', { axis: 1 })],
      [logits, layer('Activation', 'end', { activation: 'softmax' })],
    ]) {
      const network = parse(sequential('model', picture, [flatten, ...end]));
      expect(network.logits).toBe('head');
      expect(network.nodes.map(({ kind }) => kind)).toEqual(['input', 'reshape', 'dense']);
    }
  });

  it('accepts softmax along the last axis, however it is counted', () => {
    for (const axis of [undefined, -1, [-1], 3, [3]]) {
      const network = parseTopology(withLayers(layer('Softmax', 'channels', { axis })));
      expect(network.nodes[1]).toMatchObject({ kind: 'activation', activation: 'softmax', shape: picture });
    }
  });

  it('gives every node an id of its own, whatever the layers are called', () => {
    const network = parse(
      functional2('model', picture, [
        [layer('Conv2D', 'input', { filters: 4, kernel_size: 3, activation: 'relu' }), 'picture'],
        [layer('BatchNormalization', 'input/relu'), 'input'],
        [layer('ReLU', "input/relu'"), 'input/relu'],
        [flatten, "input/relu'"],
        [head, 'flatten'],
      ]),
    );
    const kinds = ['input', 'conv2d', 'activation', 'batchNorm', 'activation', 'reshape', 'dense'];
    expect(network.nodes.map(({ kind }) => kind)).toEqual(kinds);
    expect(new Set(network.nodes.map(({ id }) => id)).size).toBe(kinds.length);
    // A chain: each node reads the one before it.
    expect(network.nodes.slice(1).map(({ inputs }) => inputs)).toEqual(
      network.nodes.slice(0, -1).map(({ id }) => [id]),
    );
    expect(network.layout.parameters.map(({ name }) => name)).toEqual([
      'input/kernel',
      'input/bias',
      'input/relu/gamma',
      'input/relu/beta',
      'head/kernel',
      'head/bias',
      'input/relu/moving_mean',
      'input/relu/moving_variance',
    ]);
  });

  it('does not mind a fixed batch, nor a frozen layer without parameters', () => {
    const shape = { batch_input_shape: [32, ...picture], trainable: false };
    const layers = [layer('Flatten', 'flatten', shape), { ...head, config: { ...head.config, trainable: true } }];
    const network = parseTopology({ class_name: 'Sequential', config: { name: 'model', trainable: true, layers } });
    expect(network.inputShape).toEqual(picture);
  });

  it('reads initializers in either spelling', () => {
    const initializer = (spelling: unknown) =>
      parseTopology(withLayers(conv({ kernel_initializer: spelling }))).layout.parameters[0]!.initializer;
    expect(initializer('glorot_normal')).toEqual(initializer({ class_name: 'GlorotNormal', config: { seed: 3 } }));
    expect(initializer(undefined)).toEqual(initializer('glorotUniform'));
    expect(initializer({ class_name: 'RandomUniform', config: { minval: -1, maxval: 2 } })).toEqual({
      kind: 'uniform',
      low: -1,
      high: 2,
    });
    expect(initializer({ class_name: 'TruncatedNormal', config: { mean: 1, stddev: 2 } })).toEqual({
      kind: 'normal',
      mean: 1,
      deviation: 2,
      truncated: true,
    });
    expect(
      initializer({ class_name: 'VarianceScaling', config: { scale: 3, mode: 'fan_out', distribution: 'uniform' } }),
    ).toEqual({
      kind: 'varianceScaling',
      scale: 3,
      mode: 'fanOut',
      distribution: 'uniform',
    });
  });

  it('keeps the topology as a model.json holds it', () => {
    const { topology } = sequential3('model', picture, [flatten, head]);
    expect(parseTopology(topology).modelTopology).toBe((topology as { modelTopology: unknown }).modelTopology);
  });
});
