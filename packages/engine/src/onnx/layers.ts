/**
 * One rule per kind of layer: the operators of its forward pass and, next to them, of its gradient.
 * A gradient is always of the loss summed over the micro-batch.
 */
import { invariant } from '@lockstep/core';
import type { LayerNode, LayerOperation } from '../topology/network.ts';
import { activations } from './activations.ts';
import { batchNorm } from './batch-norm.ts';
import { conv2d, depthwiseConv2d } from './convolution.ts';
import type { Value } from './graph.ts';
import { dataTypes } from './proto.ts';
import { type Rule, type RuleContext, type RuleResult, sumPixels } from './rule.ts';
import { fold, pad, windowCounts, windowSlices } from './windows.ts';

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
        const toFirst = g.gate(firstWins, amount);
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
  const kept = g.op('Cast', [context.dropoutMask(node.index, node.shape)], { to: dataTypes.float32 });
  const factors = g.op('Mul', [kept, g.scalar(1 / (1 - node.rate))]);
  return {
    output: g.op('Mul', [input!, factors]),
    backward: (gradient, [wanted]) => [wanted ? g.op('Mul', [gradient, factors]) : undefined],
  };
};

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
