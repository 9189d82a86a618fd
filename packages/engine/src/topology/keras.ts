/** The parts of Keras' serialised configuration that several layers share, as schemas and translations. */
import { glorotUniform, type Initializer, LockstepError, ones, zeros } from '@lockstep/core';
import { z } from 'zod';
import type { ActivationName, Padding, Window } from './network.ts';

export const supportedActivations = [
  'linear',
  'relu',
  'relu6',
  'tanh',
  'sigmoid',
  'gelu',
  'gelu_new',
  'softmax',
] as const;

export const unsupported = (message: string, nextStep: string): LockstepError =>
  new LockstepError('model-unsupported', message, nextStep);

/** Keras writes functions and initialisers as a name or as {class_name, config}. */
const namedObject = z.union([
  z.string(),
  z.object({ class_name: z.string(), config: z.union([z.record(z.string(), z.unknown()), z.string()]).nullish() }),
]);

export const activationSchema = namedObject.nullish().transform((value, context): ActivationName | 'linear' => {
  const name = value == null ? 'linear' : typeof value === 'string' ? value : value.class_name;
  const lower = name.toLowerCase();
  if (lower === 'gelu_new') return 'gelu_tanh';
  if ((supportedActivations as readonly string[]).includes(lower)) return lower as ActivationName | 'linear';
  context.addIssue({
    code: 'custom',
    message: `activation "${name}" is not supported (supported: ${supportedActivations.join(', ')})`,
  });
  return z.NEVER;
});

const integer = z.number().int();

/** An integer for both directions, or [height, width]. */
const pair = z.union([
  integer.positive().transform((n): [number, number] => [n, n]),
  z.tuple([integer.positive(), integer.positive()]),
]);

const one = pair.refine(([height, width]) => height === 1 && width === 1, 'only 1 is supported');

export const dataFormatSchema = z.enum(['channels_last'], 'only channels_last is supported').nullish();

/** One axis, as a number or a list of one. Counts the batch as 0, or from the end. */
export const axisSchema = z.union([
  integer,
  z
    .array(integer)
    .length(1)
    .transform(([axis]) => axis!),
]);

/** Fields of everything that slides a window over a picture. */
const windowFields = {
  strides: pair.nullish(),
  padding: z
    .string()
    .toLowerCase()
    .pipe(z.enum(['valid', 'same']))
    .default('valid'),
  data_format: dataFormatSchema,
};

export const convolutionFields = {
  kernel_size: pair,
  dilation_rate: one.nullish(),
  groups: z.literal(1, 'only groups = 1 is supported').nullish(),
  ...windowFields,
};

export const poolingFields = { pool_size: pair.default([2, 2]), ...windowFields };

const margin = integer.nonnegative();

export const zeroPaddingSchema = z.union(
  [
    margin.transform((n) => ({ top: n, bottom: n, left: n, right: n })),
    z
      .tuple([z.tuple([margin, margin]), z.tuple([margin, margin])])
      .transform(([[top, bottom], [left, right]]) => ({ top, bottom, left, right })),
    z
      .tuple([margin, margin])
      .transform(([rows, columns]) => ({ top: rows, bottom: rows, left: columns, right: columns })),
  ],
  'must be n, [rows, columns] or [[top, bottom], [left, right]], none of them negative',
);

const none = (what: string, instead: string) => z.null(`${what} is not supported; ${instead}`).optional();

/** What Keras lets a layer add to the loss or impose on weights; refused instead of ignored. */
export const refusedExtras = {
  kernel_regularizer: none('a kernel regularizer', 'use --weight-decay'),
  depthwise_regularizer: none('a depthwise regularizer', 'use --weight-decay'),
  bias_regularizer: none('a bias regularizer', 'remove it'),
  activity_regularizer: none('an activity regularizer', 'remove it'),
  kernel_constraint: none('a kernel constraint', 'remove it'),
  depthwise_constraint: none('a depthwise constraint', 'remove it'),
  bias_constraint: none('a bias constraint', 'remove it'),
};

const off = (what: string) => z.literal(false, `${what} is not supported; turn it off`).nullish();

/** The same of batch normalization, and the variants whose statistics are others than those of a micro-batch. */
export const refusedNormalizationExtras = {
  gamma_regularizer: none('a gamma regularizer', 'remove it'),
  beta_regularizer: none('a beta regularizer', 'remove it'),
  gamma_constraint: none('a gamma constraint', 'remove it'),
  beta_constraint: none('a beta constraint', 'remove it'),
  renorm: off('batch renormalization'),
  synchronized: off('synchronized batch normalization'),
  virtual_batch_size: none('a virtual batch size', 'remove it'),
};

const varianceScaling = (
  scale: number,
  mode: 'fanIn' | 'fanAverage',
  distribution: 'uniform' | 'truncatedNormal',
): Initializer => ({
  kind: 'varianceScaling',
  scale,
  mode,
  distribution,
});

const namedInitializers: { readonly [name: string]: Initializer } = {
  zeros,
  ones,
  glorotuniform: glorotUniform,
  glorotnormal: varianceScaling(1, 'fanAverage', 'truncatedNormal'),
  heuniform: varianceScaling(2, 'fanIn', 'uniform'),
  henormal: varianceScaling(2, 'fanIn', 'truncatedNormal'),
  lecununiform: varianceScaling(1, 'fanIn', 'uniform'),
  lecunnormal: varianceScaling(1, 'fanIn', 'truncatedNormal'),
};

const numberIn = (config: Record<string, unknown>, field: string, otherwise: number): number =>
  typeof config[field] === 'number' ? config[field] : otherwise;

function parameterizedInitializer(name: string, config: Record<string, unknown>): Initializer | undefined {
  switch (name) {
    case 'constant':
      return { kind: 'constant', value: numberIn(config, 'value', 0) };
    case 'randomuniform':
      return { kind: 'uniform', low: numberIn(config, 'minval', -0.05), high: numberIn(config, 'maxval', 0.05) };
    case 'randomnormal':
    case 'truncatednormal': {
      const deviation = numberIn(config, 'stddev', 0.05);
      return { kind: 'normal', mean: numberIn(config, 'mean', 0), deviation, truncated: name === 'truncatednormal' };
    }
    case 'variancescaling': {
      const modes = { fan_in: 'fanIn', fan_out: 'fanOut', fan_avg: 'fanAverage' } as const;
      const distributions = {
        uniform: 'uniform',
        normal: 'truncatedNormal',
        truncated_normal: 'truncatedNormal',
        untruncated_normal: 'normal',
      } as const;
      const mode = modes[String(config.mode ?? 'fan_in') as keyof typeof modes];
      const distribution =
        distributions[String(config.distribution ?? 'truncated_normal') as keyof typeof distributions];
      if (!mode || !distribution) return undefined;
      return { kind: 'varianceScaling', scale: numberIn(config, 'scale', 1), mode, distribution };
    }
    default:
      return undefined;
  }
}

/** An initialiser by Keras name, in either spelling (`glorot_uniform`, `GlorotUniform`); absent is `otherwise`. */
export const initializerSchema = (otherwise: Initializer) =>
  namedObject.nullish().transform((value, context): Initializer => {
    if (value == null) return otherwise;
    const name = typeof value === 'string' ? value : value.class_name;
    const config = typeof value === 'object' && typeof value.config === 'object' ? (value.config ?? {}) : {};
    const key = name.toLowerCase().replaceAll('_', '');
    const initializer = namedInitializers[key] ?? parameterizedInitializer(key, config);
    if (initializer) return initializer;
    context.addIssue({ code: 'custom', message: `initializer "${name}" is not supported` });
    return z.NEVER;
  });

/**
 * Places a window over a picture as TensorFlow does: `same` gives ceil(in / stride) outputs, with the odd row or column
 * of padding at the bottom or right.
 * @returns the window and the output's [height, width], which are below 1 when the picture is smaller than the window
 */
export function placeWindow(
  [height, width]: readonly [number, number],
  size: readonly [number, number],
  strides: readonly [number, number],
  padding: 'valid' | 'same',
): { window: Window; output: [number, number] } {
  const along = (length: number, kernel: number, stride: number): [before: number, after: number, out: number] => {
    if (padding === 'valid') return [0, 0, Math.floor((length - kernel) / stride) + 1];
    const out = Math.ceil(length / stride);
    const total = Math.max(0, (out - 1) * stride + kernel - length);
    return [Math.floor(total / 2), Math.ceil(total / 2), out];
  };
  const [top, bottom, outHeight] = along(height, size[0], strides[0]);
  const [left, right, outWidth] = along(width, size[1], strides[1]);
  const around: Padding = { top, bottom, left, right };
  return { window: { size, strides, padding: around }, output: [outHeight, outWidth] };
}
