/** Convolutions, pooling and padding over tf.js, each next to its gradient. */
import { invariant } from '@lockstep/core';
import { placeWindow } from '../topology/keras.ts';
import type { Padding, Shape, Window } from '../topology/network.ts';
import {
  type Applied,
  addBias,
  type Node,
  type Operands,
  simple,
  type Tensor,
  type Tensor4D,
  type Tf,
  weightGradients,
} from './applied.ts';

/** The name of the padding that a window carries as numbers. */
function paddingName({ size, strides, padding }: Window, [, height, width]: Shape): 'valid' | 'same' {
  if (Object.values(padding).every((amount) => amount === 0)) return 'valid';
  const same = placeWindow([height!, width!], size, strides, 'same').window.padding;
  const { top, bottom, left, right } = padding;
  invariant(
    top === same.top && bottom === same.bottom && left === same.left && right === same.right,
    'a window is padded as "valid" or "same"',
  );
  return 'same';
}

const pair = ([a, b]: readonly [number, number]): [number, number] => [a, b];

export function conv2d(node: Node<'conv2d'>, operands: Operands): Applied {
  const { tf } = operands;
  const input = operands.inputs[0]! as Tensor4D;
  const kernel = operands.parameter(node.kernel) as Tensor4D;
  const padding = paddingName(node.window, input.shape);
  const strides = pair(node.window.strides);
  return {
    output: addBias(tf, tf.conv2d(input, kernel, strides, padding), node.bias, operands),
    backward: (gradient) => {
      const attributes = { strides, pad: padding, dataFormat: 'NHWC', filterShape: [...kernel.shape] };
      const filter = tf.engine().runKernel(tf.Conv2DBackpropFilter, { x: input, dy: gradient }, attributes) as Tensor;
      return {
        inputs: [tf.conv2dTranspose(gradient as Tensor4D, kernel, input.shape, strides, padding)],
        weights: weightGradients(tf, node, filter, gradient),
      };
    },
    statistics: {},
  };
}

export function depthwiseConv2d(node: Node<'depthwiseConv2d'>, operands: Operands): Applied {
  const { tf } = operands;
  const input = operands.inputs[0]! as Tensor4D;
  const kernel = operands.parameter(node.kernel) as Tensor4D;
  const padding = paddingName(node.window, input.shape);
  const strides = pair(node.window.strides);
  const attributes = { strides, pad: padding, dilations: [1, 1] };
  return {
    output: addBias(tf, tf.depthwiseConv2d(input, kernel, strides, padding), node.bias, operands),
    backward: (gradient) => {
      const { DepthwiseConv2dNativeBackpropInput, DepthwiseConv2dNativeBackpropFilter } = tf;
      const engine = tf.engine();
      const back = engine.runKernel(
        DepthwiseConv2dNativeBackpropInput,
        { dy: gradient, filter: kernel },
        { ...attributes, inputShape: [...input.shape] },
      ) as Tensor;
      const filter = engine.runKernel(
        DepthwiseConv2dNativeBackpropFilter,
        { x: input, dy: gradient },
        { ...attributes, filterShape: [...kernel.shape] },
      ) as Tensor;
      return { inputs: [back], weights: weightGradients(tf, node, filter, gradient) };
    },
    statistics: {},
  };
}

export function maxPool({ window }: Node<'maxPool'>, { tf, inputs }: Operands): Applied {
  const input = inputs[0]! as Tensor4D;
  const padding = paddingName(window, input.shape);
  const attributes = { filterSize: pair(window.size), strides: pair(window.strides), pad: padding };
  const output = tf.maxPool(input, attributes.filterSize, attributes.strides, padding);
  return simple(output, (gradient) => [
    tf.engine().runKernel(tf.MaxPoolGrad, { dy: gradient, input, output }, attributes) as Tensor,
  ]);
}

/**
 * Pads by hand and divides by the number of real pixels itself: the gradient kernel of tf.js' cpu backend divides by the whole
 * window even at the border.
 */
export function averagePool({ window, shape }: Node<'averagePool'>, { tf, inputs }: Operands): Applied {
  const input = inputs[0]! as Tensor4D;
  const padded = pad(tf, input, window.padding) as Tensor4D;
  const [height, width] = input.shape.slice(1) as [number, number];
  const attributes = { filterSize: pair(window.size), strides: pair(window.strides), pad: 'valid' };
  const inside = (out: number, stride: number, before: number, size: number, length: number): number =>
    Math.min(out * stride - before + size, length) - Math.max(out * stride - before, 0);
  const rows = Array.from({ length: shape[0]! }, (_, y) =>
    inside(y, window.strides[0], window.padding.top, window.size[0], height),
  );
  const columns = Array.from({ length: shape[1]! }, (_, x) =>
    inside(x, window.strides[1], window.padding.left, window.size[1], width),
  );
  const area = window.size[0] * window.size[1];
  const correction = tf.tensor4d(
    rows.flatMap((numRows) => columns.map((numColumns) => area / (numRows * numColumns))),
    [1, rows.length, columns.length, 1],
  );
  const means = tf.avgPool(padded, attributes.filterSize, attributes.strides, 'valid');
  return simple(tf.mul(means, correction), (gradient) => {
    const dy = tf.mul(gradient, correction);
    const back = tf.engine().runKernel(tf.AvgPoolGrad, { dy, input: padded }, attributes) as Tensor;
    return [unpad(tf, back, window.padding, input.shape)];
  });
}

export function pad(tf: Tf, input: Tensor, { top, bottom, left, right }: Padding): Tensor {
  if (top + bottom + left + right === 0) return input;
  return tf.pad(input, [
    [0, 0],
    [top, bottom],
    [left, right],
    [0, 0],
  ]);
}

export function unpad(tf: Tf, gradient: Tensor, { top, left }: Padding, shape: readonly number[]): Tensor {
  return tf.slice(gradient, [0, top, left, 0], [...shape]);
}
