/**
 * Compiles a network into ONNX graphs: one that computes loss and all gradients of a micro-batch, one for inference, and
 * one for use elsewhere, which holds its weights. But for the last, pictures come in as uint8 and are scaled to 0..1
 * inside the graph.
 */
import { invariant, type Parameter } from '@lockstep/core';
import type { EngineConfig } from '../engine.ts';
import { type Network, numElements, type Shape } from '../topology/network.ts';
import { type Binding, type CompiledGraph, names } from './compiled.ts';
import { GraphBuilder, type Value } from './graph.ts';
import { applyLayer } from './layers.ts';
import { crossEntropy } from './loss.ts';
import { dataTypes, encodeModel, type ModelDescription } from './proto.ts';
import { reluAfterPool } from './reorder.ts';
import type { RuleContext, RuleResult } from './rule.ts';
import type { Dialect } from './runtime.ts';

class Compilation implements RuleContext {
  readonly g: GraphBuilder;
  readonly training: boolean;
  readonly dialect: Dialect;
  readonly layout: Network['layout'];
  readonly #network: Network;
  readonly #byName: ReadonlyMap<string, Parameter>;
  /** The flat parameter vector, for a graph that holds its weights; undefined for one that is fed with them. */
  readonly #weights: Float32Array | undefined;
  readonly #parameters = new Map<string, Binding>();
  /** Per parameter its gradient or statistic in each micro-batch so far. */
  readonly #produced = new Map<string, { readonly values: Value[]; readonly dims: readonly number[] }>();
  readonly #losses: Value[] = [];
  readonly #correct: Value[] = [];
  #countsFed = false;
  /** Micro-batch that is being compiled. */
  #batch = 0;

  constructor(network: Network, training: boolean, dialect: Dialect, weights?: Float32Array) {
    this.#network = { ...network, nodes: reluAfterPool(network.nodes) };
    this.training = training;
    this.g = new GraphBuilder(dialect.gpu);
    this.dialect = dialect;
    this.#weights = weights;
    this.layout = network.layout;
    this.#byName = new Map(network.layout.parameters.map((parameter) => [parameter.name, parameter]));
  }

  #named(name: string, dims: readonly number[]): Parameter {
    const parameter = this.#byName.get(name);
    invariant(
      parameter && numElements(dims) === parameter.size,
      `${name} is a parameter of ${numElements(dims)} elements`,
    );
    return parameter;
  }

  parameter(name: string, dims: readonly number[]): Value {
    if (!this.#parameters.has(name)) {
      const parameter = this.#named(name, dims);
      this.#parameters.set(name, { name, part: parameter, dims });
      if (this.#weights) this.g.tensor(name, this.layout.view(this.#weights, parameter), dims);
      else this.g.input(name, 'float32', dims);
    }
    return name;
  }

  produce(name: string, value: Value, dims: readonly number[]): void {
    const entry = this.#produced.get(name) ?? { values: [], dims };
    this.#produced.set(name, entry);
    // The weight of a statistic is the number of samples behind it.
    const isStatistic = this.#named(name, dims).kind === 'statistic';
    entry.values.push(isStatistic ? this.g.op('Mul', [value, this.count()]) : value);
  }

  count(): Value {
    const count = names.count(this.#batch);
    if (!this.g.hasInput(count)) this.g.input(count, 'float32', [1]);
    this.#countsFed = true;
    return count;
  }

  dropoutMask(index: number, shape: Shape): Value {
    return this.g.input(names.mask(index, this.#batch), 'uint8', [this.#dimension, ...shape]);
  }

  shapeOf(id: string): Shape {
    return this.#network.nodes.find((node) => node.id === id)!.shape;
  }

  /** Symbolic number of samples. */
  get #dimension(): string {
    return `N${this.#batch}`;
  }

  /** The pictures of the micro-batch, 0..1. */
  #scaledImages(): Value {
    const { g } = this;
    const { inputShape } = this.#network;
    // Scaled as rows, not as pictures: with one channel a scalar would be broadcast pixel by pixel.
    const rows = g.input(names.images(this.#batch), 'uint8', [this.#dimension, numElements(inputShape)]);
    const scaled = g.op('Mul', [g.op('Cast', [rows], { to: dataTypes.float32 }), g.scalar(1 / 255)]);
    return g.reshape(scaled, [-1, ...inputShape]);
  }

  /** The forward pass. @param images 0..1 @returns the value and rule of each node */
  #forward(images: Value): { values: Map<string, Value>; results: Map<string, RuleResult> } {
    const values = new Map<string, Value>();
    const results = new Map<string, RuleResult>();
    for (const node of this.#network.nodes) {
      if (node.kind === 'input') {
        values.set(node.id, images);
        continue;
      }
      const inputs = node.inputs.map((input) => values.get(input)!);
      const result = applyLayer(this, node, inputs);
      values.set(node.id, result.output);
      results.set(node.id, result);
    }
    return { values, results };
  }

  /** The backward pass: walks the nodes in reverse and adds up what flows into each. */
  #backward(logitsGradient: Value, results: ReadonlyMap<string, RuleResult>): void {
    const needsGradient = new Set<string>();
    for (const node of this.#network.nodes) {
      const trainable = 'kernel' in node || (node.kind === 'batchNorm' && (node.gamma ?? node.beta) !== undefined);
      if (trainable || node.inputs.some((input) => needsGradient.has(input))) needsGradient.add(node.id);
    }
    const flowing = new Map<string, Value[]>([[this.#network.logits, [logitsGradient]]]);
    for (const node of [...this.#network.nodes].reverse()) {
      const contributions = flowing.get(node.id);
      const result = results.get(node.id);
      if (!contributions || !result) continue;
      const wanted = node.inputs.map((input) => needsGradient.has(input));
      const gradients = result.backward(this.g.sum(contributions), wanted);
      node.inputs.forEach((input, i) => {
        const gradient = gradients[i];
        if (gradient !== undefined && wanted[i]) flowing.set(input, [...(flowing.get(input) ?? []), gradient]);
      });
    }
  }

  /** Adds one micro-batch: forward, loss and, in training, backward. */
  add(batch: number, labelSmoothing: number): { logits: Value; predicted: Value } {
    this.#batch = batch;
    const { values, results } = this.#forward(this.#scaledImages());
    const logits = values.get(this.#network.logits)!;
    const labels = this.g.input(names.labels(batch), 'uint8', [this.#dimension]);
    const { numClasses } = this.#network;
    const loss = crossEntropy(this.g, logits, labels, numClasses, labelSmoothing, this.dialect.gpu);
    const { gradient, predicted } = loss;
    this.#losses.push(loss.sum);
    this.#correct.push(loss.numCorrect);
    if (this.training) this.#backward(gradient, results);
    return { logits, predicted };
  }

  /** Adds the forward pass alone. @param images 0..1 @returns the logits */
  addForward(images: Value): Value {
    return this.#forward(images).values.get(this.#network.logits)!;
  }

  /** Sum along the reduction tree: neighbours first. */
  #treeSum(values: readonly Value[]): Value {
    if (values.length === 1) return values[0]!;
    const half = values.length / 2;
    return this.g.op('Add', [this.#treeSum(values.slice(0, half)), this.#treeSum(values.slice(half))]);
  }

  finish(): CompiledGraph {
    const produced = this.training ? this.#results() : [];
    if (!this.training) {
      this.g.output(names.lossSum, this.#treeSum(this.#losses), 'float32', [1]);
      this.g.output(names.numCorrect, this.#treeSum(this.#correct), 'float32', [1]);
    }
    return {
      bytes: encodeModel(this.g.finish(this.#network.name)),
      parameters: [...this.#parameters.values()],
      produced,
      masks: this.training ? this.#dropoutMasks() : [],
      countsFed: this.#countsFed,
    };
  }

  /** Makes what training computes outputs: each by itself, or from a GPU all in one, to cross the bus at once. */
  #results(): Binding[] {
    const { g, layout } = this;
    const results = [...this.#produced].map(([name, { values, dims }]) => {
      const { offset, size } = this.#byName.get(name)!;
      return { name: names.gradient(name), value: this.#treeSum(values), part: { offset, size }, dims };
    });
    const scalar = (name: string, offset: number, values: readonly Value[]): void => {
      results.push({ name, value: this.#treeSum(values), part: { offset, size: 1 }, dims: [1] });
    };
    scalar(names.lossSum, layout.lossIndex, this.#losses);
    scalar(names.numCorrect, layout.correctIndex, this.#correct);
    if (!this.dialect.gpu) {
      for (const { name, value, dims } of results) g.output(name, value, 'float32', dims);
      return results;
    }
    const size = layout.countIndex;
    const inOrder = [...results].sort((a, b) => a.part.offset - b.part.offset);
    invariant(
      inOrder.reduce((end, { part }) => (part.offset === end ? end + part.size : Number.NaN), 0) === size,
      'the results follow each other without a gap',
    );
    const pieces = inOrder.map(({ value, part }) => g.reshape(value, [part.size]));
    g.output(names.sums, g.op('Concat', pieces, { axis: 0 }), 'float32', [size]);
    return [{ name: names.sums, part: { offset: 0, size }, dims: [size] }];
  }

  #dropoutMasks(): CompiledGraph['masks'] {
    return this.#network.nodes.flatMap((node) =>
      node.kind === 'dropout' && node.rate > 0 ? [{ index: node.index, rate: node.rate, shape: node.shape }] : [],
    );
  }
}

/**
 * Forward, loss and backward in training mode over a group of micro-batches, each by itself, with their results added up
 * along the reduction tree; outputs the loss sum, the number correct, gradients and statistics times count.
 * @param numBatches a power of two
 */
export function compileTraining(
  { network, labelSmoothing }: EngineConfig,
  numBatches: number,
  dialect: Dialect,
): CompiledGraph {
  const compilation = new Compilation(network, true, dialect);
  for (let batch = 0; batch < numBatches; batch++) compilation.add(batch, labelSmoothing);
  return compilation.finish();
}

/** Forward in inference mode; outputs the loss sum, the number correct, [N] predictions and [N, classes] probabilities. */
export function compileInference(network: Network, dialect: Dialect): CompiledGraph {
  const compilation = new Compilation(network, false, dialect);
  const { g } = compilation;
  const { logits, predicted } = compilation.add(0, 0);
  // Labels are bytes, and so are predictions.
  g.output(names.predictions, g.op('Cast', [predicted], { to: dataTypes.uint8 }), 'uint8', ['N0']);
  g.output(names.probabilities, g.op('Softmax', [logits], { axis: -1 }), 'float32', ['N0', network.numClasses]);
  return compilation.finish();
}

/**
 * Forward in inference mode as a model for use elsewhere: pictures [N, height, width, channels] of float32 in 0..1 go in,
 * probabilities [N, classes] come out.
 * @param weights the flat parameter vector
 * @param description what the file says about itself and about the input and output
 * @returns the ONNX file
 */
export function compileClassifier(network: Network, weights: Float32Array, description: ModelDescription): Uint8Array {
  const compilation = new Compilation(network, false, { block: undefined, gpu: false }, weights);
  const { g } = compilation;
  const logits = compilation.addForward(g.input('images', 'float32', ['N', ...network.inputShape]));
  g.output(names.probabilities, g.op('Softmax', [logits], { axis: -1 }), 'float32', ['N', network.numClasses]);
  return encodeModel(g.finish(network.name), description);
}
