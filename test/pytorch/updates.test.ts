/** PyTorch's optimizers, and what was added to them, change weights as Lockstep's do. */
import { describeNetwork } from '@lockstep/bench';
import {
  loadKernels,
  matricesOf,
  matrixScratch,
  numOptimizerSlots,
  type OptimizerConfig,
  optimizerDefaults,
  Region,
  type StatePointers,
  updateDirections,
  updateSlice,
} from '@lockstep/core';
import { parseTopology } from '@lockstep/engine';
import { describe, expect, it } from 'vitest';
import { distance, norm } from '../../packages/engine/src/testing/differences.ts';
import { randomParameters } from '../../packages/engine/src/testing/inputs.ts';
import { askTorch, missing, torchPython } from './python.ts';

/** Kernels that are longer one way and the other, and one that is no matrix. */
const network = parseTopology({
  class_name: 'Sequential',
  config: {
    layers: [
      {
        class_name: 'Conv2D',
        config: { name: 'wide', filters: 12, kernel_size: [3, 3], batch_input_shape: [null, 8, 8, 1] },
      },
      { class_name: 'BatchNormalization', config: { name: 'normalization' } },
      { class_name: 'DepthwiseConv2D', config: { name: 'depthwise', kernel_size: [3, 3] } },
      { class_name: 'Conv2D', config: { name: 'tall', filters: 7, kernel_size: [2, 2] } },
      { class_name: 'Flatten', config: { name: 'flatten' } },
      { class_name: 'Dense', config: { name: 'classifier', units: 10, activation: 'softmax' } },
    ],
  },
});
const { layout } = network;
const NUM_STEPS = 4;
const LEARNING_RATE = 0.05;
/** Of the distance that weights go: PyTorch adds Adam's epsilon at another place. */
const TOLERANCE = 1e-3;

const initial = randomParameters(network, 1);
const gradients = Array.from({ length: NUM_STEPS }, (_, step) => {
  const values = randomParameters(network, 2 + step);
  // Not of one size: optimizers differ in what they make of that.
  return values.map((value, i) => (value * (1 + (i % 5))) / (1 + step));
});

const configs: readonly OptimizerConfig[] = [
  { ...optimizerDefaults.sgd, weightDecay: 0.1 },
  optimizerDefaults.adam,
  { ...optimizerDefaults.adamw, weightDecay: 0.1 },
  { ...optimizerDefaults.muon, weightDecay: 0.1 },
  { ...optimizerDefaults.muon, nesterov: false },
];

/** The weights after all steps. */
function updated(config: OptimizerConfig): Float32Array {
  const region = new Region();
  const state = (): StatePointers => ({
    parameters: region.floats(layout.numParameters),
    slots: Array.from({ length: numOptimizerSlots(config.name) }, () => region.floats(layout.numWeights)),
    average: undefined,
    reference: undefined,
  });
  const generations = [state(), state()];
  const sums = region.floats(layout.sumLength);
  const scratch = matricesOf(config, layout).map((matrix) => region.floats(matrixScratch(matrix)));
  const memory = region.allocate('private');
  const kernels = loadKernels(memory);
  const view = (at: number): Float32Array => new Float32Array(memory.buffer, at, layout.numParameters);
  view(generations[0]!.parameters).set(initial);
  gradients.forEach((gradient, step) => {
    view(sums).set(gradient);
    const [current, next] = [generations[step % 2]!, generations[(step + 1) % 2]!];
    const scalars = { step, learningRate: LEARNING_RATE, gradientScale: 1, statisticScale: 1, averageDecay: 0 };
    const [slice, part] = [
      { from: 0, to: layout.numParameters },
      { index: 0, count: 1 },
    ];
    const directions = updateDirections(kernels, layout, config, scalars, current, next, sums, scratch, slice, part);
    while (!directions.next().done);
    updateSlice(kernels, layout, config, scalars, current, next, sums, 0, layout.numParameters);
  });
  return view(generations[NUM_STEPS % 2]!.parameters).slice(0, layout.numWeights);
}

function updatedByTorch(): Float32Array[] {
  const jobs = configs.map((optimizer) => ({
    network: describeNetwork(network),
    parameters: [...initial],
    gradients: gradients.map((gradient) => [...gradient]),
    optimizer,
    learningRate: LEARNING_RATE,
  }));
  return askTorch<number[]>('updates.py', jobs).map((weights) => Float32Array.from(weights));
}

describe.skipIf(!torchPython)(`PyTorch (${missing})`, () => {
  it('changes weights as every optimizer does here', { timeout: 120_000 }, () => {
    const theirs = updatedByTorch();
    configs.forEach((config, i) => {
      const ours = updated(config);
      const way = distance(ours, initial.subarray(0, layout.numWeights));
      expect(way, config.name).toBeGreaterThan(0.1 * norm(ours));
      expect(distance(ours, theirs[i]!) / way, config.name).toBeLessThan(TOLERANCE);
    });
  });
});
