import { describe, expect, it } from 'vitest';
import { loadKernels, Region } from './kernels.ts';
import { ParameterLayout, type ParameterSpec } from './layout.ts';
import {
  matricesOf,
  matrixScratch,
  type OptimizerConfig,
  optimizerDefaults,
  updateDirections,
  updateSlice,
} from './optimizers.ts';
import { together } from './orthogonalize.ts';
import { purposes, RandomStream } from './random.ts';
import { BLOCK_LENGTH } from './reduction.ts';
import { orthogonalized } from './testing/orthogonalized.ts';

const spec = (name: string, shape: number[], kind: ParameterSpec['kind'], decays: boolean): ParameterSpec => ({
  name,
  shape,
  kind,
  decays,
  initializer: { kind: 'constant', value: 0 },
  momentum: kind === 'statistic' ? 0.9 : undefined,
});
// Sizes that are no multiples of four, so that every loop has a scalar end and slices start anywhere.
const layout = new ParameterLayout([
  spec('a/kernel', [37, 3], 'weight', true),
  spec('a/moving_mean', [7], 'statistic', false),
  spec('a/bias', [5], 'weight', false),
  spec('b/kernel', [101, 67], 'weight', true),
  spec('c/kernel', [3, 2, 2, 13], 'weight', true),
  // One column is no matrix.
  spec('c/depthwise_kernel', [3, 3, 2, 1], 'weight', true),
]);

const STEPS = 3;
const COUNT = 20;
/** Warm after one step. */
const DECAY = 0.15;

/** Runs a few steps with the vector cut at the given places and returns the final parameters and their moving average. */
function run(config: OptimizerConfig, cuts: readonly number[], sharing: 'private' | 'shared') {
  const region = new Region();
  const state = () => ({
    parameters: region.floats(layout.numParameters),
    slots: [region.floats(layout.numWeights), region.floats(layout.numWeights)],
    average: region.floats(layout.numParameters),
    reference: undefined,
  });
  const generations = [state(), state()];
  const sums = region.floats(layout.sumLength);
  const matrices = matricesOf(config, layout);
  const scratch = matrices.map((matrix) => region.floats(matrixScratch(matrix)));
  const memory = region.allocate(sharing);
  const kernels = loadKernels(memory);
  const view = (at: number, length: number) => new Float32Array(memory.buffer, at, length);
  const random = new RandomStream(1, purposes.jitter, 0, 0, 0);
  view(generations[0]!.parameters, layout.numParameters).forEach((_, i, values) => {
    values[i] = random.normal();
  });
  kernels.copy(generations[0]!.average, generations[0]!.parameters, layout.numParameters);
  for (let step = 0; step < STEPS; step++) {
    view(sums, layout.sumLength).forEach((_, i, values) => {
      values[i] = random.normal() * COUNT;
    });
    const scalars = {
      step,
      learningRate: 0.01,
      gradientScale: 1 / COUNT,
      statisticScale: 1 / COUNT,
      averageDecay: DECAY,
    };
    const [current, next] = [generations[step % 2]!, generations[(step + 1) % 2]!];
    const bounds = [0, ...cuts, layout.numParameters];
    // Twice, as a step that is done again.
    for (let attempt = 0; attempt < 2; attempt++) {
      const parts = cuts.concat(0).map((_, index, { length: count }) => {
        const slice = { from: bounds[index]!, to: bounds[index + 1]! };
        const part = { index, count };
        return updateDirections(kernels, layout, config, scalars, current, next, sums, scratch, slice, part);
      });
      Array.from(together(parts));
    }
    for (let i = 1; i < bounds.length; i++) {
      const start = bounds[i - 1]!;
      const slice = () =>
        updateSlice(kernels, layout, config, scalars, current, next, sums + start * 4, start, bounds[i]! - start);
      slice();
      // A slice may be computed twice, as when the thread that began it died.
      slice();
    }
  }
  const { parameters, average } = generations[STEPS % 2]!;
  return [parameters, average].map((at) => view(at, layout.numParameters).slice());
}

/** The same in double precision, straight from the formulas. */
function reference(config: OptimizerConfig): Float64Array[] {
  const random = new RandomStream(1, purposes.jitter, 0, 0, 0);
  const w = Float64Array.from({ length: layout.numParameters }, () => Math.fround(random.normal()));
  const m = new Float64Array(layout.numWeights);
  const v = new Float64Array(layout.numWeights);
  const average = w.slice();
  const rate = 0.01;
  for (let step = 0; step < STEPS; step++) {
    const sums = Float64Array.from({ length: layout.sumLength }, () => Math.fround(random.normal() * COUNT));
    for (const parameter of layout.parameters) {
      const { offset, size, kind, decays } = parameter;
      if (matricesOf(config, layout).includes(parameter)) {
        const { momentum, weightDecay, nesterov } = config;
        const gradient = sums.slice(offset, offset + size).map((sum) => sum / COUNT);
        gradient.forEach((g, i) => {
          m[offset + i] = momentum * m[offset + i]! + (1 - momentum) * g;
        });
        const velocity = m.slice(offset, offset + size);
        const ahead = velocity.map((u, i) => (nesterov ? momentum * u + (1 - momentum) * gradient[i]! : u));
        const columns = parameter.shape.at(-1)!;
        const shape = { rows: size / columns, columns };
        const scale = 0.2 * Math.sqrt(Math.max(shape.rows, shape.columns));
        orthogonalized(ahead, shape).forEach((direction, i) => {
          w[offset + i] = w[offset + i]! * (1 - rate * weightDecay) - rate * scale * direction;
        });
        continue;
      }
      for (let i = offset; i < offset + size; i++) {
        const g = sums[i]! / COUNT;
        if (kind === 'statistic') {
          w[i] = w[i]! * 0.9 + g * 0.1;
          continue;
        }
        if (decays) w[i]! -= w[i]! * rate * config.weightDecay;
        if (config.name === 'sgd') {
          m[i] = config.momentum * m[i]! - rate * g;
          w[i]! += config.nesterov ? config.momentum * m[i]! - rate * g : m[i]!;
        } else {
          m[i] = config.beta1 * m[i]! + (1 - config.beta1) * g;
          v[i] = config.beta2 * v[i]! + (1 - config.beta2) * g * g;
          const correction = Math.sqrt(1 - config.beta2 ** (step + 1)) / (1 - config.beta1 ** (step + 1));
          w[i]! -= (rate * correction * m[i]!) / (Math.sqrt(v[i]!) + config.epsilon);
        }
      }
    }
    const decay = [0.1, DECAY, DECAY][step]!;
    average.forEach((value, i) => {
      average[i] = decay * value + (1 - decay) * w[i]!;
    });
  }
  return [w, average];
}

const configs: OptimizerConfig[] = [
  optimizerDefaults.adam,
  { ...optimizerDefaults.adamw, weightDecay: 0.3 },
  optimizerDefaults.sgd,
  { ...optimizerDefaults.sgd, nesterov: false, weightDecay: 0.1 },
  { ...optimizerDefaults.muon, weightDecay: 0.3 },
  { ...optimizerDefaults.muon, nesterov: false },
];

describe('updateSlice', () => {
  it.each(configs)('follows the formulas of $name (nesterov $nesterov, decay $weightDecay)', (config) => {
    const expected = reference(config);
    run(config, [], 'private').forEach((vector, kind) => {
      vector.forEach((value, i) => {
        expect(Math.abs(value - expected[kind]![i]!)).toBeLessThan(1e-5 * (1 + Math.abs(expected[kind]![i]!)));
      });
    });
  });

  it.each(configs)('gives the same bits for any slices and in shared memory ($name)', (config) => {
    const whole = run(config, [], 'private');
    expect(run(config, [1, 50, 113, 114, BLOCK_LENGTH, 5001], 'private')).toEqual(whole);
    expect(run(config, [3000], 'shared')).toEqual(whole);
  });
});
