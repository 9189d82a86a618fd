/** PyTorch's networks compute what Lockstep's engine computes: every layer, and the models of the zoo. */
import { describeNetwork } from '@lockstep/bench';
import { createEngine, numElements, parseTopology, zoo } from '@lockstep/engine';
import { beforeAll, describe, expect, it } from 'vitest';
import { distance, norm } from '../../packages/engine/src/testing/differences.ts';
import { randomParameters, randomSamples } from '../../packages/engine/src/testing/inputs.ts';
import { contractModels, withoutDropout } from '../../packages/engine/src/testing/models.ts';
import { askTorch, missing, torchPython } from './python.ts';

const COUNT = 6;
const LABEL_SMOOTHING = 0.1;
const SEED = 4;
/** Of losses. */
const TOLERANCE = 1e-4;
/**
 * Of gradients, in which a ReLU whose input is within rounding of zero may fall on either side; a wrong order or a wrong
 * place makes a difference of about 1.
 */
const GRADIENT_TOLERANCE = 1e-2;

/** `same` pads below and to the right only, where 28 pixels meet a stride of 2. */
const strided = {
  class_name: 'Sequential',
  config: {
    layers: [
      {
        class_name: 'Conv2D',
        config: {
          name: 'a',
          batch_input_shape: [null, 28, 28, 1],
          filters: 4,
          kernel_size: 3,
          strides: 2,
          padding: 'same',
        },
      },
      { class_name: 'MaxPooling2D', config: { name: 'b', pool_size: 3, strides: 2, padding: 'same' } },
      { class_name: 'Flatten', config: { name: 'c' } },
      { class_name: 'Dense', config: { name: 'd', units: 10, activation: 'softmax' } },
    ],
  },
};

const cases = [
  ...contractModels,
  { name: 'stride 2 with padding "same"', topology: strided },
  ...Object.entries(zoo).map(([name, { topology }]) => ({ name, topology })),
].map(({ name, topology }) => {
  const network = parseTopology(withoutDropout(topology));
  return { name, network, parameters: randomParameters(network, SEED), samples: randomSamples(network, COUNT, SEED) };
});

interface Answer {
  readonly parameters: number;
  readonly evaluated: number;
  readonly loss: number;
  readonly gradient: readonly number[];
}

function answersOf(layout: string): Answer[] {
  const jobs = cases.map(({ network, parameters, samples }) => {
    const size = numElements(network.inputShape);
    return {
      network: describeNetwork(network),
      parameters: [...parameters],
      pictures: [...samples.images.subarray(0, COUNT * size)],
      labels: [...samples.labels.subarray(0, COUNT)],
      labelSmoothing: LABEL_SMOOTHING,
      layout,
    };
  });
  return askTorch('gradient.py', jobs);
}

describe.skipIf(!torchPython).each(['contiguous_format', 'channels_last'])(
  `a network in PyTorch, %s (${missing})`,
  (layout) => {
    let answers: Answer[];
    beforeAll(() => {
      answers = answersOf(layout);
    });

    it.each(cases.map((one, i) => [one.name, one, i] as const))(
      'has the loss and the gradient of the engine: %s',
      async (_, { network, parameters, samples }, i) => {
        const answer = answers[i]!;
        const engine = await createEngine('onnx', { network, labelSmoothing: LABEL_SMOOTHING }, 'cpu');
        try {
          engine.setParameters(parameters);
          const { numParameters, numWeights, lossIndex, sumLength } = network.layout;
          const sums = new Float32Array(sumLength);
          await engine.gradient([{ samples, key: { seed: 0, step: 0, shard: 0 } }], sums);
          const { lossSum } = await engine.evaluate(samples);
          const gradient = sums.subarray(0, numWeights);
          expect(answer.parameters).toBe(numParameters);
          expect(Math.abs(answer.evaluated / lossSum - 1)).toBeLessThan(TOLERANCE);
          expect(Math.abs(answer.loss / sums[lossIndex]! - 1)).toBeLessThan(TOLERANCE);
          expect(distance(answer.gradient, gradient) / norm(gradient)).toBeLessThan(GRADIENT_TOLERANCE);
        } finally {
          await engine.dispose();
        }
      },
    );
  },
);
