/** Softmax cross-entropy, its gradient, and the predicted classes. */
import type { GraphBuilder, Value } from './graph.ts';
import { dataTypes } from './proto.ts';

interface Loss {
  /** [1] sum over the samples. */
  readonly sum: Value;
  /** [N, classes] gradient of the sum with respect to the logits. */
  readonly gradient: Value;
  /** [N] class of the largest logit, the first of equals: int64, on a GPU float32. */
  readonly predicted: Value;
  /** [1] how many predictions are the sample's label. */
  readonly numCorrect: Value;
}

/**
 * @param logits [N, classes]
 * @param labels [N] uint8
 * @param smoothing share of the target that is spread evenly over all classes
 * @param gpu whether the graph runs on a GPU
 */
export function crossEntropy(
  g: GraphBuilder,
  logits: Value,
  labels: Value,
  numClasses: number,
  smoothing: number,
  gpu: boolean,
): Loss {
  const all = Array.from({ length: numClasses }, (_, i) => i);
  const type = gpu ? 'float32' : 'int64';
  const numbers = g.op('Cast', [labels], { to: dataTypes[type] });
  const classes = gpu ? g.floats(all, [1, numClasses]) : g.integers(all, [1, numClasses]);
  const hits = g.op('Cast', [g.op('Equal', [g.reshape(numbers, [-1, 1]), classes])], { to: dataTypes.float32 });
  const target =
    smoothing === 0
      ? hits
      : g.op('Add', [g.op('Mul', [hits, g.scalar(1 - smoothing)]), g.scalar(smoothing / numClasses)]);
  const { logProbabilities, predict } = gpu ? byParts(g, logits, classes, numClasses) : whole(g, logits);
  const sum = g.op('Neg', [g.reduce('ReduceSum', g.op('Mul', [target, logProbabilities]), [0, 1], false)]);
  const total = g.reshape(sum, [1]);
  const predicted = predict();
  const correct = g.op('Cast', [g.op('Equal', [predicted, numbers])], { to: dataTypes.float32 });
  const numCorrect = g.reduce('ReduceSum', correct, [0], true);
  const gradient = g.op('Sub', [g.op('Exp', [logProbabilities]), target]);
  return { sum: total, gradient, predicted, numCorrect };
}

interface Parts {
  readonly logProbabilities: Value;
  predict(): Value;
}

const whole = (g: GraphBuilder, logits: Value): Parts => ({
  logProbabilities: g.op('LogSoftmax', [logits], { axis: -1 }),
  predict: () => g.op('ArgMax', [logits], { axis: -1, keepdims: 0 }),
});

/** WebGPU has no LogSoftmax, and ArgMax would give integers of 64 bits, which cannot be compared there. */
function byParts(g: GraphBuilder, logits: Value, classes: Value, numClasses: number): Parts {
  const largest = g.reduce('ReduceMax', logits, [-1], true);
  const shifted = g.op('Sub', [logits, largest]);
  const logSum = g.op('Log', [g.reduce('ReduceSum', g.op('Exp', [shifted]), [-1], true)]);
  return {
    logProbabilities: g.op('Sub', [shifted, logSum]),
    predict: () => {
      const isLargest = g.op('Equal', [logits, largest]);
      return g.reduce('ReduceMin', g.op('Where', [isLargest, classes, g.scalar(numClasses)]), [-1], false);
    },
  };
}
