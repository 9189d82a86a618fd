/** Batch normalization, with few channels by products with diagonal matrices. */
import { numElements, type Shape } from '../topology/network.ts';
import type { Value } from './graph.ts';
import { meanPixels, type Rule, type RuleContext, sumPixels } from './rule.ts';

/** Channels up to which a product with a diagonal matrix takes less time than multiplying and adding one after the other. */
const MAX_DIAGONAL = 64;

/**
 * value * factor + offset, with a factor per channel.
 * @param offset one element per channel; with few channels also [N * pixels, channels]
 */
function scaleChannels(
  context: RuleContext,
  value: Value,
  factor: Value,
  offset: Value | undefined,
  shape: Shape,
): Value {
  const { g } = context;
  const channels = shape.at(-1)!;
  if (isDiagonal(context, channels)) {
    const eye = Array.from({ length: channels ** 2 }, (_, i) => (i % (channels + 1) === 0 ? 1 : 0));
    const diagonal = g.op('Mul', [g.floats(eye, [channels, channels]), factor]);
    const rows = g.reshape(value, [-1, channels]);
    return g.reshape(g.op('Gemm', [rows, diagonal, ...(offset === undefined ? [] : [offset])]), [-1, ...shape]);
  }
  const { wide, along } = byRows(context, shape);
  const scaled = g.op('Mul', [wide(value), along(factor)]);
  return g.reshape(offset === undefined ? scaled : g.op('Add', [scaled, along(offset)]), [-1, ...shape]);
}

/** A GPU multiplies and adds a value each at the same speed as it reads them. */
const isDiagonal = ({ dialect }: RuleContext, channels: number): boolean => !dialect.gpu && channels <= MAX_DIAGONAL;

/**
 * Rows of a picture as rows of a matrix, with vectors repeated along them: on a CPU a vector of a few channels is broadcast
 * several times more slowly than one of a whole row.
 */
function byRows({ g, dialect }: RuleContext, shape: Shape): { wide(value: Value): Value; along(vector: Value): Value } {
  const repeats = shape.length === 3 && !dialect.gpu ? shape[1]! : 1;
  return {
    wide: (value) => g.reshape(value, [-1, repeats * shape.at(-1)!]),
    along: (vector) => (repeats === 1 ? vector : g.op('Tile', [vector, g.integers([repeats])])),
  };
}

export const batchNorm: Rule<'batchNorm'> = (context, node, [input]) => {
  const { g, training } = context;
  const { shape } = node;
  const channels = shape.at(-1)!;
  const scale = node.gamma === undefined ? undefined : context.parameter(node.gamma, [channels]);
  const offset = node.beta === undefined ? undefined : context.parameter(node.beta, [channels]);
  const { wide, along } = byRows(context, shape);
  const mean = training ? meanPixels(g, input!, shape) : context.parameter(node.movingMean, [channels]);
  const centred = g.op('Sub', [wide(input!), along(mean)]);
  const narrow = (value: Value): Value => g.reshape(value, [-1, ...shape]);
  const variance = training
    ? meanPixels(g, narrow(g.op('Mul', [centred, centred])), shape)
    : context.parameter(node.movingVariance, [channels]);
  const inverse = g.op('Div', [g.scalar(1), g.op('Sqrt', [g.op('Add', [variance, g.scalar(node.epsilon)])])]);
  const factor = scale === undefined ? inverse : g.op('Mul', [inverse, scale]);
  if (training) {
    context.produce(node.movingMean, mean, [channels]);
    context.produce(node.movingVariance, variance, [channels]);
  }
  return {
    output: scaleChannels(context, centred, factor, offset, shape),
    // Ioffe and Szegedy, 2015, section 3, in terms of x - mean instead of the normalized x.
    backward: (gradient, [wanted]) => {
      const products = sumPixels(g, narrow(g.op('Mul', [wide(gradient), centred])), shape);
      const sum = sumPixels(g, gradient, shape);
      if (node.gamma !== undefined) context.produce(node.gamma, g.op('Mul', [products, inverse]), [channels]);
      if (node.beta !== undefined) context.produce(node.beta, sum, [channels]);
      if (!wanted) return [undefined];
      // factor * (gradient - its mean - centred * the mean of the products / variance)
      const share = g.op('Div', [factor, g.op('Mul', [context.count(), g.scalar(numElements(shape) / channels)])]);
      const correlation = g.op('Mul', [g.op('Mul', [products, share]), g.op('Mul', [inverse, inverse])]);
      const shifted = scaleChannels(context, gradient, factor, g.op('Neg', [g.op('Mul', [sum, share])]), shape);
      return [addScaled(context, shifted, centred, g.op('Neg', [correlation]), shape)];
    },
  };
};

/** term + value * factor, with a factor per channel. */
function addScaled(context: RuleContext, term: Value, value: Value, factor: Value, shape: Shape): Value {
  const { g } = context;
  const channels = shape.at(-1)!;
  if (isDiagonal(context, channels))
    return scaleChannels(context, value, factor, g.reshape(term, [-1, channels]), shape);
  const { wide, along } = byRows(context, shape);
  return g.reshape(g.op('Add', [wide(term), g.op('Mul', [value, along(factor)])]), [-1, ...shape]);
}
