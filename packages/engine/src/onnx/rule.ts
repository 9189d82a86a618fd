/** What the rules of all layers share: what they are given, what they give back, and sums over pixels. */
import type { ParameterLayout } from '@lockstep/core';
import { type LayerNode, type LayerOperation, numElements, type Shape } from '../topology/network.ts';
import type { GraphBuilder, Value } from './graph.ts';
import type { Dialect } from './runtime.ts';

/** What a rule may use beside its layer's inputs. */
export interface RuleContext {
  readonly g: GraphBuilder;
  readonly training: boolean;
  readonly layout: ParameterLayout;
  readonly dialect: Dialect;
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

export type Rule<Kind extends LayerOperation['kind']> = (
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

export const sumPixels = (g: GraphBuilder, value: Value, shape: Shape): Value =>
  overPixels(g, 'ReduceSum', value, shape);
export const meanPixels = (g: GraphBuilder, value: Value, shape: Shape): Value =>
  overPixels(g, 'ReduceMean', value, shape);
