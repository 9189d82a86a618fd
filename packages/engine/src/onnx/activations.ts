/** Activation functions and their gradients. */
import type { ActivationName } from '../topology/network.ts';
import type { GraphBuilder, Value } from './graph.ts';

interface Activated {
  readonly output: Value;
  backward(gradient: Value): Value;
}

/** 0.5 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))): Hendrycks and Gimpel, 2016. */
const GELU_TANH = { scale: Math.sqrt(2 / Math.PI), cubic: 0.044_715 };

export const activations: { readonly [name in ActivationName]: (g: GraphBuilder, input: Value) => Activated } = {
  relu: (g, input) => {
    const output = g.op('Relu', [input]);
    return { output, backward: (gradient) => g.gate(g.op('Greater', [output, g.scalar(0)]), gradient) };
  },

  relu6: (g, input) => {
    const output = g.op('Clip', [input, g.scalar(0), g.scalar(6)]);
    const inside = (): Value =>
      g.op('And', [g.op('Greater', [input, g.scalar(0)]), g.op('Less', [input, g.scalar(6)])]);
    return { output, backward: (gradient) => g.gate(inside(), gradient) };
  },

  tanh: (g, input) => {
    const output = g.op('Tanh', [input]);
    const slope = (): Value => g.op('Sub', [g.scalar(1), g.op('Mul', [output, output])]);
    return { output, backward: (gradient) => g.op('Mul', [gradient, slope()]) };
  },

  sigmoid: (g, input) => {
    const output = g.op('Sigmoid', [input]);
    const slope = (): Value => g.op('Mul', [output, g.op('Sub', [g.scalar(1), output])]);
    return { output, backward: (gradient) => g.op('Mul', [gradient, slope()]) };
  },

  gelu: (g, input) => {
    const erf = g.op('Erf', [g.op('Mul', [input, g.scalar(Math.SQRT1_2)])]);
    const probability = g.op('Mul', [g.op('Add', [erf, g.scalar(1)]), g.scalar(0.5)]);
    const slope = (): Value => {
      const exponent = g.op('Mul', [g.op('Mul', [input, input]), g.scalar(-0.5)]);
      const density = g.op('Mul', [g.op('Exp', [exponent]), g.scalar(1 / Math.sqrt(2 * Math.PI))]);
      return g.op('Add', [probability, g.op('Mul', [input, density])]);
    };
    return { output: g.op('Mul', [input, probability]), backward: (gradient) => g.op('Mul', [gradient, slope()]) };
  },

  gelu_tanh: (g, input) => {
    const { scale, cubic } = GELU_TANH;
    const square = g.op('Mul', [input, input]);
    const inner = g.op('Mul', [
      g.op('Mul', [input, g.scalar(scale)]),
      g.op('Add', [g.op('Mul', [square, g.scalar(cubic)]), g.scalar(1)]),
    ]);
    const tanh = g.op('Tanh', [inner]);
    const half = g.op('Mul', [g.op('Add', [tanh, g.scalar(1)]), g.scalar(0.5)]);
    const slope = (): Value => {
      const outer = g.op('Sub', [g.scalar(1), g.op('Mul', [tanh, tanh])]);
      const innerSlope = g.op('Add', [g.op('Mul', [square, g.scalar(3 * cubic * scale)]), g.scalar(scale)]);
      const product = g.op('Mul', [g.op('Mul', [input, g.scalar(0.5)]), g.op('Mul', [outer, innerSlope])]);
      return g.op('Add', [half, product]);
    };
    return { output: g.op('Mul', [input, half]), backward: (gradient) => g.op('Mul', [gradient, slope()]) };
  },

  softmax: (g, input) => {
    const output = g.op('Softmax', [input], { axis: -1 });
    return {
      output,
      backward: (gradient) => {
        const weighted = g.op('Mul', [gradient, output]);
        return g.op('Sub', [weighted, g.op('Mul', [output, g.reduce('ReduceSum', weighted, [-1], true)])]);
      },
    };
  },
};
