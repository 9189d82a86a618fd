// What parseTopology refuses, and that its message names the layer and the reason.
import { LockstepError } from '@lockstep/core';
import { describe, expect, it } from 'vitest';
import { functional2, functional3, type Layer, layer, sequential } from '../testing/models.ts';
import { supportedLayers } from './layers.ts';
import { parseTopology } from './parse.ts';

const picture = [8, 6, 2] as const;
const flatten = layer('Flatten', 'flatten');
const head = layer('Dense', 'head', { units: 3, activation: 'softmax' });
const conv = (config: object = {}): Layer => layer('Conv2D', 'features', { filters: 4, kernel_size: 3, ...config });
const norm = (config: Layer['config']): Layer => layer('BatchNormalization', 'norm', config);

/** A model with `layers` between its picture and its head. */
const withLayers = (...layers: Layer[]) => sequential('model', picture, [...layers, flatten, head]).topology;
/** A model with these layers behind a flat picture. */
const endingIn = (...layers: Layer[]) => sequential('model', picture, [flatten, ...layers]).topology;

type Json = { config: Record<string, unknown> };
const edited = (topology: unknown, fields: object): Json => {
  const model = topology as Json;
  return { ...model, config: { ...model.config, ...fields } };
};

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
type Refusal = [what: string, topology: unknown, parts: readonly string[], code?: string];

const refusals: readonly Refusal[] = [
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
  ...(['GlobalAveragePooling2D', 'ZeroPadding2D', 'Flatten', 'MaxPooling2D'] as const).map(
    (name): Refusal => [
      `channels first in ${name}`,
      withLayers(layer(name, 'turned', { data_format: 'channels_first' })),
      ['"turned"', 'channels_last'],
    ],
  ),
  ...[
    -1,
    [1, -1],
    [
      [0, 0],
      [-1, 1],
    ],
  ].map(
    (padding): Refusal => [
      `a padding of ${JSON.stringify(padding)}`,
      withLayers(layer('ZeroPadding2D', 'crop', { padding })),
      ['"crop"', 'negative'],
    ],
  ),
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
  ...(['gamma_regularizer', 'beta_regularizer', 'gamma_constraint', 'beta_constraint'] as const).map(
    (field): Refusal => [
      `a ${field}`,
      withLayers(norm({ [field]: { class_name: 'L2', config: {} } })),
      ['"norm"', `a ${field.replace('_', ' ')}`],
    ],
  ),
  ['batch renormalization', withLayers(norm({ renorm: true })), ['"norm"', 'batch renormalization']],
  ['synchronized batch normalization', withLayers(norm({ synchronized: true })), ['"norm"', 'synchronized']],
  ['a virtual batch size', withLayers(norm({ virtual_batch_size: 8 })), ['"norm"', 'virtual batch size']],
  ['a frozen layer', withLayers(conv({ trainable: false })), ['"features"', 'trainable: false']],
  ['a frozen model', edited(withLayers(conv()), { trainable: false }), ['"model"', 'trainable: false']],
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
  [
    'two inputs of a layer that takes one',
    functional2('model', picture, [
      [conv(), 'picture'],
      [flatten, 'features', 'picture'],
      [head, 'flatten'],
    ]).topology,
    ['"flatten"', '2 inputs'],
  ],
  [
    'a layer that leads nowhere',
    functional2('model', picture, [
      [conv(), 'picture'],
      [layer('ReLU', 'unused'), 'features'],
      [flatten, 'picture'],
      [head, 'flatten'],
    ]).topology,
    ['"features"', 'does not lead to', '"head"'],
  ],
  [
    'a layer that reads the probabilities',
    edited(
      functional2('model', picture, [
        [flatten, 'picture'],
        [head, 'flatten'],
        [layer('Dense', 'tail', { units: 2 }), 'head'],
      ]).topology,
      { output_layers: [['head', 0, 0]] },
    ),
    ['"tail"', 'does not lead to', '"head"'],
  ],
  ['a model of models', { class_name: 'Ensemble', config: { name: 'x', layers: [] } }, ['Ensemble']],
  ['an end in ReLU', endingIn(layer('Dense', 'head', { units: 3, activation: 'relu' })), ['ends in relu']],
  [
    'an end in ReLU behind a linear activation',
    endingIn(
      layer('Dense', 'head', { units: 3, activation: 'relu' }),
      layer('Activation', 'end', { activation: 'linear' }),
    ),
    ['ends in relu'],
  ],
  [
    'an end in tanh behind Reshape and Dropout',
    sequential('model', picture, [
      conv({ kernel_size: [8, 6], activation: 'tanh' }),
      layer('Dropout', 'dropout', { rate: 0.5 }),
      layer('Reshape', 'classes', { target_shape: [4] }),
    ]).topology,
    ['ends in tanh'],
  ],
  ['a layer behind softmax', endingIn(head, layer('Dropout', 'late', { rate: 0.5 })), ['"late"', 'softmax']],
  ['an end in a picture', sequential('model', picture, [conv()]).topology, ['[6, 4, 4]']],
  ['a single output', sequential('model', picture, [flatten, layer('Dense', 'head', { units: 1 })]).topology, ['[1]']],
  ['an input that is no picture', sequential('model', [8, 6] as never, [flatten, head]).topology, ['[8, 6]']],
  ['a graph model', { modelTopology: { node: [], library: {} } }, ['graph model'], 'model-invalid'],
  ['something else', { hello: 'world' }, ['no Keras topology'], 'model-invalid'],
  ['nothing', null, ['no Keras topology'], 'model-invalid'],
  ['no layers', { class_name: 'Sequential', config: { name: 'empty', layers: [] } }, ['no layers'], 'model-invalid'],
  ['two layers of one name', withLayers(conv(), layer('ReLU', 'features')), ['"features"'], 'model-invalid'],
  [
    'a picture of any size',
    sequential('model', [null, null, 1] as never, [layer('GlobalAveragePooling2D', 'mean'), head]).topology,
    ['"mean"', '[any, any, 1]'],
  ],
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
    const outputs = [
      ['head', 0, 0],
      ['flatten', 0, 0],
    ];
    expect(refusal(edited(topology, { output_layers: outputs })).message).toContain('2 outputs (head, flatten)');
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
