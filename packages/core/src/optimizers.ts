/** Optimizers in the Keras formulation, applied to any slice of the flat parameter vector by the SIMD loops. */
import type { KernelFunctions } from './kernels.ts';
import type { Parameter, ParameterLayout } from './layout.ts';
import { type MatrixShape, orthogonalize, orthogonalizeScratch, type Part, together } from './orthogonalize.ts';
import type { Range } from './shards.ts';

export const optimizerNames = ['sgd', 'adam', 'adamw', 'muon'] as const;
export type OptimizerName = (typeof optimizerNames)[number];

export interface OptimizerConfig {
  readonly name: OptimizerName;
  readonly momentum: number;
  readonly nesterov: boolean;
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  /** Decoupled weight decay (Loshchilov and Hutter, 2019) on kernels, multiplied by the learning rate. */
  readonly weightDecay: number;
}

/**
 * Keras' defaults, but for AdamW's decay, which is the one of its paper's code and of PyTorch. Muon does AdamW's update where
 * there is no matrix, hence its betas.
 */
export const optimizerDefaults: { readonly [name in OptimizerName]: OptimizerConfig } = {
  sgd: { name: 'sgd', momentum: 0.9, nesterov: true, beta1: 0, beta2: 0, epsilon: 0, weightDecay: 0 },
  adam: { name: 'adam', momentum: 0, nesterov: false, beta1: 0.9, beta2: 0.999, epsilon: 1e-7, weightDecay: 0 },
  adamw: { name: 'adamw', momentum: 0, nesterov: false, beta1: 0.9, beta2: 0.999, epsilon: 1e-7, weightDecay: 0.01 },
  muon: { name: 'muon', momentum: 0.9, nesterov: true, beta1: 0.9, beta2: 0.999, epsilon: 1e-7, weightDecay: 0.01 },
};

/**
 * Vectors of optimizer state, each as long as the weights: one velocity, or Adam's two moments. Muon has those of Adam, but at
 * matrices the momentum and the direction of the latest update.
 */
export function numOptimizerSlots(name: OptimizerName): 1 | 2 {
  return name === 'sgd' ? 1 : 2;
}

/** What one update needs beside the vectors. */
export interface UpdateScalars {
  /** Updates made before this one. */
  readonly step: number;
  readonly learningRate: number;
  /** Factor from gradient sum to gradient: 1 / samples, times the clipping factor. */
  readonly gradientScale: number;
  /** Factor from statistic sum to mean: 1 / samples. */
  readonly statisticScale: number;
  /** Decay of the moving average of the parameters, below 1, once it is warm; see {@link averageDecay}. */
  readonly averageDecay: number;
}

/** Byte offsets of the whole vectors that one update step reads, or that it writes. */
export interface StatePointers {
  readonly parameters: number;
  /** {@link numOptimizerSlots} vectors of `numWeights` values. */
  readonly slots: readonly number[];
  /** Moving average of the parameters, statistics included; undefined when none is kept. */
  readonly average: number | undefined;
  /** The parameters as all workers have them, where those are rounded on the way; undefined where they are not. */
  readonly reference: number | undefined;
}

/**
 * Decay of the moving average at an update: it grows to the wanted one, so that the initial values are soon forgotten
 * (as `num_updates` of TensorFlow's ExponentialMovingAverage).
 * @param step updates made before this one
 */
export const averageDecay = (decay: number, step: number): number => Math.min(decay, (1 + step) / (10 + step));

/** A kernel as a matrix: columns are outputs, rows what each of them sums over. */
function matrixShape({ shape, size }: Parameter): MatrixShape {
  const columns = shape.at(-1)!;
  return { rows: size / columns, columns };
}

/** Those of one column are only vectors. */
const isMatrix = ({ kind, decays, shape }: Parameter): boolean =>
  kind === 'weight' && decays && shape.length >= 2 && shape.at(-1)! > 1;

/** The kernels that an optimizer updates each as a whole, by {@link updateDirections}. */
export function matricesOf({ name }: OptimizerConfig, { parameters }: ParameterLayout): Parameter[] {
  return name === 'muon' ? parameters.filter(isMatrix) : [];
}

/** float32 values of scratch memory that {@link updateDirections} takes for each matrix. */
export const matrixScratch = (matrix: Parameter): number => orthogonalizeScratch(matrixShape(matrix));

/**
 * What precedes {@link updateSlice} where an optimizer has {@link matricesOf}: their next momenta, and the directions in which
 * they will go (Muon; Jordan and others, 2024). Yields where all parts must have come as far before any goes on, and all must
 * have ended before the update. Can be repeated, as that one.
 * @param sums byte offset of the sum vector
 * @param scratch per matrix, the byte offset of {@link matrixScratch} values, the same for all parts
 * @param slice elements whose momenta this part computes
 */
export function* updateDirections(
  kernels: KernelFunctions,
  layout: ParameterLayout,
  config: OptimizerConfig,
  { gradientScale }: UpdateScalars,
  current: StatePointers,
  next: StatePointers,
  sums: number,
  scratch: readonly number[],
  slice: Range,
  part: Part,
): Generator<void, void, void> {
  const matrices = matricesOf(config, layout);
  const rate = 1 - config.momentum;
  for (const { offset, size } of matrices) {
    const from = Math.max(slice.from, offset);
    const count = Math.min(slice.to, offset + size) - from;
    if (count <= 0) continue;
    const at = (vector: number | undefined): number => vector! + from * 4;
    const [before, after, direction] = [at(current.slots[0]), at(next.slots[0]), at(next.slots[1])];
    kernels.average(after, before, at(sums), count, gradientScale, rate);
    if (config.nesterov) kernels.average(direction, after, at(sums), count, gradientScale, rate);
    else kernels.copy(direction, after, count);
  }
  yield;
  const runs = matrices.map((matrix, i) => {
    // Small matrices have few strips: not all should fall to the same part.
    const turned = { index: (part.index + i) % part.count, count: part.count };
    return orthogonalize(kernels, next.slots[1]! + matrix.offset * 4, matrixShape(matrix), scratch[i]!, turned);
  });
  yield* together(runs);
}

/** Makes the elements of an orthogonal matrix as large as those of a usual update by Adam (Liu and others, 2025). */
function adamScale(matrix: Parameter): number {
  const { rows, columns } = matrixShape(matrix);
  return 0.2 * Math.sqrt(Math.max(rows, columns));
}

/**
 * Computes elements [start, start + length) of the next state from the current one. The two must not overlap: then the
 * call can be repeated without harm.
 * @param next has the directions of matrices already, see {@link updateDirections}
 * @param sums byte offset of the sum vector's element `start`
 */
export function updateSlice(
  kernels: KernelFunctions,
  layout: ParameterLayout,
  config: OptimizerConfig,
  scalars: UpdateScalars,
  current: StatePointers,
  next: StatePointers,
  sums: number,
  start: number,
  length: number,
): void {
  const { gradientScale, statisticScale, learningRate, step } = scalars;
  const adamRate =
    config.name === 'sgd'
      ? 0
      : (learningRate * Math.sqrt(1 - config.beta2 ** (step + 1))) / (1 - config.beta1 ** (step + 1));
  for (const parameter of layout.parameters) {
    const from = Math.max(start, parameter.offset);
    const count = Math.min(start + length, parameter.offset + parameter.size) - from;
    if (count <= 0) continue;
    const at = (vector: number | undefined): number => vector! + from * 4;
    const sum = sums + (from - start) * 4;
    const keep = parameter.decays ? 1 - learningRate * config.weightDecay : 1;
    if (parameter.kind === 'statistic') {
      const rate = 1 - (parameter.momentum ?? 0);
      kernels.average(at(next.parameters), at(current.parameters), sum, count, statisticScale, rate);
    } else if (config.name === 'sgd') {
      kernels.sgd(
        at(next.parameters),
        at(next.slots[0]),
        at(current.parameters),
        at(current.slots[0]),
        sum,
        count,
        gradientScale,
        learningRate,
        config.momentum,
        config.nesterov ? 1 : 0,
        keep,
      );
    } else if (config.name === 'muon' && isMatrix(parameter)) {
      const rate = learningRate * adamScale(parameter);
      kernels.descend(at(next.parameters), at(current.parameters), at(next.slots[1]), count, rate, keep);
    } else {
      kernels.adam(
        at(next.parameters),
        at(next.slots[0]),
        at(next.slots[1]),
        at(current.parameters),
        at(current.slots[0]),
        at(current.slots[1]),
        sum,
        count,
        gradientScale,
        adamRate,
        1 - config.beta1,
        1 - config.beta2,
        config.epsilon,
        keep,
      );
    }
    if (next.average !== undefined) {
      const rate = 1 - averageDecay(scalars.averageDecay, step);
      kernels.average(at(next.average), at(current.average), at(next.parameters), count, 1, rate);
    }
  }
}
