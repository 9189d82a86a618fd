import { LockstepError } from '@lockstep/core';
import { describe, expect, it } from 'vitest';
import { functional2, functional3, type Layer, layer, sequential, sequential3 } from '../testing/models.ts';
import { supportedLayers } from './layers.ts';
import { parseTopology } from './parse.ts';

const picture = [8, 6, 2] as const;
const flatten = layer('Flatten', 'flatten');
const head = layer('Dense', 'head', { units: 3, activation: 'softmax' });
const conv = (config: object = {}): Layer => layer('Conv2D', 'features', { filters: 4, kernel_size: 3, ...config });

const parse = (model: { topology: unknown }) => parseTopology(model.topology);
/** A model with `layers` between its picture and its head. */
const withLayers = (...layers: Layer[]) => sequential('model', picture, [...layers, flatten, head]).topology;

function refusal(topology: unknown): LockstepError {
  try {
    parseTopology(topology);
  } catch (error) {
    if (error instanceof LockstepError) return error;
    throw error;
  }
  return expect.fail('the topology was accepted');
}

/** What is refused, what the message must hold (the layer's name and the reason), and the error code. */
const refusals: readonly [what: string, topology: unknown, parts: readonly string[], code?: string][] = [
  ['an unsupported layer', withLayers(layer('LSTM', 'memory', { units: 3 })), ['"memory"', 'LSTM']],
  [
    'a kernel regularizer',
    withLayers(conv({ kernel_regularizer: { class_name: 'L2', config: { l2: 1 } } })),
    ['"features"', 'kernel regularizer'],
  ],
  [
    'an activity regularizer',
    withLayers(conv({ activity_regularizer: { class_name: 'L1' } })),
    ['"features"', 'activity regularizer'],
  ],
  [
    'a kernel constraint',
    withLayers(conv({ kernel_constraint: { class_name: 'MaxNorm' } })),
    ['"features"', 'kernel constraint'],
  ],
  ['dilation', withLayers(conv({ dilation_rate: [2, 2] })), ['"features"', 'dilation_rate', 'only 1']],
  ['groups', withLayers(conv({ groups: 2 })), ['"features"', 'groups']],
  ['channels first', withLayers(conv({ data_format: 'channels_first' })), ['"features"', 'channels_last']],
  ['a padding that is neither valid nor same', withLayers(conv({ padding: 'causal' })), ['"features"', 'padding']],
  ['an unknown activation', withLayers(conv({ activation: 'swish' })), ['"features"', '"swish"', 'relu6']],
  [
    'an unknown initializer',
    withLayers(conv({ kernel_initializer: { class_name: 'Orthogonal', config: {} } })),
    ['"features"', '"Orthogonal"'],
  ],
  [
    'a convolution without filters',
    withLayers(layer('Conv2D', 'features', { kernel_size: 3 })),
    ['"features"', 'filters'],
  ],
  ['a leaky ReLU', withLayers(layer('ReLU', 'leaky', { negative_slope: 0.1 })), ['"leaky"', 'negative_slope']],
  ['a ReLU with another maximum', withLayers(layer('ReLU', 'clipped', { max_value: 3 })), ['"clipped"', 'max_value']],
  ['a softmax over rows', withLayers(layer('Softmax', 'rows', { axis: 1 })), ['"rows"', 'last axis']],
  ['dropout of everything', withLayers(layer('Dropout', 'all', { rate: 1 })), ['"all"', 'rate']],
  [
    'dropout with a noise shape',
    withLayers(layer('Dropout', 'maps', { rate: 0.5, noise_shape: [null, 1, 1, 2] })),
    ['"maps"', 'noise shape'],
  ],
  ['normalization of rows', withLayers(layer('BatchNormalization', 'norm', { axis: 1 })), ['"norm"', 'axis 1']],
  [
    'a reshape to more values',
    withLayers(layer('Reshape', 'grow', { target_shape: [8, 6, 3] })),
    ['"grow"', '96', '[8, 6, 3]'],
  ],
  [
    'a reshape that does not divide',
    withLayers(layer('Reshape', 'split', { target_shape: [7, -1] })),
    ['"split"', '[7, -1]'],
  ],
  ['a window larger than the picture', withLayers(conv({ kernel_size: [9, 3] })), ['"features"', '9 x 3', '8 x 6']],
  ['a pool that leaves nothing', withLayers(layer('MaxPooling2D', 'shrink', { pool_size: 7 })), ['"shrink"', '7 x 7']],
  [
    'a convolution behind Flatten',
    sequential('model', picture, [flatten, conv(), head]).topology,
    ['"features"', '[96]'],
  ],
  [
    'an addition of different shapes',
    functional2('model', picture, [
      [conv(), 'picture'],
      [layer('Add', 'sum'), 'features', 'picture'],
      [flatten, 'sum'],
      [head, 'flatten'],
    ]).topology,
    ['"sum"', '6 x 4 x 4', '8 x 6 x 2'],
  ],
  [
    'an addition of one input',
    functional2('model', picture, [
      [layer('Add', 'sum'), 'picture'],
      [flatten, 'sum'],
      [head, 'flatten'],
    ]).topology,
    ['"sum"'],
  ],
  [
    'joining different rows',
    functional2('model', picture, [
      [conv(), 'picture'],
      [layer('Concatenate', 'join'), 'features', 'picture'],
      [flatten, 'join'],
      [head, 'flatten'],
    ]).topology,
    ['"join"', 'axis -1'],
  ],
  [
    'joining batches',
    functional3('model', picture, [
      [layer('Concatenate', 'join', { axis: 0 }), 'picture', 'picture'],
      [flatten, 'join'],
      [head, 'flatten'],
    ]).topology,
    ['"join"', 'axis 0'],
  ],
  [
    'a second input',
    functional2(
      'model',
      picture,
      [
        [layer('InputLayer', 'extra', { batch_input_shape: [null, 8, 6, 2] })],
        [layer('Add', 'sum'), 'picture', 'extra'],
        [flatten, 'sum'],
        [head, 'flatten'],
      ].map(([node, ...inputs]) => [node, ...inputs] as never),
    ).topology,
    ['"extra"', 'second input'],
  ],
  ['a model of models', { class_name: 'Ensemble', config: { name: 'x', layers: [] } }, ['Ensemble']],
  [
    'an end in ReLU',
    sequential('model', picture, [flatten, layer('Dense', 'head', { units: 3, activation: 'relu' })]).topology,
    ['relu'],
  ],
  ['an end in a picture', sequential('model', picture, [conv()]).topology, ['[6, 4, 4]']],
  ['a single output', sequential('model', picture, [flatten, layer('Dense', 'head', { units: 1 })]).topology, ['[1]']],
  ['an input that is no picture', sequential('model', [8, 6] as never, [flatten, head]).topology, ['[8, 6]']],
  ['a graph model', { modelTopology: { node: [], library: {} } }, ['graph model'], 'model-invalid'],
  ['something else', { hello: 'world' }, ['no Keras topology'], 'model-invalid'],
  ['nothing', null, ['no Keras topology'], 'model-invalid'],
  ['no layers', { class_name: 'Sequential', config: { name: 'empty', layers: [] } }, ['no layers'], 'model-invalid'],
  ['two layers of one name', withLayers(conv(), layer('ReLU', 'features')), ['"features"'], 'model-invalid'],
  [
    'no input shape',
    { class_name: 'Sequential', config: { name: 'model', layers: [flatten, head] } },
    ['"flatten"', 'input shape'],
    'model-invalid',
  ],
  [
    'a circle',
    functional2('model', picture, [
      [layer('Add', 'a'), 'picture', 'b'],
      [layer('ReLU', 'b'), 'a'],
      [flatten, 'b'],
      [head, 'flatten'],
    ]).topology,
    ['"a"', '"b"', 'circle'],
    'model-invalid',
  ],
  [
    'a layer that is not there',
    functional3('model', picture, [
      [flatten, 'ghost'],
      [head, 'flatten'],
    ]).topology,
    ['"flatten"', '"ghost"'],
    'model-invalid',
  ],
];

describe('parseTopology refuses', () => {
  it.each(refusals)('%s', (_, topology, parts, code = 'model-unsupported') => {
    const error = refusal(topology);
    for (const part of parts) expect(error.message).toContain(part);
    expect(error.code).toBe(code);
    expect(error.nextStep).not.toBe('');
  });

  it('an unsupported layer with the list of those it supports', () => {
    const { nextStep } = refusal(withLayers(layer('LSTM', 'memory')));
    for (const name of supportedLayers) expect(nextStep).toContain(name);
  });

  it('two outputs', () => {
    const { topology } = functional2('model', picture, [
      [flatten, 'picture'],
      [head, 'flatten'],
    ]);
    const model = topology as { config: { output_layers: unknown } };
    model.config.output_layers = [
      ['head', 0, 0],
      ['flatten', 0, 0],
    ];
    expect(refusal(model).message).toContain('2 outputs (head, flatten)');
  });

  it('a layer that is used twice', () => {
    const shared = { ...layer('ReLU', 'shared'), inbound_nodes: [[['picture', 0, 0, {}]], [['shared', 0, 0, {}]]] };
    const { topology } = functional2('model', picture, [
      [flatten, 'shared'],
      [head, 'flatten'],
    ]);
    const model = topology as { config: { layers: unknown[] } };
    model.config.layers.splice(1, 0, shared);
    expect(refusal(model).message).toMatch(/"shared" is used 2 times/);
  });
});

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
    for (const end of [
      [head],
      [logits],
      [logits, layer('Softmax', 'end')],
      [logits, layer('Activation', 'end', { activation: 'softmax' })],
    ]) {
      const network = parse(sequential('model', picture, [flatten, ...end]));
      expect(network.logits).toBe('head');
      expect(network.nodes.map(({ kind }) => kind)).toEqual(['input', 'reshape', 'dense']);
    }
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
