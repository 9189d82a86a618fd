/** The default engine: ONNX training graphs run by an ONNX Runtime. */
import type { InferenceSession, Tensor } from 'onnxruntime-common';
import { fillDropoutMask } from '../dropout.ts';
import type { Engine, EngineConfig, Evaluation, MicroBatch, RandomKey, Samples } from '../engine.ts';
import { type Network, numElements } from '../topology/network.ts';
import { compileInference, compileTraining } from './compile.ts';
import { type CompiledGraph, names } from './compiled.ts';
import { bind, DeviceParameters, HostParameters, type ParameterTensors, type Tensors } from './parameters.ts';
import type { OnnxRuntime } from './runtime.ts';

/** A compiled training graph for groups of one size, opened. */
interface TrainingSession {
  readonly graph: CompiledGraph;
  readonly session: InferenceSession;
  /** Output tensors per sum vector. */
  readonly fetches: WeakMap<Float32Array, Tensors>;
}

interface SampleTensors {
  readonly count: number;
  /** The array behind `labels`. */
  readonly source: Uint8Array;
  readonly images: Tensor;
  readonly labels: Tensor;
}

/** Micro-batches per graph where grouping pays. */
const GROUP = 8;

/**
 * Grouping pays when a run takes little longer than what ONNX Runtime's binding spends on it: for each output it also
 * makes an array of its own, which is copied and collected again. That is so for dense layers, which do few
 * multiplications per parameter; a convolution does hundreds.
 */
function groupSize(network: Network): number {
  return network.nodes.some(({ kind }) => kind === 'conv2d' || kind === 'depthwiseConv2d') ? 1 : GROUP;
}

class OnnxEngine implements Engine {
  readonly kind = 'onnx';
  readonly device: string;
  readonly maxGroup: number;
  /** Tensors of the runtime cannot. */
  readonly writesShared = false;
  readonly #runtime: OnnxRuntime;
  readonly #config: EngineConfig;
  readonly #inferenceSession: InferenceSession;
  readonly #inference: CompiledGraph;
  /** The parameters that all sessions read. */
  readonly #parameters: ParameterTensors;
  readonly #sessions = new Map<number, Promise<TrainingSession>>();
  readonly #masks = new Map<string, Uint8Array>();
  readonly #sampleTensorsOf = new WeakMap<Uint8Array, SampleTensors>();

  constructor(
    runtime: OnnxRuntime,
    config: EngineConfig,
    inference: CompiledGraph,
    inferenceSession: InferenceSession,
    parameters: ParameterTensors,
  ) {
    this.maxGroup = groupSize(config.network);
    this.device = runtime.device;
    this.#runtime = runtime;
    this.#config = config;
    this.#inference = inference;
    this.#inferenceSession = inferenceSession;
    this.#parameters = parameters;
  }

  setParameters(flat: Float32Array): void {
    this.#parameters.set(flat);
  }

  async gradient(batches: readonly MicroBatch[], sums: Float32Array): Promise<void> {
    const { layout } = this.#config.network;
    const counts = batches.map(({ samples }) => samples.count);
    if (counts.includes(0)) {
      await this.#gradientOfSome(batches, sums);
      return;
    }
    const { graph, session, fetches } = await this.#session(batches.length);
    let outputs = fetches.get(sums);
    if (!outputs) {
      outputs = bind(this.#runtime, graph.produced, sums);
      fetches.set(sums, outputs);
    }
    const feeds = await this.#parameters.of(graph);
    batches.forEach(({ samples, key }, i) => {
      this.#feedSamples(feeds, samples, i);
      this.#feedMasks(feeds, graph, samples.count, key, i);
      if (graph.countsFed)
        feeds[names.count(i)] = new this.#runtime.Tensor('float32', Float32Array.of(samples.count), [1]);
    });
    const copies = await session.run(feeds, outputs);
    // The results are in `sums`; the binding's own copies of them are not needed.
    for (const { data } of Object.values(copies)) this.#runtime.release(data as Float32Array);
    sums[layout.countIndex] = counts.reduce((sum, count) => sum + count, 0);
  }

  /** Some micro-batches are empty, as at the end of an epoch: their sums are zero, so only halves with samples count. */
  async #gradientOfSome(batches: readonly MicroBatch[], sums: Float32Array): Promise<void> {
    if (batches.length === 1) {
      sums.fill(0);
      return;
    }
    const half = batches.length / 2;
    await this.gradient(batches.slice(0, half), sums);
    const right = new Float32Array(sums.length);
    await this.gradient(batches.slice(half), right);
    for (let i = 0; i < sums.length; i++) sums[i] = sums[i]! + right[i]!;
  }

  async evaluate(samples: Samples): Promise<Evaluation> {
    if (samples.count === 0) return { lossSum: 0, numCorrect: 0, predictions: new Uint8Array(0) };
    const outputs = await this.#infer(samples, [names.lossSum, names.numCorrect, names.predictions]);
    const scalar = (name: string): number => (outputs[name]!.data as Float32Array)[0]!;
    const predictions = outputs[names.predictions]!.data as Uint8Array;
    return { lossSum: scalar(names.lossSum), numCorrect: scalar(names.numCorrect), predictions };
  }

  async predict(samples: Samples, probabilities: Float32Array): Promise<void> {
    if (samples.count === 0) return;
    const outputs = await this.#infer(samples, [names.probabilities]);
    probabilities.set(outputs[names.probabilities]!.data as Float32Array);
  }

  async dispose(): Promise<void> {
    for (const opened of this.#sessions.values()) await (await opened).session.release();
    await this.#parameters.dispose();
    await this.#inferenceSession.release();
  }

  async #infer(samples: Samples, outputs: readonly string[]): Promise<InferenceSession.OnnxValueMapType> {
    const feeds = await this.#parameters.of(this.#inference);
    this.#feedSamples(feeds, samples, 0);
    return this.#inferenceSession.run(feeds, outputs);
  }

  /** The session for groups of one size, opened when it is first needed. */
  #session(numBatches: number): Promise<TrainingSession> {
    let opened = this.#sessions.get(numBatches);
    if (!opened) {
      const graph = compileTraining(this.#config, numBatches, this.#runtime.dialect);
      opened = this.#runtime
        .open(graph.bytes, false)
        .then((session) => ({ graph, session, fetches: new WeakMap<Float32Array, Tensors>() }));
      this.#sessions.set(numBatches, opened);
    }
    return opened;
  }

  #feedSamples(feeds: Tensors, samples: Samples, batch: number): void {
    const { images, labels } = this.#sampleTensors(samples);
    feeds[names.images(batch)] = images;
    feeds[names.labels(batch)] = labels;
  }

  /** Tensors over the samples' arrays. Callers fill the same arrays again and again, so the last tensors are kept. */
  #sampleTensors({ count, images, labels }: Samples): SampleTensors {
    const known = this.#sampleTensorsOf.get(images);
    if (known?.count === count && known.source === labels) return known;
    const size = numElements(this.#config.network.inputShape);
    const tensors = {
      count,
      source: labels,
      images: new this.#runtime.Tensor('uint8', images.subarray(0, count * size), [count, size]),
      labels: new this.#runtime.Tensor('uint8', labels.subarray(0, count), [count]),
    };
    this.#sampleTensorsOf.set(images, tensors);
    return tensors;
  }

  #feedMasks(feeds: Tensors, graph: CompiledGraph, count: number, key: RandomKey, batch: number): void {
    for (const { index, rate, shape } of graph.masks) {
      const name = names.mask(index, batch);
      const size = count * numElements(shape);
      let mask = this.#masks.get(name);
      if (!mask || mask.length < size) {
        mask = new Uint8Array(size);
        this.#masks.set(name, mask);
      }
      const used = mask.subarray(0, size);
      fillDropoutMask(rate, key, index, used);
      feeds[name] = new this.#runtime.Tensor('uint8', used, [count, ...shape]);
    }
  }
}

/** Opens an engine on a runtime. */
export async function createOnnxEngineOn(runtime: OnnxRuntime, config: EngineConfig): Promise<Engine> {
  const { network } = config;
  const inference = compileInference(network, runtime.dialect);
  const session = await runtime.open(inference.bytes, false);
  // Inference reads all parameters, training a part of them.
  const parameters = runtime.keeps
    ? await DeviceParameters.open(runtime, network, inference.parameters)
    : new HostParameters(runtime, network);
  return new OnnxEngine(runtime, config, inference, session, parameters);
}
