/**
 * A test that every engine passes on its own device before its gradients count: one micro-batch of noise through the job's
 * own model, and the gradient against another engine's. Both sides make the same input from the job's seed, and compare
 * sketches: of each parameter's gradient the norm and a few random projections, which are short enough to send and differ
 * wherever the gradients do.
 */
import { type Parameter, type ParameterLayout, purposes, RandomStream } from '@lockstep/core';
import type { Engine, Samples } from './engine.ts';
import { type Network, numElements } from './topology/network.ts';

/** Samples of the test: enough for batch statistics, few enough for the slowest engine. */
const COUNT = 4;
/** Signed sums per group of parameters. An error of a given size moves each by about that much, up or down. */
const NUM_PROJECTIONS = 4;
const NUMBERS_PER_GROUP = 1 + NUM_PROJECTIONS;
/** Behind the parameters' numbers: loss. */
const NUM_EXTRA = 1;

/** Of biases, and of scales and offsets of batch normalization. */
const VECTOR_LIMIT = 0.5;

/** Share of a gradient's norm by which honest devices may differ: TensorFloat-32 keeps 11 bits of a factor. */
const TOLERANCE = 0.005;
/** What rounding may leave of a gradient that is zero in theory, as a share of the norm of all gradients. */
const ROUNDING = 0.001;
/** A projection of an error is rarely greater than this many times its norm. */
const DEVIATIONS = 4;

/** Groups of parameters, at most: a sketch has to fit into the header of a message. */
const MAX_GROUPS = 256;

/** Streams of the test's random numbers. */
const STREAMS = { pictures: 0, labels: 1, signs: 2, parameters: 3 } as const;

/** Neighbouring parameters whose gradients are looked at together; in models of usual size each stands for itself. */
function groupsOf({ parameters }: ParameterLayout): Parameter[][] {
  const size = Math.ceil(parameters.length / MAX_GROUPS);
  const numGroups = Math.ceil(parameters.length / size);
  return Array.from({ length: numGroups }, (_, i) => parameters.slice(i * size, (i + 1) * size));
}

/** The most numbers that any sketch has. */
export const MAX_SKETCH_LENGTH = MAX_GROUPS * NUMBERS_PER_GROUP + NUM_EXTRA;

function noise({ inputShape, numClasses }: Network, seed: number): Samples {
  const size = numElements(inputShape);
  const pictures = new RandomStream(seed, purposes.selfTest, STREAMS.pictures, 0, 0);
  const labels = new RandomStream(seed, purposes.selfTest, STREAMS.labels, 0, 0);
  return {
    count: COUNT,
    images: Uint8Array.from({ length: COUNT * size }, () => pictures.below(256)),
    labels: Uint8Array.from({ length: COUNT }, () => labels.below(numClasses)),
  };
}

/** Numbers of the size that initial weights have; simpler than those, for workers in other languages. */
function testParameters({ parameters, numParameters }: ParameterLayout, seed: number): Float32Array {
  const random = new RandomStream(seed, purposes.selfTest, STREAMS.parameters, 0, 0);
  const flat = new Float32Array(numParameters);
  for (const { shape, offset, size } of parameters) {
    const fanIn = numElements(shape.slice(0, -1));
    const limit = shape.length > 1 ? Math.sqrt(3 / fanIn) : VECTOR_LIMIT;
    for (let i = offset; i < offset + size; i++) flat[i] = limit * (2 * random.uniform() - 1);
  }
  return flat;
}

/** Computes the test's sum vector. The engine then holds the test's parameters. */
export async function selfTestSums(engine: Engine, network: Network, seed: number): Promise<Float32Array> {
  const { layout } = network;
  engine.setParameters(testParameters(layout, seed));
  const sums = new Float32Array(layout.sumLength);
  await engine.gradient([{ samples: noise(network, seed), key: { seed, step: 0, shard: 0 } }], sums);
  return sums;
}

/** Computes the test's gradient, and its sketch. The engine then holds the test's parameters. */
export async function sketchGradient(engine: Engine, network: Network, seed: number): Promise<number[]> {
  return sketchOf(network, seed, await selfTestSums(engine, network, seed));
}

/** @param sums a sum vector */
export function sketchOf({ layout }: Network, seed: number, sums: Float32Array): number[] {
  const signs = new RandomStream(seed, purposes.selfTest, STREAMS.signs, 0, 0);
  const numbers = groupsOf(layout).flatMap((group) => {
    let squares = 0;
    const projections = new Array<number>(NUM_PROJECTIONS).fill(0);
    for (const parameter of group) {
      for (const value of layout.view(sums, parameter)) {
        squares += value * value;
        const bits = signs.uint32();
        for (let k = 0; k < NUM_PROJECTIONS; k++) projections[k]! += (bits >>> k) & 1 ? value : -value;
      }
    }
    return [Math.sqrt(squares), ...projections];
  });
  // Infinity, too, is not a number to compare with.
  return [...numbers, sums[layout.lossIndex]!].map((value) => (Number.isFinite(value) ? value : Number.NaN));
}

/**
 * Compares two sketches of the same test.
 * @param reference from an engine that is trusted
 * @returns what is wrong with the first, with the numbers, for people; undefined when they agree
 */
export function compareSketches(
  network: Network,
  sketch: readonly number[],
  reference: readonly number[],
): string | undefined {
  const { length } = reference;
  if (sketch.length !== length) return `its self-test has ${sketch.length} numbers in place of ${length}`;
  const loss = sketch.at(-1)!;
  const expectedLoss = reference.at(-1)!;
  if (!(Math.abs(loss - expectedLoss) <= TOLERANCE * Math.abs(expectedLoss))) {
    return `its loss in the self-test is ${loss.toPrecision(6)} in place of ${expectedLoss.toPrecision(6)}`;
  }
  const groups = groupsOf(network.layout);
  const normAt = (i: number): number => reference[i * NUMBERS_PER_GROUP]!;
  const whole = Math.hypot(...groups.map((_, i) => normAt(i)));
  for (const [i, group] of groups.entries()) {
    const allowed = TOLERANCE * normAt(i) + ROUNDING * whole;
    for (let k = 0; k < NUMBERS_PER_GROUP; k++) {
      const at = i * NUMBERS_PER_GROUP + k;
      const difference = Math.abs(sketch[at]! - reference[at]!);
      // Not a number is not within any bound.
      if (difference <= allowed * (k === 0 ? 1 : DEVIATIONS)) continue;
      const what = k === 0 ? 'norm' : 'projection';
      const [got, wanted] = [sketch[at]!, reference[at]!].map((value) => value.toPrecision(4));
      const name = group.map((parameter) => parameter.name).join(', ');
      return `its gradient of ${name} is wrong in the self-test: a ${what} of ${got} in place of ${wanted}`;
    }
  }
  return undefined;
}
