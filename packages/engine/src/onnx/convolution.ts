/** Convolutions: in ONNX Runtime's blocked layout, as products of matrices, and depthwise. */
import type { LayerNode, Shape } from '../topology/network.ts';
import { type Block, blockedConvolution, blockedInputGradient, isBlocked } from './blocked.ts';
import type { GraphBuilder, Value } from './graph.ts';
import { type Rule, type RuleContext, type RuleResult, sumPixels } from './rule.ts';
import { fold, pad, transposedConvolution, unfold, unfoldByRows, unfoldPlanes, windowSlices } from './windows.ts';

export const conv2d: Rule<'conv2d'> = (context, node, inputs) => {
  const { block } = context.dialect;
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
      context.produce(node.kernel, kernelGradient(context, windows, rows, planar, dims, node.shape), dims);
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
  { g, dialect }: RuleContext,
  windows: Value,
  rows: Value,
  planar: boolean,
  [size, filters]: readonly [number, number],
  output: Shape,
): Value {
  if (dialect.gpu) return kernelGradientInParts(g, windows, rows, planar, [size, filters], output);
  if (planar) return g.op('Gemm', [windows, rows]);
  return turned(g, g.op('Gemm', [turned(g, rows, -1, filters), windows]), filters, size);
}

/** Parts that are enough to occupy a GPU. */
const MAX_PARTS = 64;

/**
 * The same on a GPU. The product is small and its sums are as long as the micro-batch has pixels, so it is formed in parts
 * side by side, as many as divide the pixels of any number of samples.
 */
function kernelGradientInParts(
  g: GraphBuilder,
  windows: Value,
  rows: Value,
  planar: boolean,
  [size, filters]: readonly [number, number],
  [height, width]: Shape,
): Value {
  const pixels = height! * width!;
  let parts = Math.min(MAX_PARTS, pixels);
  while (pixels % parts !== 0) parts--;
  const gradients = g.reshape(rows, [parts, -1, filters]);
  if (planar) {
    const planes = g.op('Transpose', [g.reshape(windows, [size, parts, -1])], { perm: [1, 0, 2] });
    return g.reduce('ReduceSum', g.op('MatMul', [planes, gradients]), [0], false);
  }
  const apart = g.op('Transpose', [gradients], { perm: [0, 2, 1] });
  const products = g.op('MatMul', [apart, g.reshape(windows, [parts, -1, size])]);
  const product = g.reduce('ReduceSum', products, [0], false);
  return g.op('Transpose', [product], { perm: [1, 0] });
}

export const depthwiseConv2d: Rule<'depthwiseConv2d'> = (context, node, [input]) => {
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
