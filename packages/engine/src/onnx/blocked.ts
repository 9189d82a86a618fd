/**
 * Convolutions in ONNX Runtime's own blocked layout (NCHWc: channels in blocks as wide as a vector register). They need no
 * im2col and run at twice the speed of its `Conv` and `ConvTranspose`. The operators are those that ONNX Runtime puts in place
 * of `Conv` when weights are constant (`nchwc_transformer.cc`, `nchwc_ops.cc`); here weights change in every step, so they
 * are written down by hand. Where the operators do not exist, or give other numbers, `findBlock` says so.
 */
import type { Padding, Shape, Window } from '../topology/network.ts';
import type { GraphBuilder, Value } from './graph.ts';

/** Channels in a block. */
export type Block = number;

interface BlockedConvolution {
  readonly block: Block;
  /** [windowHeight * windowWidth, channels, filters]: a kernel as Keras has it. */
  readonly kernel: Value;
  readonly bias: Value | undefined;
  readonly window: Window;
  readonly channels: number;
  readonly filters: number;
  /** Of the output. */
  readonly shape: Shape;
}

/** Whether a convolution can be done in blocks. */
export function isBlocked(
  block: Block | undefined,
  { size }: Window,
  channels: number,
  filters: number,
): block is Block {
  // A convolution with one tap is a product of matrices already.
  return block !== undefined && channels % block === 0 && filters % block === 0 && size[0] * size[1] > 1;
}

/** @param pictures [N, height, width, channels] @returns [N, outHeight, outWidth, filters] */
export function blockedConvolution(g: GraphBuilder, pictures: Value, convolution: BlockedConvolution): Value {
  const { block, kernel, bias, window, channels, filters, shape } = convolution;
  return convolve(g, block, pictures, kernel, bias, window, [channels, filters], shape);
}

/**
 * Gradient of the input of a convolution with strides of 1: a convolution of the output's gradient with the kernel turned
 * by 180 degrees, its channels and filters exchanged.
 * @param gradient [N, outHeight, outWidth, filters]
 * @returns [N, height, width, channels]; undefined where a window goes further into the padding than this can say
 */
export function blockedInputGradient(
  g: GraphBuilder,
  gradient: Value,
  { block, kernel, window, channels, filters }: BlockedConvolution,
  inputShape: Shape,
): Value | undefined {
  const [height, width] = window.size;
  const { top, bottom, left, right } = window.padding;
  const padding = {
    top: height - 1 - top,
    bottom: height - 1 - bottom,
    left: width - 1 - left,
    right: width - 1 - right,
  };
  if (Object.values(padding).some((amount) => amount < 0)) return undefined;
  const taps = height * width;
  // One transposition into blocks would take twice as long. Turned as rows, so that ONNX Runtime makes none out of the two.
  const exchanged = g.reshape(g.op('Transpose', [kernel], { perm: [0, 2, 1] }), [taps, filters * channels]);
  const turned = g.op('Gather', [exchanged, g.integers(Array.from({ length: taps }, (_, i) => taps - 1 - i))], {
    axis: 0,
  });
  return convolve(g, block, gradient, turned, undefined, { ...window, padding }, [filters, channels], inputShape);
}

/** @param kernel windowHeight * windowWidth * channels * filters elements in this order */
function convolve(
  g: GraphBuilder,
  block: Block,
  pictures: Value,
  kernel: Value,
  bias: Value | undefined,
  {
    size,
    strides,
    padding,
  }: { readonly size: Window['size']; readonly strides: Window['strides']; readonly padding: Padding },
  [channels, filters]: readonly [number, number],
  [height, width]: Shape,
): Value {
  const { top, bottom, left, right } = padding;
  const apart = g.reshape(kernel, [size[0] * size[1], channels / block, block, filters / block, block]);
  const filter = g.op('Transpose', [apart], { perm: [3, 1, 0, 2, 4] });
  const inputs = [
    g.blockedOp('ReorderInput', [pictures], { channels_last: 1 }),
    g.reshape(filter, [filters, channels, ...size]),
    ...(bias === undefined ? [] : [bias]),
  ];
  const attributes = { kernel_shape: size, strides, pads: [top, left, bottom, right] };
  const planes = g.blockedOp('Conv', inputs, attributes);
  const output = g.blockedOp('ReorderOutput', [planes], { channels: filters, channels_last: 1 });
  return g.reshape(output, [-1, height!, width!, filters]);
}
