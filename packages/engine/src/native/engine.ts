/** The engine that compiles a network to machine code of this processor, and computes on one CPU thread. */
import { fillDropoutMask } from '../dropout.ts';
import type { Engine, EngineConfig, Evaluation, MicroBatch, RandomKey, Samples } from '../engine.ts';
import { numElements } from '../topology/network.ts';
import type { Isa } from './assembler.ts';
import { type Compiled, CompiledNetwork, type Mask } from './compile.ts';
import { evaluationLoss, type Logits, probabilitiesOf, trainingLoss } from './loss.ts';
import { type Address, addressOf, findIsa } from './machine.ts';

/** Samples that inference takes at a time, of nets with convolutions and of others: of those, weights are packed for each call. */
const INFERENCE_COUNT = { single: 64, grouped: 256 } as const;

/** Batch sizes whose code is kept: the usual one and those at the ends of epochs. */
const MAX_COMPILED = 8;

class NativeEngine implements Engine {
  readonly kind = 'native';
  readonly device = 'cpu';
  readonly maxGroup: number;
  readonly writesShared = true;
  readonly #config: EngineConfig;
  readonly #compiler: CompiledNetwork;
  /** By the sizes of micro-batches, those used last at the end. */
  readonly #training = new Map<string, Compiled>();
  readonly #inference = new Map<string, Compiled>();
  readonly #addresses = new WeakMap<Float32Array, Address>();

  constructor(config: EngineConfig, isa: Isa) {
    this.#config = config;
    this.#compiler = new CompiledNetwork(config.network, isa);
    this.maxGroup = this.#compiler.maxGroup;
  }

  setParameters(flat: Float32Array): void {
    this.#compiler.parameters.set(flat);
  }

  async gradient(batches: readonly MicroBatch[], sums: Float32Array): Promise<void> {
    const { network, labelSmoothing } = this.#config;
    const counts = batches.map(({ samples }) => samples.count);
    if (counts.every((count) => count === 0)) {
      sums.fill(0);
      return;
    }
    const compiled = this.#compiled(this.#training, counts, true);
    const size = numElements(network.inputShape);
    let first = 0;
    for (const { samples, key } of batches) {
      compiled.images.set(samples.images.subarray(0, samples.count * size), first * size);
      for (const mask of compiled.masks) fillFactors(mask, first, samples.count, key);
      first += samples.count;
    }
    this.#run(compiled, 'forward', sums);
    first = 0;
    const totals = batches.map(({ samples }) => {
      const logits = this.#logits(compiled, first, samples.count);
      const gradient = compiled.gradient.subarray(first * compiled.logitsRoom);
      first += samples.count;
      return trainingLoss(logits, samples.labels, labelSmoothing, gradient);
    });
    this.#run(compiled, 'backward', sums);
    sums[network.layout.lossIndex] = addUp(totals.map(({ lossSum }) => lossSum));
    sums[network.layout.correctIndex] = addUp(totals.map(({ numCorrect }) => numCorrect));
    sums[network.layout.countIndex] = compiled.count;
  }

  async evaluate(samples: Samples): Promise<Evaluation> {
    const predictions = new Uint8Array(samples.count);
    let lossSum = 0;
    let numCorrect = 0;
    this.#infer(samples, (logits, from, to) => {
      const totals = evaluationLoss(logits, samples.labels.subarray(from, to), predictions.subarray(from, to));
      lossSum += totals.lossSum;
      numCorrect += totals.numCorrect;
    });
    return { lossSum, numCorrect, predictions };
  }

  async predict(samples: Samples, probabilities: Float32Array): Promise<void> {
    const { numClasses } = this.#config.network;
    this.#infer(samples, (logits, from, to) =>
      probabilitiesOf(logits, probabilities.subarray(from * numClasses, to * numClasses)),
    );
  }

  async dispose(): Promise<void> {
    for (const compiled of [...this.#training.values(), ...this.#inference.values()]) free(compiled);
    this.#compiler.parameters.dispose();
  }

  #infer({ count, images }: Samples, use: (logits: Logits, from: number, to: number) => void): void {
    const size = numElements(this.#config.network.inputShape);
    const most = this.maxGroup > 1 ? INFERENCE_COUNT.grouped : INFERENCE_COUNT.single;
    for (let from = 0; from < count; from += most) {
      const to = Math.min(from + most, count);
      const compiled = this.#compiled(this.#inference, [to - from], false);
      compiled.images.set(images.subarray(from * size, to * size));
      this.#run(compiled, 'forward', undefined);
      use(this.#logits(compiled, 0, to - from), from, to);
    }
  }

  #run(compiled: Compiled, direction: 'forward' | 'backward', sums: Float32Array | undefined): void {
    compiled[direction]!.call(
      compiled.memory.address,
      this.#compiler.parameters.address,
      sums ? this.#addressOf(sums) : 0,
    );
  }

  #addressOf(sums: Float32Array): Address {
    let address = this.#addresses.get(sums);
    if (address === undefined) {
      address = addressOf(sums);
      this.#addresses.set(sums, address);
    }
    return address;
  }

  #logits({ logits, logitsRoom }: Compiled, first: number, count: number): Logits {
    const values = logits.subarray(first * logitsRoom);
    return { count, numClasses: this.#config.network.numClasses, values, room: logitsRoom };
  }

  #compiled(known: Map<string, Compiled>, counts: readonly number[], training: boolean): Compiled {
    const key = counts.join();
    const compiled = known.get(key) ?? this.#compiler.compile(counts, training);
    known.delete(key);
    known.set(key, compiled);
    if (known.size > MAX_COMPILED) {
      const [oldest] = known.keys();
      free(known.get(oldest!)!);
      known.delete(oldest!);
    }
    return compiled;
  }
}

/** Along the reduction tree, in float32. */
function addUp(values: readonly number[]): number {
  if (values.length === 1) return Math.fround(values[0]!);
  const middle = values.length / 2;
  return Math.fround(addUp(values.slice(0, middle)) + addUp(values.slice(middle)));
}

function free({ forward, backward }: Compiled): void {
  forward.dispose();
  backward?.dispose();
}

/** Draws the mask of a micro-batch, and turns it into what values are multiplied by. */
function fillFactors({ index, rate, arrangement, factors }: Mask, first: number, count: number, key: RandomKey): void {
  const { positions, outer, channels, room } = arrangement;
  const [before, rows] = [first * positions * outer, count * positions * outer];
  const mask = new Uint8Array(rows * channels);
  fillDropoutMask(rate, key, index, mask);
  const scale = 1 / (1 - rate);
  for (let row = 0; row < rows; row++) {
    for (let i = 0; i < channels; i++) factors[(before + row) * room + i] = mask[row * channels + i]! * scale;
  }
}

/**
 * Opens the engine. Never call it on a thread that must stay responsive: it computes on the caller's.
 * @param isa for tests; by default the widest vectors of this processor
 * @throws LockstepError `engine-unavailable` where processor or system lack something, or the network has other layers
 */
export async function createNativeEngine(config: EngineConfig, isa?: Isa): Promise<Engine> {
  return new NativeEngine(config, isa ?? findIsa());
}
