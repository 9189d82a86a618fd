/** Training in miniature: the same partial sums, tree and update as the real pool, over a few numbers. */
import { coveringNodes, planReduction, type Range, ROOT, type ShardPlan, shardsUnder } from '@lockstep/core';
import type { PartialSum, StepMarks, StepPlan, StepPosition, StepSums } from '@lockstep/worker';
import type { Clock } from '../clock.ts';
import type { Accumulator } from '../local-member.ts';

const NUM_PARAMETERS = 13;
/** Behind the parameters: loss sum, number correct, count. */
export const SUM_LENGTH = NUM_PARAMETERS + 3;

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
  if (to - from === 1) return shardSum(plan, parameters, at, from);
  return add(nodeSum(plan, parameters, at, 2 * node), nodeSum(plan, parameters, at, 2 * node + 1));
}

export const bytesOf = (values: Float32Array): Uint8Array =>
  new Uint8Array(values.buffer, values.byteOffset, values.byteLength);

export class ToyPool implements Accumulator {
  readonly #plan: ShardPlan;
  readonly #clock: Clock;
  readonly #msPerShard: number;
  readonly #generations = [0, 1].map(() => Float32Array.from({ length: NUM_PARAMETERS }, (_, i) => 0.1 * i - 0.5));
  /** Partial sums by the place that stands for their memory. */
  readonly #vectors = new Map<number, Float32Array>();
  #numVectors = 0;
  #cancel: (() => void) | undefined;

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

  #keep(node: number, vector: Float32Array): PartialSum {
    const at = this.#numVectors++;
    this.#vectors.set(at, vector);
    return { node, at };
  }

  accept(node: number, bytes: Uint8Array): PartialSum {
    return this.#keep(node, new Float32Array(bytes.slice().buffer));
  }

  isFinite({ at }: PartialSum): boolean {
    return this.#vectors.get(at)!.every(Number.isFinite);
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
      .map((node) => this.#keep(node, nodeSum(this.#plan, this.parameters(step.runStep), step, node)));
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
      const root = this.#keep(ROOT, nodeSum(this.#plan, this.parameters(step.runStep), step, ROOT));
      sums.push(await this.update(step, [root]));
      this.release([root]);
    }
    return sums;
  }

  marks(): StepMarks[][] {
    return [];
  }

  async update({ runStep, count, learningRate }: StepPlan, partials: readonly PartialSum[]): Promise<StepSums> {
    if (this.#cancel) throw new Error('an update while a gradient is being computed');
    const nodes = partials.map(({ node }) => node);
    const { additions, result } = planReduction(nodes, ROOT, this.#plan.numShards);
    const registers: Float32Array[] = [];
    const place = (operand: typeof result): Float32Array =>
      operand.kind === 'source' ? this.#vectors.get(partials[operand.index]!.at)! : registers[operand.index]!;
    for (const { into, left, right } of additions) registers[into] = add(place(left), place(right));
    const sum = place(result);
    const next = this.parameters(runStep + 1);
    next.set(this.parameters(runStep).map((value, i) => value - (learningRate * sum[i]!) / count));
    const [lossSum, numCorrect, counted] = sum.subarray(NUM_PARAMETERS);
    return { lossSum: lossSum!, numCorrect: numCorrect!, count: counted! };
  }
}
