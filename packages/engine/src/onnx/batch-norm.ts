/** Batch normalization. */
import { numElements, type Shape } from '../topology/network.ts';
import type { Value } from './graph.ts';
import { meanPixels, type Rule, type RuleContext, sumPixels } from './rule.ts';

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
  const narrow = (value: Value): Value => g.reshape(value, [-1, ...shape]);
  const mean = training ? meanPixels(g, input!, shape) : context.parameter(node.movingMean, [channels]);
  const centred = g.op('Sub', [wide(input!), along(mean)]);
  const variance = training
    ? meanPixels(g, narrow(g.op('Mul', [centred, centred])), shape)
    : context.parameter(node.movingVariance, [channels]);
  const inverse = g.op('Div', [g.scalar(1), g.op('Sqrt', [g.op('Add', [variance, g.scalar(node.epsilon)])])]);
  const factor = scale === undefined ? inverse : g.op('Mul', [inverse, scale]);
  if (training) {
    context.produce(node.movingMean, mean, [channels]);
    context.produce(node.movingVariance, variance, [channels]);
  }
  const scaled = g.op('Mul', [centred, along(factor)]);
  return {
    output: narrow(offset === undefined ? scaled : g.op('Add', [scaled, along(offset)])),
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
      const shift = g.op('Neg', [g.op('Mul', [sum, share])]);
      const shifted = g.op('Add', [g.op('Mul', [wide(gradient), along(factor)]), along(shift)]);
      return [narrow(g.op('Add', [shifted, g.op('Mul', [centred, along(g.op('Neg', [correlation]))])]))];
    },
  };
};
