/** Builds an ONNX graph one operator at a time. Values are names; tensors are [batch, …], pictures NHWC. */
import {
  type Attribute,
  dataTypes,
  type Graph,
  type OperatorNode,
  type TensorConstant,
  type ValueInfo,
} from './proto.ts';

/** Name of a value in the graph. */
export type Value = string;

export class GraphBuilder {
  readonly #nodes: OperatorNode[] = [];
  readonly #constants = new Map<string, TensorConstant>();
  readonly #tensors: TensorConstant[] = [];
  readonly #inputs: ValueInfo[] = [];
  readonly #outputs: ValueInfo[] = [];
  readonly #renames = new Map<Value, string>();
  readonly #gpu: boolean;

  /** @param gpu whether the graph is for a GPU, where other operators exist and are fast */
  constructor(gpu = false) {
    this.#gpu = gpu;
  }

  /** Adds an operator with one output. */
  op(type: string, inputs: readonly Value[], attributes: OperatorNode['attributes'] = {}): Value {
    return this.ops(type, inputs, 1, attributes)[0]!;
  }

  /** Adds an operator with several outputs. */
  ops(
    type: string,
    inputs: readonly Value[],
    numOutputs: number,
    attributes: { readonly [name: string]: Attribute } = {},
  ): Value[] {
    const outputs = Array.from(
      { length: numOutputs },
      (_, i) => `${type}_${this.#nodes.length}${i > 0 ? `_${i}` : ''}`,
    );
    this.#nodes.push({ type, domain: undefined, inputs, outputs, attributes });
    return outputs;
  }

  /** Adds an operator of ONNX Runtime's own, for tensors in its blocked layout (NCHWc). */
  blockedOp(type: string, inputs: readonly Value[], attributes: OperatorNode['attributes']): Value {
    const output = `Blocked${type}_${this.#nodes.length}`;
    this.#nodes.push({ type, domain: 'com.microsoft.nchwc', inputs, outputs: [output], attributes });
    return output;
  }

  input(name: string, type: ValueInfo['type'], dims: ValueInfo['dims']): Value {
    this.#inputs.push({ name, type, dims });
    return name;
  }

  hasInput(name: string): boolean {
    return this.#inputs.some((input) => input.name === name);
  }

  /** Makes `value` an output of the graph under `name`, by renaming it: no copy. */
  output(name: string, value: Value, type: ValueInfo['type'], dims: ValueInfo['dims']): void {
    const taken = this.#renames.has(value) || this.hasInput(value);
    this.#renames.set(taken ? this.op('Identity', [value]) : value, name);
    this.#outputs.push({ name, type, dims });
  }

  #constant(type: TensorConstant['type'], values: readonly number[], dims: readonly number[]): Value {
    const key = `${type}[${dims.join()}]:${values.join()}`;
    const existing = this.#constants.get(key);
    if (existing) return existing.name;
    const name = `constant_${this.#constants.size}`;
    this.#constants.set(key, { name, type, dims, values });
    return name;
  }

  /** A large constant under a name of its own. */
  tensor(name: string, values: Float32Array, dims: readonly number[]): Value {
    this.#tensors.push({ name, type: 'float32', dims, values });
    return name;
  }

  scalar(value: number): Value {
    return this.#constant('float32', [value], []);
  }

  floats(values: readonly number[], dims: readonly number[]): Value {
    return this.#constant('float32', values, dims);
  }

  integers(values: readonly number[], dims: readonly number[] = [values.length]): Value {
    return this.#constant('int64', values, dims);
  }

  /** Row-major reinterpretation; -1 stands for the one dimension that follows from the others. */
  reshape(value: Value, dims: readonly number[]): Value {
    return this.op('Reshape', [value, this.integers(dims)]);
  }

  /** Cuts [start, end) with a step out of the given axes; `end` may exceed the dimension. */
  slice(
    value: Value,
    axes: readonly number[],
    starts: readonly number[],
    ends: readonly number[],
    steps: readonly number[],
  ): Value {
    return this.op('Slice', [value, ...[starts, ends, axes, steps].map((list) => this.integers(list))]);
  }

  sum(values: readonly Value[]): Value {
    if (values.length > 2 && !this.#gpu) return this.op('Sum', values);
    return values.reduce((sum, value) => this.op('Add', [sum, value]));
  }

  /** Where `condition` holds the value, elsewhere zero. */
  gate(condition: Value, value: Value): Value {
    if (this.#gpu) return this.op('Where', [condition, value, this.scalar(0)]);
    // On a CPU `Where` goes over the values three times.
    return this.op('Mul', [this.op('Cast', [condition], { to: dataTypes.float32 }), value]);
  }

  /** Sum, mean, maximum or minimum over axes. */
  reduce(
    type: `Reduce${'Sum' | 'Mean' | 'Max' | 'Min'}`,
    value: Value,
    axes: readonly number[],
    keepDims: boolean,
  ): Value {
    return this.op(type, [value, this.integers(axes)], { keepdims: keepDims ? 1 : 0 });
  }

  finish(name: string): Graph {
    const final = (value: Value): string => this.#renames.get(value) ?? value;
    const nodes = this.#nodes.map((node) => ({
      ...node,
      inputs: node.inputs.map(final),
      outputs: node.outputs.map(final),
    }));
    return {
      name,
      nodes,
      constants: [...this.#tensors, ...this.#constants.values()],
      inputs: this.#inputs,
      outputs: this.#outputs,
    };
  }
}
