/** Training in miniature: the same partial sums, tree and update as the real pool, over a few numbers. */
import {
  BROADCAST,
  changeFormat,
  coveringNodes,
  loadKernels,
  pack,
  planReduction,
  type Range,
  Region,
  ROOT,
  Rounding,
  type ShardPlan,
  type SparseSums,
  shardsUnder,
  slicedBytes,
  unpack,
  type WireFormat,
} from '@lockstep/core';
import type { PartialSum, StepMarks, StepPlan, StepPosition, StepSums } from '@lockstep/worker';
import type { Clock } from '../clock.ts';
import type { Accumulator } from '../local-member.ts';

export const NUM_PARAMETERS = 13;
/** Behind the parameters: loss sum, number correct, count. */
export const TOY_LAYOUT = {
  numWeights: NUM_PARAMETERS,
  numParameters: NUM_PARAMETERS,
  sumLength: NUM_PARAMETERS + 3,
};
const SUM_LENGTH = TOY_LAYOUT.sumLength;

// The real rounding and packing, in a memory for two vectors.
const region = new Region();
const [vectorAt, packedAt] = [region.floats(SUM_LENGTH), region.floats(SUM_LENGTH)];
const memory = region.allocate('private');
const kernels = loadKernels(memory);
const inMemory = (values: Float32Array): Float32Array => {
  const view = new Float32Array(memory.buffer, vectorAt, values.length);
  view.set(values);
  return view;
};

function round(values: Float32Array, { runStep, wire }: StepPosition, node: number): Float32Array {
  const view = inMemory(values);
  const format = node === BROADCAST ? changeFormat(wire) : wire === 'topk' ? 'fp32' : wire;
  const terms = { format, seed: 0, runStep, numWeights: NUM_PARAMETERS };
  new Rounding(kernels, terms).round(node, vectorAt, 0, values.length);
  return view.slice();
}

export function packToy(values: Float32Array, wire: WireFormat, slice: Range): Uint8Array {
  inMemory(values);
  pack(kernels, wire, packedAt, vectorAt, NUM_PARAMETERS, slice);
  return new Uint8Array(memory.buffer, packedAt, slicedBytes(wire, NUM_PARAMETERS, slice)).slice();
}

/** The elements of a slice. */
function unpackToy(bytes: Uint8Array, wire: WireFormat, slice: Range): Float32Array {
  new Uint8Array(memory.buffer, packedAt, bytes.length).set(bytes);
  unpack(kernels, wire, vectorAt, packedAt, NUM_PARAMETERS, slice);
  return new Float32Array(memory.buffer, vectorAt, slice.to).slice(slice.from);
}

/** A slice of the parameters after a change. */
export const changed = (parameters: Float32Array, bytes: Uint8Array, wire: WireFormat, slice: Range): Float32Array =>
  add(parameters.subarray(slice.from, slice.to), unpackToy(bytes, wire, slice));

/** Sums of one shard's micro-batch. Rounded to single precision, so that the order of additions shows. */
function shardSum(
  plan: ShardPlan,
  parameters: Float32Array,
  { step, runStep }: StepPosition,
  shard: number,
): Float32Array {
  const { from, to } = plan.microBatch(shard, step);
  const sum = new Float32Array(SUM_LENGTH);
  for (let i = 0; i < NUM_PARAMETERS; i++) {
    sum[i] = Math.sin(parameters[i]! * (shard + 1.7) + runStep * 0.37 + i) * (to - from) * 1.1 ** shard;
  }
  sum[NUM_PARAMETERS] = Math.abs(sum[0]!);
  sum[NUM_PARAMETERS + 1] = shard % 3;
  sum[NUM_PARAMETERS + 2] = to - from;
  return sum;
}

const add = (a: Float32Array, b: Float32Array): Float32Array => a.map((value, i) => value + b[i]!);

/** The partial sum of one node. */
export function nodeSum(plan: ShardPlan, parameters: Float32Array, at: StepPosition, node: number): Float32Array {
  const { from, to } = shardsUnder(node, plan.numShards);
  if (to - from === 1) return round(shardSum(plan, parameters, at, from), at, node);
  return round(add(nodeSum(plan, parameters, at, 2 * node), nodeSum(plan, parameters, at, 2 * node + 1)), at, node);
}

export class ToyPool implements Accumulator {
  readonly #plan: ShardPlan;
  readonly #clock: Clock;
  readonly #msPerShard: number;
  readonly #generations = [0, 1].map(() => Float32Array.from({ length: NUM_PARAMETERS }, (_, i) => 0.1 * i - 0.5));
  readonly #references = this.#generations.map((values) => values.slice());
  #change: Float32Array = new Float32Array(NUM_PARAMETERS);
  /** Partial sums by the place that stands for their memory. */
  readonly #vectors = new Map<number, Float32Array>();
  #numVectors = 0;
  /** Slices that were updated before a step's end. */
  numSlices = 0;
  #cancel: (() => void) | undefined;
  /** Means over each step of what its gradients are, less what came of them, over all steps with the format `topk`. */
  readonly withheld = new Float64Array(NUM_PARAMETERS);

  constructor(plan: ShardPlan, clock: Clock, msPerShard: number) {
    this.#plan = plan;
    this.#clock = clock;
    this.#msPerShard = msPerShard;
  }

  /** Partial sums that were not given back. */
  get numHeld(): number {
    return this.#vectors.size;
  }

  parameters(runStep: number): Float32Array {
    return this.#generations[runStep % 2]!;
  }

  reference(runStep: number): Float32Array {
    return this.#references[runStep % 2]!;
  }

  packedChange(wire: WireFormat, slice: Range): Uint8Array {
    return packToy(this.#change, wire, slice);
  }

  /** What workers compute a step from. */
  #start({ runStep, wire }: StepPosition): Float32Array {
    return wire === 'fp32' ? this.parameters(runStep) : this.reference(runStep);
  }

  #keep(node: number, vector: Float32Array): PartialSum {
    const at = this.#numVectors++;
    this.#vectors.set(at, vector);
    return { node, at };
  }

  expect(node: number): PartialSum {
    return this.#keep(node, new Float32Array(SUM_LENGTH));
  }

  accept({ at }: PartialSum, bytes: Uint8Array, wire: WireFormat, slice: Range): void {
    this.#vectors.get(at)!.set(unpackToy(bytes, wire, slice), slice.from);
  }

  acceptSparse(nodes: readonly number[], { indices, values, tail }: SparseSums): PartialSum[] {
    return nodes.map((node, i) => {
      const vector = new Float32Array(SUM_LENGTH);
      if (i > 0) return this.#keep(node, vector);
      for (const [entry, index] of indices.entries()) vector[index] = values[entry]!;
      vector.set(tail, NUM_PARAMETERS);
      return this.#keep(node, vector);
    });
  }

  isFinite({ at }: PartialSum, { from, to } = { from: 0, to: SUM_LENGTH }): boolean {
    return this.#vectors.get(at)!.subarray(from, to).every(Number.isFinite);
  }

  release(partials: readonly PartialSum[]): void {
    for (const { at } of partials) if (!this.#vectors.delete(at)) throw new Error('a partial sum was given back twice');
  }

  async gradient(step: StepPosition, range: Range): Promise<PartialSum[] | undefined> {
    if (this.#cancel) throw new Error('two gradients at once');
    const complete = await new Promise<boolean>((resolve) => {
      const stop = this.#clock.after((range.to - range.from) * this.#msPerShard, () => resolve(true));
      this.#cancel = () => {
        stop();
        resolve(false);
      };
    });
    this.#cancel = undefined;
    if (!complete) return undefined;
    // As several threads would leave them: finer than need be.
    const middle = (range.from + range.to) >> 1;
    const parts = [
      { from: range.from, to: middle },
      { from: middle, to: range.to },
    ];
    return parts
      .flatMap((part) => coveringNodes(part, this.#plan.numShards))
      .map((node) => this.#keep(node, nodeSum(this.#plan, this.#start(step), step, node)));
  }

  cancel(): void {
    this.#cancel?.();
  }

  async step(steps: readonly StepPlan[]): Promise<StepSums[]> {
    const sums: StepSums[] = [];
    for (const step of steps) {
      await new Promise<void>((resolve) => {
        this.#clock.after(this.#plan.numShards * this.#msPerShard, resolve);
      });
      const root = this.#keep(ROOT, nodeSum(this.#plan, this.#start(step), step, ROOT));
      sums.push(await this.update(step, [root]));
      this.release([root]);
    }
    return sums;
  }

  marks(): StepMarks[][] {
    return [];
  }

  #note(plan: StepPlan, sum: Float32Array): void {
    const whole = nodeSum(this.#plan, this.#start(plan), plan, ROOT);
    for (let i = 0; i < NUM_PARAMETERS; i++) this.withheld[i]! += (whole[i]! - sum[i]!) / plan.count;
  }

  /** The sum at the root. */
  #total(plan: StepPlan, partials: readonly PartialSum[]): Float32Array {
    const nodes = partials.map(({ node }) => node);
    const { additions, result } = planReduction(nodes, ROOT, this.#plan.numShards);
    const registers: Float32Array[] = [];
    const place = (operand: typeof result): Float32Array =>
      operand.kind === 'source' ? this.#vectors.get(partials[operand.index]!.at)! : registers[operand.index]!;
    for (const { node, into, left, right } of additions) {
      registers[into] = round(add(place(left), place(right)), plan, node);
    }
    return place(result);
  }

  #move({ runStep, count, learningRate }: StepPlan, sum: Float32Array, { from, to }: Range): void {
    const before = this.parameters(runStep);
    const next = this.parameters(runStep + 1);
    for (let i = from; i < Math.min(to, NUM_PARAMETERS); i++) next[i] = before[i]! - (learningRate * sum[i]!) / count;
  }

  canUpdateSlices(): boolean {
    return true;
  }

  updateSlice(plan: StepPlan, partials: readonly PartialSum[], slice: Range): boolean {
    if (this.#cancel) throw new Error('an update while a gradient is being computed');
    // So few values are one block, which is rounded as a whole.
    if (plan.wire !== 'fp32') return false;
    this.#move(plan, this.#total(plan, partials), slice);
    this.numSlices++;
    return true;
  }

  async update(plan: StepPlan, partials: readonly PartialSum[], _clipNorm?: number, from = 0): Promise<StepSums> {
    const { runStep } = plan;
    if (this.#cancel) throw new Error('an update while a gradient is being computed');
    const sum = this.#total(plan, partials);
    if (plan.wire === 'topk') this.#note(plan, sum);
    this.#move(plan, sum, { from, to: SUM_LENGTH });
    const next = this.parameters(runStep + 1);
    const before = this.reference(runStep);
    const distance = next.map((value, i) => value - before[i]!);
    this.#change = round(distance, plan, BROADCAST);
    this.reference(runStep + 1).set(add(before, this.#change));
    const [lossSum, numCorrect, counted] = sum.subarray(NUM_PARAMETERS);
    return { lossSum: lossSum!, numCorrect: numCorrect!, count: counted! };
  }
}
