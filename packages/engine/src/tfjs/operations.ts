/**
 * Every operation of a network over tf.js, next to its gradient. The gradients are written out because the Node build of
 * tfjs-core registers none: tf.js' own come with @tensorflow/tfjs, which brings five more packages.
 */
import type { ActivationName, LayerNode } from '../topology/network.ts';
import {
  type Applied,
  addBias,
  type Node,
  type Operands,
  simple,
  type Tensor,
  type Tensor2D,
  type Tf,
  weightGradients,
} from './applied.ts';
import { averagePool, conv2d, depthwiseConv2d, maxPool, pad, unpad } from './windows.ts';

export function applyNode(node: Exclude<LayerNode, { kind: 'input' }>, operands: Operands): Applied {
  const { tf } = operands;
  const input = operands.inputs[0]!;
  switch (node.kind) {
    case 'dense':
      return dense(node, operands);
    case 'conv2d':
      return conv2d(node, operands);
    case 'depthwiseConv2d':
      return depthwiseConv2d(node, operands);
    case 'maxPool':
      return maxPool(node, operands);
    case 'averagePool':
      return averagePool(node, operands);
    case 'globalAveragePool': {
      const [count, height, width, channels] = input.shape as [number, number, number, number];
      const output = tf.reshape(tf.mean(input, [1, 2]), [count, ...node.shape]);
      return simple(output, (gradient) => {
        const each = tf.div(tf.reshape(gradient, [count, 1, 1, channels]), height * width);
        return [tf.tile(each, [1, height, width, 1])];
      });
    }
    case 'reshape':
      return simple(tf.reshape(input, [input.shape[0]!, ...node.shape]), (gradient) => [
        tf.reshape(gradient, input.shape),
      ]);
    case 'activation':
      return activate(tf, node.activation, input);
    case 'dropout': {
      if (operands.masks === undefined) return simple(input, (gradient) => [gradient]);
      const factor = tf.div(operands.masks[node.index]!, 1 - node.rate);
      return simple(tf.mul(input, factor), (gradient) => [tf.mul(gradient, factor)]);
    }
    case 'batchNorm':
      return batchNorm(node, operands);
    case 'add': {
      const output = operands.inputs.reduce((sum, other) => tf.add(sum, other));
      return simple(output, (gradient) => operands.inputs.map(() => gradient));
    }
    case 'concatenate': {
      const axis = node.axis + 1;
      const sizes = operands.inputs.map(({ shape }) => shape[axis]!);
      return simple(tf.concat([...operands.inputs], axis), (gradient) => tf.split(gradient, sizes, axis));
    }
    case 'zeroPad':
      return simple(pad(tf, input, node.padding), (gradient) => [unpad(tf, gradient, node.padding, input.shape)]);
    default:
      return node satisfies never;
  }
}

function dense(node: Node<'dense'>, operands: Operands): Applied {
  const { tf } = operands;
  const input = operands.inputs[0]!;
  const kernel = operands.parameter(node.kernel) as Tensor2D;
  const [numInputs, units] = kernel.shape;
  const rows = tf.reshape(input, [-1, numInputs]) as Tensor2D;
  const product = tf.reshape(tf.matMul(rows, kernel), [...input.shape.slice(0, -1), units]);
  return {
    output: addBias(tf, product, node.bias, operands),
    backward: (gradient) => {
      const out = tf.reshape(gradient, [-1, units]) as Tensor2D;
      return {
        inputs: [tf.reshape(tf.matMul(out, kernel, false, true), input.shape)],
        weights: weightGradients(tf, node, tf.matMul(rows, out, true, false), gradient),
      };
    },
    statistics: {},
  };
}

const erfSlope = 1 / Math.sqrt(2 * Math.PI);
const tanhScale = Math.sqrt(2 / Math.PI);

function activate(tf: Tf, activation: ActivationName, x: Tensor): Applied {
  switch (activation) {
    case 'relu':
      return simple(tf.relu(x), (gradient) => [tf.mul(gradient, tf.step(x))]);
    case 'relu6':
      return simple(tf.relu6(x), (gradient) => [tf.mul(gradient, tf.mul(tf.step(x), tf.step(tf.sub(6, x))))]);
    case 'tanh': {
      const y = tf.tanh(x);
      return simple(y, (gradient) => [tf.mul(gradient, tf.sub(1, tf.square(y)))]);
    }
    case 'sigmoid': {
      const y = tf.sigmoid(x);
      return simple(y, (gradient) => [tf.mul(gradient, tf.mul(y, tf.sub(1, y)))]);
    }
    case 'gelu': {
      const cumulative = tf.mul(0.5, tf.add(1, tf.erf(tf.mul(x, Math.SQRT1_2))));
      return simple(tf.mul(x, cumulative), (gradient) => {
        const density = tf.mul(erfSlope, tf.exp(tf.mul(-0.5, tf.square(x))));
        return [tf.mul(gradient, tf.add(cumulative, tf.mul(x, density)))];
      });
    }
    case 'gelu_tanh': {
      const square = tf.square(x);
      const t = tf.tanh(tf.mul(tanhScale, tf.mul(x, tf.add(1, tf.mul(0.044715, square)))));
      return simple(tf.mul(tf.mul(0.5, x), tf.add(1, t)), (gradient) => {
        const slope = tf.mul(tanhScale, tf.add(1, tf.mul(3 * 0.044715, square)));
        const inner = tf.mul(tf.mul(x, tf.sub(1, tf.square(t))), slope);
        return [tf.mul(gradient, tf.mul(0.5, tf.add(tf.add(1, t), inner)))];
      });
    }
    case 'softmax': {
      const y = tf.softmax(x);
      return simple(y, (gradient) => {
        const weighted = tf.mul(gradient, y);
        return [tf.sub(weighted, tf.mul(tf.sum(weighted, -1, true), y))];
      });
    }
    default:
      return activation satisfies never;
  }
}

/** Ioffe and Szegedy, "Batch normalization", ICML 2015. */
function batchNorm(node: Node<'batchNorm'>, { tf, inputs, parameter, masks }: Operands): Applied {
  const input = inputs[0]!;
  const channels = input.shape.at(-1)!;
  const rows = tf.reshape(input, [-1, channels]);
  const training = masks !== undefined;
  const mean = training ? tf.mean(rows, 0) : parameter(node.movingMean);
  const centred = tf.sub(rows, mean);
  const variance = training ? tf.mean(tf.square(centred), 0) : parameter(node.movingVariance);
  const inverse = tf.rsqrt(tf.add(variance, node.epsilon));
  const normal = tf.mul(centred, inverse);
  const gamma = node.gamma === undefined ? undefined : parameter(node.gamma);
  const scaled = gamma ? tf.mul(normal, gamma) : normal;
  const shifted = node.beta === undefined ? scaled : tf.add(scaled, parameter(node.beta));
  return {
    output: tf.reshape(shifted, input.shape),
    backward: (gradient) => {
      const out = tf.reshape(gradient, [-1, channels]);
      const toNormal = gamma ? tf.mul(out, gamma) : out;
      const alongNormal = tf.mul(normal, tf.mean(tf.mul(toNormal, normal), 0));
      const back = tf.mul(inverse, tf.sub(tf.sub(toNormal, tf.mean(toNormal, 0)), alongNormal));
      return {
        inputs: [tf.reshape(back, input.shape)],
        weights: {
          ...(node.gamma === undefined ? {} : { [node.gamma]: tf.sum(tf.mul(out, normal), 0) }),
          ...(node.beta === undefined ? {} : { [node.beta]: tf.sum(out, 0) }),
        },
      };
    },
    statistics: training ? { [node.movingMean]: mean, [node.movingVariance]: variance } : {},
  };
}
