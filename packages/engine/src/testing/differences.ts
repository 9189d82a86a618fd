/** Sums and distances of gradients, and central finite differences of the reference's loss to hold them against. */
import { invariant, type Parameter } from '@lockstep/core';
import type { Network } from '../topology/network.ts';
import { randomStream } from './inputs.ts';
import type { ReferenceResult } from './reference.ts';

/** Euclidean length; unlike `Math.hypot(...vector)`, of vectors of any size. */
export function norm(vector: ArrayLike<number>): number {
  let squares = 0;
  for (let i = 0; i < vector.length; i++) squares += vector[i]! ** 2;
  return Math.sqrt(squares);
}

export const distance = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  norm(Float64Array.from(a, (value, i) => value - b[i]!));

/** Adds sum vectors along the reduction tree, in float32. */
export function addUp(vectors: readonly Float32Array[]): Float32Array {
  if (vectors.length === 1) return vectors[0]!;
  const left = addUp(vectors.slice(0, vectors.length / 2));
  const right = addUp(vectors.slice(vectors.length / 2));
  return left.map((value, i) => value + right[i]!);
}

export interface Differences {
  readonly numTried: number;
  /** Coordinates that were not skipped because of a kink. */
  readonly numKept: number;
  readonly parameters: readonly {
    readonly name: string;
    /** Places in the flat vector. */
    readonly indices: readonly number[];
    /** Derivative of the loss sum at each. */
    readonly values: readonly number[];
  }[];
}

/** Up to `count` different elements of a parameter, drawn evenly. */
function sampleIndices({ offset, size }: Parameter, count: number): number[] {
  const indices = Array.from({ length: size }, (_, i) => offset + i);
  const random = randomStream(offset);
  for (let i = 0; i < Math.min(count, size); i++) {
    const other = i + random.below(size - i);
    [indices[i], indices[other]] = [indices[other]!, indices[i]!];
  }
  return indices.slice(0, count);
}

/**
 * Differentiates along up to `numPerParameter` coordinates of each weight. A coordinate along which a ReLU or a maximum
 * changes sides within the step has no derivative to compare with, and is skipped.
 */
export function finiteDifferences(
  { layout }: Network,
  parameters: ArrayLike<number>,
  numPerParameter: number,
  step: number,
  run: (parameters: Float64Array) => ReferenceResult,
): Differences {
  const flat = Float64Array.from(parameters);
  const { piece } = run(flat);
  let numTried = 0;
  let numKept = 0;
  const tensors = layout.parameters
    .filter((parameter) => parameter.kind === 'weight')
    .map((parameter) => {
      const indices: number[] = [];
      const values: number[] = [];
      for (const index of sampleIndices(parameter, numPerParameter)) {
        const value = flat[index]!;
        flat[index] = value + step;
        const above = run(flat);
        flat[index] = value - step;
        const below = run(flat);
        flat[index] = value;
        numTried++;
        if (above.piece !== piece || below.piece !== piece) continue;
        numKept++;
        indices.push(index);
        values.push((above.lossSum - below.lossSum) / (2 * step));
      }
      return { name: parameter.name, indices, values };
    });
  return { numTried, numKept, parameters: tensors };
}

/**
 * Central difference along a random direction of all weights at once: cheap, and every coordinate counts.
 * @returns the direction, of normal numbers, and the derivative of the loss sum along it
 */
export function slopeAlong(
  { layout }: Network,
  parameters: ArrayLike<number>,
  seed: number,
  step: number,
  run: (parameters: Float64Array) => ReferenceResult,
): { direction: Float64Array; slope: number } {
  const random = randomStream(seed);
  const direction = Float64Array.from({ length: layout.numWeights }, () => random.normal());
  const at = (distance: number): ReferenceResult =>
    run(Float64Array.from(parameters, (value, i) => value + distance * (direction[i] ?? 0)));
  const [above, below] = [at(step), at(-step)];
  invariant(above.piece === below.piece, 'no ReLU and no maximum changes sides along the direction');
  return { direction, slope: (above.lossSum - below.lossSum) / (2 * step) };
}

/**
 * Relative error ||gradient - differences|| / ||differences|| of each parameter. Where the true gradient is zero or tiny (a bias in
 * front of a batch normalization), a tenth of the typical gradient of the whole model takes the denominator's place.
 */
export function relativeErrors(
  differences: Differences,
  gradient: ArrayLike<number>,
): { name: string; error: number }[] {
  const all = differences.parameters.flatMap(({ values }) => values);
  const typical = norm(all) / Math.sqrt(all.length);
  return differences.parameters.map(({ name, indices, values }) => {
    const apart = norm(values.map((value, i) => value - gradient[indices[i]!]!));
    const floor = 0.1 * typical * Math.sqrt(values.length);
    return { name, error: values.length === 0 ? 0 : apart / Math.max(norm(values), floor) };
  });
}
