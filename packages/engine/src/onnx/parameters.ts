/** The parameters as sessions read them: in the host's memory, or in that of a GPU. */
import type { InferenceSession, Tensor } from 'onnxruntime-common';
import type { Network } from '../topology/network.ts';
import type { Binding, CompiledGraph } from './compiled.ts';
import type { OnnxRuntime } from './runtime.ts';
import { compileSplit, FLAT } from './split.ts';

export type Tensors = Record<string, Tensor>;

/** Tensors that are windows into one flat vector, so that ONNX Runtime reads and writes there without a copy. */
export function bind({ Tensor }: OnnxRuntime, bindings: readonly Binding[], flat: Float32Array): Tensors {
  return Object.fromEntries(
    bindings.map(({ name, part: { offset, size }, dims }) => [
      name,
      new Tensor('float32', flat.subarray(offset, offset + size), dims),
    ]),
  );
}

export interface ParameterTensors {
  /** Takes the first `layout.numParameters` of `flat`. */
  set(flat: Float32Array): void;
  /** What a graph is fed with of them, in a new object. */
  of(graph: CompiledGraph): Promise<Tensors>;
  dispose(): Promise<void>;
}

/** Windows into one vector. */
export class HostParameters implements ParameterTensors {
  readonly #runtime: OnnxRuntime;
  readonly #flat: Float32Array;
  readonly #tensors = new WeakMap<CompiledGraph, Tensors>();

  constructor(runtime: OnnxRuntime, { layout }: Network) {
    this.#runtime = runtime;
    this.#flat = new Float32Array(layout.numParameters);
  }

  set(flat: Float32Array): void {
    this.#flat.set(flat.subarray(0, this.#flat.length));
  }

  async of(graph: CompiledGraph): Promise<Tensors> {
    let tensors = this.#tensors.get(graph);
    if (!tensors) {
      tensors = bind(this.#runtime, graph.parameters, this.#flat);
      this.#tensors.set(graph, tensors);
    }
    return { ...tensors };
  }

  async dispose(): Promise<void> {}
}

/**
 * Tensors in the memory of a GPU. They go there in one piece when they are first needed, and stay for all micro-batches
 * until others are set.
 */
export class DeviceParameters implements ParameterTensors {
  readonly #runtime: OnnxRuntime;
  readonly #flat: Float32Array;
  readonly #split: InferenceSession;
  /** Undefined when those on the GPU are not the latest. */
  #current: Tensors | undefined;
  #outdated: Tensors | undefined;

  private constructor(runtime: OnnxRuntime, split: InferenceSession, length: number) {
    this.#runtime = runtime;
    this.#split = split;
    this.#flat = new Float32Array(length);
  }

  static async open(runtime: OnnxRuntime, network: Network, parameters: readonly Binding[]): Promise<DeviceParameters> {
    const split = await runtime.open(compileSplit(network, parameters), true);
    return new DeviceParameters(runtime, split, network.layout.numParameters);
  }

  set(flat: Float32Array): void {
    this.#flat.set(flat.subarray(0, this.#flat.length));
    this.#outdated = this.#current ?? this.#outdated;
    this.#current = undefined;
  }

  async of(graph: CompiledGraph): Promise<Tensors> {
    this.#current ??= await this.#upload();
    const current = this.#current;
    return Object.fromEntries(graph.parameters.map(({ name }) => [name, current[name]!]));
  }

  async #upload(): Promise<Tensors> {
    discard(this.#outdated);
    this.#outdated = undefined;
    const flat = new this.#runtime.Tensor('float32', this.#flat, [this.#flat.length]);
    return (await this.#split.run({ [FLAT]: flat })) as Tensors;
  }

  async dispose(): Promise<void> {
    discard(this.#current ?? this.#outdated);
    await this.#split.release();
  }
}

function discard(tensors: Tensors | undefined): void {
  for (const tensor of Object.values(tensors ?? {})) tensor.dispose();
}
