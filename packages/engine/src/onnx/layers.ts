/**
 * One rule per kind of layer: the operators of its forward pass and, next to them, of its gradient.
 * A gradient is always of the loss summed over the micro-batch.
 */
import { invariant, type ParameterLayout } from '@lockstep/core';
import { type LayerNode, type LayerOperation, numElements, type Shape } from '../topology/network.ts';
import { activations } from './activations.ts';
import { type Block, blockedConvolution, blockedInputGradient, isBlocked } from './blocked.ts';
import type { GraphBuilder, Value } from './graph.ts';
import {
  fold,
  pad,
  transposedConvolution,
  unfold,
  unfoldByRows,
  unfoldPlanes,
  windowCounts,
  windowSlices,
} from './windows.ts';

/** What a rule may use beside its layer's inputs. */
export interface RuleContext {
  readonly g: GraphBuilder;
  readonly training: boolean;
  readonly layout: ParameterLayout;
  /** Of ONNX Runtime's blocked convolutions; undefined where it has none. */
  readonly block: Block | undefined;
  /** Input value of a parameter, as a tensor of the given dimensions (as many elements as the parameter has). */
  parameter(name: string, dims: readonly number[]): Value;
  /** Records the gradient of a parameter, or a statistic of the micro-batch, of as many elements as the parameter. */
  produce(name: string, value: Value, dims: readonly number[]): void;
  /** Number of samples of the micro-batch, [1]. */
  count(): Value;
  /** [N, …shape] uint8 mask of a dropout layer. */
  dropoutMask(index: number, shape: Shape): Value;
  shapeOf(id: string): Shape;
}

export interface RuleResult {
  readonly output: Value;
  /**
   * Adds the operators of the gradient.
   * @param gradient of the layer's output
   * @param wanted per input, whether its gradient is needed at all
   * @returns per input, its gradient
   */
  backward(gradient: Value, wanted: readonly boolean[]): (Value | undefined)[];
}

type Rule<Kind extends LayerOperation['kind']> = (
  context: RuleContext,
  node: Extract<LayerNode, { kind: Kind }>,
  inputs: readonly Value[],
) => RuleResult;

/**
 * Sum, or mean, over samples and pixels, per channel: [channels]. First over the pixels of each sample, then over the
 * samples, which is faster than over all at once, and rounds less.
 */
function overPixels(g: GraphBuilder, type: 'ReduceSum' | 'ReduceMean', value: Value, shape: Shape): Value {
  if (shape.length === 1) return g.reduce(type, value, [0], false);
  const channels = shape.at(-1)!;
  const perSample = g.reduce(type, g.reshape(value, [-1, numElements(shape) / channels, channels]), [1], false);
  return g.reduce(type, perSample, [0], false);
}

const sumPixels = (g: GraphBuilder, value: Value, shape: Shape): Value => overPixels(g, 'ReduceSum', value, shape);
const meanPixels = (g: GraphBuilder, value: Value, shape: Shape): Value => overPixels(g, 'ReduceMean', value, shape);

const dense: Rule<'dense'> = (context, node, [input]) => {
  const { g } = context;
  const inputShape = context.shapeOf(node.inputs[0]!);
  const dims = [inputShape.at(-1)!, node.shape.at(-1)!];
  const flat = inputShape.length === 1;
  const rows = flat ? input! : g.reshape(input!, [-1, dims[0]!]);
  const kernel = context.parameter(node.kernel, dims);
  const bias = node.bias === undefined ? [] : [context.parameter(node.bias, [dims[1]!])];
  const output = g.op('Gemm', [rows, kernel, ...bias]);
  return {
    output: flat ? output : g.reshape(output, [-1, ...node.shape]),
    backward: (gradient, [wanted]) => {
      const outRows = flat ? gradient : g.reshape(gradient, [-1, dims[1]!]);
      context.produce(node.kernel, g.op('Gemm', [rows, outRows], { transA: 1 }), dims);
      if (node.bias !== undefined) context.produce(node.bias, sumPixels(g, gradient, node.shape), [dims[1]!]);
      if (!wanted) return [undefined];
      const inputGradient = g.op('Gemm', [outRows, kernel], { transB: 1 });
      return [flat ? inputGradient : g.reshape(inputGradient, [-1, ...inputShape])];
    },
  };
};

const conv2d: Rule<'conv2d'> = (context, node, inputs) => {
  const { block } = context;
  const channels = context.shapeOf(node.inputs[0]!)[2]!;
  return isBlocked(block, node.window, channels, node.shape[2]!)
    ? blockedConv2d(context, node, inputs, block)
    : multipliedConv2d(context, node, inputs);
};

/** A convolution as a product of matrices, over its windows. */
const multipliedConv2d: Rule<'conv2d'> = (context, node, [input]) => {
  const { g } = context;
  const inputShape = context.shapeOf(node.inputs[0]!);
  const [, , channels] = inputShape as [number, number, number];
  const [, , filters] = node.shape as [number, number, number];
  const [kernelHeight, kernelWidth] = node.window.size;
  const dims = [kernelHeight * kernelWidth * channels, filters] as const;
  const kernel = context.parameter(node.kernel, dims);
  const bias = node.bias === undefined ? [] : [context.parameter(node.bias, [filters])];
  const planar = channels === 1;
  const windows = planar
    ? unfoldPlanes(g, input!, node.window, node.shape)
    : unfold(g, input!, node.window, inputShape, node.shape);
  const output = g.op('Gemm', [windows, kernel, ...bias], { transA: planar ? 1 : 0 });
  return {
    output: g.reshape(output, [-1, ...node.shape]),
    backward: (gradient, [wanted]) => {
      const rows = g.reshape(gradient, [-1, filters]);
      context.produce(node.kernel, kernelGradient(g, windows, rows, planar, dims), dims);
      if (node.bias !== undefined) context.produce(node.bias, sumPixels(g, gradient, node.shape), [filters]);
      if (!wanted) return [undefined];
      if (kernelHeight === 1 && kernelWidth === 1) {
        const columns = g.reshape(g.op('Gemm', [rows, kernel], { transB: 1 }), [
          -1,
          ...node.shape.slice(0, 2),
          channels,
        ]);
        return [fold(g, [columns], node.window, inputShape, node.shape)];
      }
      const taps = g.reshape(kernel, [kernelHeight, kernelWidth, channels, filters]);
      return [transposedConvolution(g, gradient, taps, node.window, inputShape, node.shape)];
    },
  };
};

/** A convolution in blocks; its windows are taken apart for the gradient of the kernel alone. */
function blockedConv2d(
  context: RuleContext,
  node: Extract<LayerNode, { kind: 'conv2d' }>,
  [input]: readonly Value[],
  block: Block,
): RuleResult {
  const { g } = context;
  const { window, shape } = node;
  const inputShape = context.shapeOf(node.inputs[0]!);
  const channels = inputShape[2]!;
  const filters = shape[2]!;
  const taps = window.size[0] * window.size[1];
  const kernel = context.parameter(node.kernel, [taps, channels, filters]);
  const bias = node.bias === undefined ? undefined : context.parameter(node.bias, [filters]);
  const convolution = { block, kernel, bias, window, channels, filters, shape };
  return {
    output: blockedConvolution(g, input!, convolution),
    backward: (gradient, [wanted]) => {
      const parts = unfoldByRows(g, input!, window, inputShape, shape, RESIDENT_ELEMENTS).map(
        ({ windows, from, to }) => {
          const rows = g.reshape(to - from === shape[0] ? gradient : g.slice(gradient, [1], [from], [to], [1]), [
            -1,
            filters,
          ]);
          return g.op('Gemm', [turned(g, rows, -1, filters), windows]);
        },
      );
      const size = taps * channels;
      context.produce(node.kernel, turned(g, sumInOrder(g, parts), filters, size), [size, filters]);
      if (node.bias !== undefined) context.produce(node.bias, sumPixels(g, gradient, shape), [filters]);
      if (!wanted) return [undefined];
      const isDense = window.strides[0] === 1 && window.strides[1] === 1;
      const blocked = isDense ? blockedInputGradient(g, gradient, convolution, inputShape) : undefined;
      if (blocked !== undefined) return [blocked];
      const perTap = g.reshape(kernel, [...window.size, channels, filters]);
      return [transposedConvolution(g, gradient, perTap, window, inputShape, shape)];
    },
  };
}

/** One after the other, so that each partial sum is still in the cache. */
const sumInOrder = (g: GraphBuilder, values: readonly Value[]): Value =>
  values.reduce((sum, value) => g.op('Add', [sum, value]));

/** Windows of a sample that are taken apart at once, in elements: with the usual micro-batches they stay in the cache. */
const RESIDENT_ELEMENTS = 16_384;

/**
 * The transpose of a matrix. The reshapes keep it from being folded into the product that follows, because ONNX Runtime
 * multiplies long transposed matrices slowly.
 */
const turned = (g: GraphBuilder, matrix: Value, height: number, width: number): Value =>
  g.reshape(g.op('Transpose', [g.reshape(matrix, [1, height, width])], { perm: [0, 2, 1] }), [width, height]);

/**
 * Gradient of a convolution's kernel, [windowHeight * windowWidth * channels, filters]: the narrower of the two matrices,
 * the gradient, is turned around first, and the small result afterwards.
 */
function kernelGradient(
  g: GraphBuilder,
  windows: Value,
  rows: Value,
  planar: boolean,
  [size, filters]: readonly [number, number],
): Value {
  if (planar) return g.op('Gemm', [windows, rows]);
  return turned(g, g.op('Gemm', [turned(g, rows, -1, filters), windows]), filters, size);
}

const depthwiseConv2d: Rule<'depthwiseConv2d'> = (context, node, [input]) => {
  const { g } = context;
  const inputShape = context.shapeOf(node.inputs[0]!);
  const [, , channels] = inputShape as [number, number, number];
  const [outHeight, outWidth, filters] = node.shape as [number, number, number];
  const multiplier = filters / channels;
  const positions = node.window.size[0] * node.window.size[1];
  const kernel = context.parameter(node.kernel, [positions, channels, multiplier]);
  const weights = Array.from({ length: positions }, (_, i) => g.slice(kernel, [0], [i], [i + 1], [1])); // [1, channels, multiplier]
  const slices = windowSlices(g, pad(g, input!, node.window.padding), node.window, node.shape).map((slice) =>
    g.reshape(slice, [-1, outHeight * outWidth, channels, 1]),
  );
  const products = slices.map((slice, i) => g.op('Mul', [slice, weights[i]!]));
  const sum = g.reshape(g.sum(products), [-1, ...node.shape]);
  const output = node.bias === undefined ? sum : g.op('Add', [sum, context.parameter(node.bias, [filters])]);
  return {
    output,
    backward: (gradient, [wanted]) => {
      const apart = g.reshape(gradient, [-1, outHeight * outWidth, channels, multiplier]);
      const kernelGradients = slices.map((slice) => g.reduce('ReduceSum', g.op('Mul', [slice, apart]), [0, 1], false));
      const stacked = kernelGradients.map((part) => g.reshape(part, [1, channels, multiplier]));
      context.produce(node.kernel, g.op('Concat', stacked, { axis: 0 }), [positions, channels, multiplier]);
      if (node.bias !== undefined) context.produce(node.bias, sumPixels(g, gradient, node.shape), [filters]);
      if (!wanted) return [undefined];
      const pieces = weights.map((weight) => {
        const product = g.op('Mul', [apart, weight]);
        const perChannel = multiplier === 1 ? product : g.reduce('ReduceSum', product, [3], false);
        return g.reshape(perChannel, [-1, outHeight, outWidth, channels]);
      });
      return [fold(g, pieces, node.window, inputShape, node.shape)];
    },
  };
};

const maxPool: Rule<'maxPool'> = (context, node, [input]) => {
  const { g } = context;
  const slices = windowSlices(
    g,
    pad(g, input!, node.window.padding, Number.NEGATIVE_INFINITY),
    node.window,
    node.shape,
  );
  // A tournament between neighbours. The winner of each match is kept for the backward pass; on a tie the earlier one
  // wins, so that exactly one position of a window gets the gradient, the first in row-major order.
  type Entry = { readonly value: Value; readonly match: readonly [Entry, Entry] | undefined };
  let round: Entry[] = slices.map((value) => ({ value, match: undefined }));
  while (round.length > 1) {
    const next: Entry[] = [];
    for (let i = 0; i < round.length; i += 2) {
      const [first, second] = [round[i]!, round[i + 1]];
      next.push(second ? { value: g.op('Max', [first.value, second.value]), match: [first, second] } : first);
    }
    round = next;
  }
  const [final] = round as [Entry];
  return {
    output: final.value,
    backward: (gradient, [wanted]) => {
      if (!wanted) return [undefined];
      const shares = new Map<Value, Value>();
      const share = (entry: Entry, amount: Value): void => {
        if (!entry.match) {
          shares.set(entry.value, amount);
          return;
        }
        const [first, second] = entry.match;
        const firstWins = g.op('GreaterOrEqual', [first.value, second.value]);
        const toFirst = g.op('Where', [firstWins, amount, g.scalar(0)]);
        share(first, toFirst);
        share(second, g.op('Sub', [amount, toFirst]));
      };
      share(final, gradient);
      const pieces = slices.map((slice) => shares.get(slice)!);
      return [fold(g, pieces, node.window, context.shapeOf(node.inputs[0]!), node.shape)];
    },
  };
};

const averagePool: Rule<'averagePool'> = (context, node, [input]) => {
  const { g } = context;
  const inputShape = context.shapeOf(node.inputs[0]!);
  const [outHeight, outWidth] = node.shape as [number, number, number];
  const counts = windowCounts(node.window, inputShape, node.shape);
  const shares = g.floats(
    counts.map((count) => 1 / count),
    [outHeight, outWidth, 1],
  );
  const slices = windowSlices(g, pad(g, input!, node.window.padding), node.window, node.shape);
  return {
    output: g.op('Mul', [g.sum(slices), shares]),
    backward: (gradient, [wanted]) => {
      if (!wanted) return [undefined];
      const share = g.op('Mul', [gradient, shares]);
      return [
        fold(
          g,
          slices.map(() => share),
          node.window,
          inputShape,
          node.shape,
        ),
      ];
    },
  };
};

const globalAveragePool: Rule<'globalAveragePool'> = (context, node, [input]) => {
  const { g } = context;
  const [height, width, channels] = context.shapeOf(node.inputs[0]!) as [number, number, number];
  const mean = g.reduce('ReduceMean', g.reshape(input!, [-1, height * width, channels]), [1], false);
  return {
    output: g.reshape(mean, [-1, ...node.shape]),
    backward: (gradient, [wanted]) => {
      if (!wanted) return [undefined];
      const share = g.op('Mul', [g.reshape(gradient, [-1, 1, 1, channels]), g.scalar(1 / (height * width))]);
      return [g.op('Expand', [share, g.integers([1, height, width, channels])])];
    },
  };
};

const reshape: Rule<'reshape'> = (context, node, [input]) => ({
  output: context.g.reshape(input!, [-1, ...node.shape]),
  backward: (gradient) => [context.g.reshape(gradient, [-1, ...context.shapeOf(node.inputs[0]!)])],
});

const activation: Rule<'activation'> = ({ g }, node, [input]) => {
  const { output, backward } = activations[node.activation](g, input!);
  return { output, backward: (gradient, [wanted]) => [wanted ? backward(gradient) : undefined] };
};

const dropout: Rule<'dropout'> = (context, node, [input]) => {
  const { g } = context;
  if (!context.training || node.rate === 0) return { output: input!, backward: (gradient) => [gradient] };
  const kept = g.op('Cast', [context.dropoutMask(node.index, node.shape)], { to: 1 });
  const factors = g.op('Mul', [kept, g.scalar(1 / (1 - node.rate))]);
  return {
    output: g.op('Mul', [input!, factors]),
    backward: (gradient, [wanted]) => [wanted ? g.op('Mul', [gradient, factors]) : undefined],
  };
};

/** Channels up to which a product with a diagonal matrix takes less time than multiplying and adding one after the other. */
const MAX_DIAGONAL = 64;

/**
 * value * factor + offset, with a factor per channel.
 * @param offset one element per channel; with few channels also [N * pixels, channels]
 */
function scaleChannels(g: GraphBuilder, value: Value, factor: Value, offset: Value | undefined, shape: Shape): Value {
  const channels = shape.at(-1)!;
  if (channels <= MAX_DIAGONAL) {
    const eye = Array.from({ length: channels ** 2 }, (_, i) => (i % (channels + 1) === 0 ? 1 : 0));
    const diagonal = g.op('Mul', [g.floats(eye, [channels, channels]), factor]);
    const rows = g.reshape(value, [-1, channels]);
    return g.reshape(g.op('Gemm', [rows, diagonal, ...(offset === undefined ? [] : [offset])]), [-1, ...shape]);
  }
  const { wide, along } = byRows(g, shape);
  const scaled = g.op('Mul', [wide(value), along(factor)]);
  return g.reshape(offset === undefined ? scaled : g.op('Add', [scaled, along(offset)]), [-1, ...shape]);
}

/**
 * Rows of a picture as rows of a matrix, with vectors repeated along them: a vector of a few channels is broadcast several
 * times more slowly than one of a whole row.
 */
function byRows(g: GraphBuilder, shape: Shape): { wide(value: Value): Value; along(vector: Value): Value } {
  const repeats = shape.length === 3 ? shape[1]! : 1;
  return {
    wide: (value) => g.reshape(value, [-1, repeats * shape.at(-1)!]),
    along: (vector) => (repeats === 1 ? vector : g.op('Tile', [vector, g.integers([repeats])])),
  };
}

const batchNorm: Rule<'batchNorm'> = (context, node, [input]) => {
  const { g, training } = context;
  const { shape } = node;
  const channels = shape.at(-1)!;
  const scale = node.gamma === undefined ? undefined : context.parameter(node.gamma, [channels]);
  const offset = node.beta === undefined ? undefined : context.parameter(node.beta, [channels]);
  const { wide, along } = byRows(g, shape);
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
    output: scaleChannels(g, centred, factor, offset, shape),
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
      const shifted = scaleChannels(g, gradient, factor, g.op('Neg', [g.op('Mul', [sum, share])]), shape);
      return [addScaled(g, shifted, centred, g.op('Neg', [correlation]), shape)];
    },
  };
};

/** term + value * factor, with a factor per channel. */
function addScaled(g: GraphBuilder, term: Value, value: Value, factor: Value, shape: Shape): Value {
  const channels = shape.at(-1)!;
  if (channels <= MAX_DIAGONAL) return scaleChannels(g, value, factor, g.reshape(term, [-1, channels]), shape);
  const { wide, along } = byRows(g, shape);
  return g.reshape(g.op('Add', [wide(term), g.op('Mul', [value, along(factor)])]), [-1, ...shape]);
}

const add: Rule<'add'> = ({ g }, _, inputs) => ({
  output: g.sum(inputs),
  backward: (gradient) => inputs.map(() => gradient),
});

const concatenate: Rule<'concatenate'> = (context, node, inputs) => {
  const { g } = context;
  const axis = node.axis + 1;
  return {
    output: g.op('Concat', inputs, { axis }),
    backward: (gradient, wanted) => {
      let start = 0;
      return node.inputs.map((id, i) => {
        const from = start;
        start += context.shapeOf(id)[node.axis]!;
        return wanted[i] ? g.slice(gradient, [axis], [from], [start], [1]) : undefined;
      });
    },
  };
};

const zeroPad: Rule<'zeroPad'> = ({ g }, node, [input]) => {
  const { top, bottom, left, right } = node.padding;
  return {
    output: pad(g, input!, node.padding),
    backward: (gradient, [wanted]) => [
      wanted ? pad(g, gradient, { top: -top, bottom: -bottom, left: -left, right: -right }) : undefined,
    ],
  };
};

const rules: { readonly [Kind in Exclude<LayerOperation['kind'], 'input'>]: Rule<Kind> } = {
  dense,
  conv2d,
  depthwiseConv2d,
  maxPool,
  averagePool,
  globalAveragePool,
  reshape,
  activation,
  dropout,
  batchNorm,
  add,
  concatenate,
  zeroPad,
};

/** Adds the operators of one layer's forward pass. */
export function applyLayer(context: RuleContext, node: LayerNode, inputs: readonly Value[]): RuleResult {
  invariant(node.kind !== 'input', 'the input layer has no operators');
  return (rules[node.kind] as Rule<typeof node.kind>)(context, node as never, inputs);
}
