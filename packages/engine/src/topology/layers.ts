/** One entry per supported Keras layer: checks its configuration and says which nodes and parameters it becomes. */
import { glorotUniform, ones as onesInitializer, type ParameterSpec, zeros as zerosInitializer } from '@lockstep/core';
import { z } from 'zod';
import {
  activationSchema,
  axisSchema,
  convolutionFields,
  dataFormatSchema,
  initializerSchema,
  placeWindow,
  poolingFields,
  refusedExtras,
  refusedNormalizationExtras,
  unsupported,
  zeroPaddingSchema,
} from './keras.ts';
import { type ActivationName, type LayerOperation, numElements, type Shape } from './network.ts';

/** What a layer becomes: its operation, output shape, the parameters it owns and the activation that follows. */
export interface BuiltLayer {
  readonly operation: LayerOperation;
  readonly shape: Shape;
  readonly parameters: readonly ParameterSpec[];
  readonly activation: ActivationName | 'linear';
}

interface LayerContext {
  readonly name: string;
  readonly inputs: readonly Shape[];
  /** Number of dropout layers before this one. */
  readonly numDropouts: number;
}

type LayerBuilder = (config: unknown, context: LayerContext) => BuiltLayer;

const define =
  <Schema extends z.ZodType>(
    schema: Schema,
    build: (config: z.output<Schema>, context: LayerContext) => BuiltLayer,
  ): LayerBuilder =>
  (config, context) =>
    build(schema.parse(config), context);

const plain = (operation: LayerOperation, shape: Shape, parameters: readonly ParameterSpec[] = []): BuiltLayer => ({
  operation,
  shape,
  parameters,
  activation: 'linear',
});

const weight = (
  name: string,
  shape: Shape,
  initializer: ParameterSpec['initializer'],
  decays: boolean,
): ParameterSpec => ({
  name,
  shape,
  kind: 'weight',
  decays,
  initializer,
  momentum: undefined,
});

function picture({ name, inputs }: LayerContext): readonly [number, number, number] {
  const shape = inputs[0]!;
  if (shape.length !== 3) {
    throw unsupported(
      `Layer "${name}" needs a picture [height, width, channels], but its input has the shape [${shape.join(', ')}].`,
      'Put it before Flatten, or a Reshape to three dimensions in front of it.',
    );
  }
  return shape as readonly [number, number, number];
}

function refuseOtherAxis(does: string, axis: number, { name, inputs }: LayerContext): void {
  if (axis === -1 || axis === inputs[0]!.length) return;
  throw unsupported(
    `Layer "${name}" ${does} along axis ${axis}; only the last axis is supported.`,
    'Use axis -1: the channels of a picture.',
  );
}

function place(
  context: LayerContext,
  size: readonly [number, number],
  strides: readonly [number, number],
  padding: 'valid' | 'same',
) {
  const [height, width] = picture(context);
  const placed = placeWindow([height, width], size, strides, padding);
  if (placed.output[0] < 1 || placed.output[1] < 1) {
    throw unsupported(
      `Layer "${context.name}": a window of ${size.join(' x ')} does not fit into a picture of ${height} x ${width}.`,
      'Use a smaller window, fewer pooling layers before it, or padding "same".',
    );
  }
  return placed;
}

const convolutionCommon = {
  use_bias: z.boolean().default(true),
  activation: activationSchema,
  bias_initializer: initializerSchema(zerosInitializer),
  ...refusedExtras,
};

const pooling = (kind: 'maxPool' | 'averagePool'): LayerBuilder =>
  define(z.object(poolingFields), (config, context) => {
    const { window, output } = place(context, config.pool_size, config.strides ?? config.pool_size, config.padding);
    return plain({ kind, window }, [...output, picture(context)[2]]);
  });

const activationLayer = (activation: ActivationName | 'linear', { inputs }: LayerContext): BuiltLayer => ({
  ...plain({ kind: 'reshape' }, inputs[0]!),
  activation,
});

export const layerBuilders: { readonly [className: string]: LayerBuilder } = {
  Dense: define(
    z.object({
      units: z.number().int().positive(),
      kernel_initializer: initializerSchema(glorotUniform),
      ...convolutionCommon,
    }),
    (config, { name, inputs }) => {
      const input = inputs[0]!;
      const kernel = weight(`${name}/kernel`, [input.at(-1)!, config.units], config.kernel_initializer, true);
      const bias = weight(`${name}/bias`, [config.units], config.bias_initializer, false);
      const operation = { kind: 'dense', kernel: kernel.name, bias: config.use_bias ? bias.name : undefined } as const;
      const parameters = config.use_bias ? [kernel, bias] : [kernel];
      return { operation, shape: [...input.slice(0, -1), config.units], parameters, activation: config.activation };
    },
  ),
  Conv2D: define(
    z.object({
      filters: z.number().int().positive(),
      kernel_initializer: initializerSchema(glorotUniform),
      ...convolutionCommon,
      ...convolutionFields,
    }),
    (config, context) => {
      const { window, output } = place(context, config.kernel_size, config.strides ?? [1, 1], config.padding);
      const shape = [...config.kernel_size, picture(context)[2], config.filters];
      const kernel = weight(`${context.name}/kernel`, shape, config.kernel_initializer, true);
      const bias = weight(`${context.name}/bias`, [config.filters], config.bias_initializer, false);
      return {
        operation: { kind: 'conv2d', window, kernel: kernel.name, bias: config.use_bias ? bias.name : undefined },
        shape: [...output, config.filters],
        parameters: config.use_bias ? [kernel, bias] : [kernel],
        activation: config.activation,
      };
    },
  ),
  DepthwiseConv2D: define(
    z.object({
      depth_multiplier: z.number().int().positive().default(1),
      depthwise_initializer: initializerSchema(glorotUniform),
      ...convolutionCommon,
      ...convolutionFields,
    }),
    (config, context) => {
      const { window, output } = place(context, config.kernel_size, config.strides ?? [1, 1], config.padding);
      const channels = picture(context)[2];
      const shape = [...config.kernel_size, channels, config.depth_multiplier];
      const kernel = weight(`${context.name}/depthwise_kernel`, shape, config.depthwise_initializer, true);
      const bias = weight(`${context.name}/bias`, [channels * config.depth_multiplier], config.bias_initializer, false);
      return {
        operation: {
          kind: 'depthwiseConv2d',
          window,
          kernel: kernel.name,
          bias: config.use_bias ? bias.name : undefined,
        },
        shape: [...output, channels * config.depth_multiplier],
        parameters: config.use_bias ? [kernel, bias] : [kernel],
        activation: config.activation,
      };
    },
  ),
  MaxPooling2D: pooling('maxPool'),
  AveragePooling2D: pooling('averagePool'),
  GlobalAveragePooling2D: define(
    z.object({ keepdims: z.boolean().default(false), data_format: dataFormatSchema }),
    (config, context) => {
      const channels = picture(context)[2];
      return plain({ kind: 'globalAveragePool' }, config.keepdims ? [1, 1, channels] : [channels]);
    },
  ),
  Flatten: define(z.object({ data_format: dataFormatSchema }), (_, { inputs }) =>
    plain({ kind: 'reshape' }, [numElements(inputs[0]!)]),
  ),
  Reshape: define(z.object({ target_shape: z.array(z.number().int()).min(1) }), (config, { name, inputs }) => {
    const size = numElements(inputs[0]!);
    const known = config.target_shape.reduce(
      (product, dimension) => (dimension === -1 ? product : product * dimension),
      1,
    );
    const shape = config.target_shape.map((dimension) => (dimension === -1 ? size / known : dimension));
    if (numElements(shape) !== size || shape.some((dimension) => !Number.isInteger(dimension) || dimension < 1)) {
      throw unsupported(
        `Layer "${name}" cannot reshape [${inputs[0]!.join(', ')}] (${size} values) to [${config.target_shape.join(', ')}].`,
        'Give a target shape with as many values.',
      );
    }
    return plain({ kind: 'reshape' }, shape);
  }),
  Activation: define(z.object({ activation: activationSchema }), (config, context) =>
    activationLayer(config.activation, context),
  ),
  ReLU: define(
    z.object({
      max_value: z.union([z.literal(6), z.null()], 'only no maximum and 6 are supported').optional(),
      negative_slope: z.literal(0, 'only 0 is supported').nullish(),
      threshold: z.literal(0, 'only 0 is supported').nullish(),
    }),
    (config, context) => activationLayer(config.max_value === 6 ? 'relu6' : 'relu', context),
  ),
  Softmax: define(z.object({ axis: axisSchema.nullish() }), (config, context) => {
    refuseOtherAxis('takes softmax', config.axis ?? -1, context);
    return activationLayer('softmax', context);
  }),
  Dropout: define(
    z.object({
      rate: z.number().min(0).lt(1),
      noise_shape: z.null('a noise shape is not supported').optional(),
    }),
    (config, { inputs, numDropouts }) => plain({ kind: 'dropout', rate: config.rate, index: numDropouts }, inputs[0]!),
  ),
  BatchNormalization: define(
    z.object({
      axis: axisSchema.default(-1),
      momentum: z.number().min(0).max(1).default(0.99),
      epsilon: z.number().positive().default(1e-3),
      center: z.boolean().default(true),
      scale: z.boolean().default(true),
      beta_initializer: initializerSchema(zerosInitializer),
      gamma_initializer: initializerSchema(onesInitializer),
      moving_mean_initializer: initializerSchema(zerosInitializer),
      moving_variance_initializer: initializerSchema(onesInitializer),
      ...refusedNormalizationExtras,
    }),
    (config, context) => {
      refuseOtherAxis('normalizes', config.axis, context);
      const { name } = context;
      const shape = context.inputs[0]!;
      const channels = [shape.at(-1)!];
      const gamma = weight(`${name}/gamma`, channels, config.gamma_initializer, false);
      const beta = weight(`${name}/beta`, channels, config.beta_initializer, false);
      const statistic = (what: string, initializer: ParameterSpec['initializer']): ParameterSpec => ({
        ...weight(`${name}/${what}`, channels, initializer, false),
        kind: 'statistic',
        momentum: config.momentum,
      });
      const movingMean = statistic('moving_mean', config.moving_mean_initializer);
      const movingVariance = statistic('moving_variance', config.moving_variance_initializer);
      const operation = {
        kind: 'batchNorm',
        epsilon: config.epsilon,
        gamma: config.scale ? gamma.name : undefined,
        beta: config.center ? beta.name : undefined,
        movingMean: movingMean.name,
        movingVariance: movingVariance.name,
      } as const;
      const weights = [...(config.scale ? [gamma] : []), ...(config.center ? [beta] : [])];
      return plain(operation, shape, [...weights, movingMean, movingVariance]);
    },
  ),
  Add: define(z.object({}), (_, { name, inputs }) => {
    const shape = inputs[0]!;
    const different = inputs.find((other) => other.join() !== shape.join());
    if (different || inputs.length < 2) {
      throw unsupported(
        `Layer "${name}" adds [${inputs.map((input) => input.join(' x ')).join('] and [')}].`,
        'Add needs two or more inputs of one shape.',
      );
    }
    return plain({ kind: 'add' }, shape);
  }),
  Concatenate: define(z.object({ axis: z.number().int().default(-1) }), (config, { name, inputs }) => {
    const shape = inputs[0]!;
    const axis = config.axis < 0 ? config.axis + shape.length : config.axis - 1;
    const fits = inputs.every(
      (other) => other.length === shape.length && other.every((dimension, i) => i === axis || dimension === shape[i]),
    );
    if (axis < 0 || axis >= shape.length || !fits) {
      throw unsupported(
        `Layer "${name}" cannot join [${inputs.map((input) => input.join(' x ')).join('] and [')}] along axis ${config.axis}.`,
        'Its inputs must agree in every other dimension, and the axis must not be the batch.',
      );
    }
    const joined = inputs.reduce((sum, other) => sum + other[axis]!, 0);
    return plain(
      { kind: 'concatenate', axis },
      shape.map((dimension, i) => (i === axis ? joined : dimension)),
    );
  }),
  ZeroPadding2D: define(
    z.object({
      padding: zeroPaddingSchema.default({ top: 1, bottom: 1, left: 1, right: 1 }),
      data_format: dataFormatSchema,
    }),
    (config, context) => {
      const [height, width, channels] = picture(context);
      const { top, bottom, left, right } = config.padding;
      return plain({ kind: 'zeroPad', padding: config.padding }, [
        height + top + bottom,
        width + left + right,
        channels,
      ]);
    },
  ),
};

/** Layers that read several inputs. */
export const joiningLayers: ReadonlySet<string> = new Set(['Add', 'Concatenate']);

export const supportedLayers: readonly string[] = ['InputLayer', ...Object.keys(layerBuilders)];
