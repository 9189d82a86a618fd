// The judge is checked by hand: small cases whose answers follow from the definitions of Keras' layers.
import { describe, expect, it } from 'vitest';
import { parseTopology } from '../topology/parse.ts';
import { type Layer, layer, sequential } from './models.ts';
import { referenceInference, referenceTraining } from './reference.ts';
import { erf } from './reference-layers.ts';

/** Logits of a model over one picture of 3 rows and 3 columns with the values 1..9 (bytes of 255 are 1, so divided by 255). */
function logits(layers: readonly Layer[], parameters: readonly number[]): number[] {
  const network = parseTopology(sequential('model', [3, 3, 1], [...layers, layer('Flatten', 'flatten')]).topology);
  expect(parameters.length).toBe(network.layout.numParameters);
  const images = Uint8Array.from([1, 2, 3, 4, 5, 6, 7, 8, 9]);
  const result = referenceInference(network, parameters, { count: 1, images, labels: Uint8Array.of(0) });
  return [...result.logits].map((value) => Math.round(value * 255 * 1e6) / 1e6);
}

const pool = (className: string, config: object) => [layer(className, 'pool', { ...config })];

describe('reference', () => {
  it('slides kernels without flipping them, and pads more at the bottom and right', () => {
    const conv = layer('Conv2D', 'conv', { filters: 1, kernel_size: 2, padding: 'same', use_bias: false });
    // Top left, top right, bottom left, bottom right.
    expect(logits([conv], [1, 10, 100, 1000])).toEqual([5421, 6532, 603, 8754, 9865, 906, 87, 98, 9]);
    const strided = layer('Conv2D', 'conv', { filters: 2, kernel_size: [1, 2], strides: [2, 1] });
    expect(logits([strided], [1, 10, 2, 20, 0, 1 / 255])).toEqual([5, 51, 8, 81, 23, 231, 26, 261]);
  });

  it('gives each channel of a depthwise convolution its own kernels', () => {
    const layers = [
      layer('Conv2D', 'split', { filters: 2, kernel_size: 3, use_bias: false }),
      layer('DepthwiseConv2D', 'depthwise', { kernel_size: 1, depth_multiplier: 2, use_bias: false }),
    ];
    const first = [0, 0, 0, 0, 1, 0, 0, 0, 0];
    const last = [0, 0, 0, 0, 0, 0, 0, 0, 1];
    const split = first.flatMap((weight, i) => [weight, last[i]!]);
    expect(logits(layers, [...split, 1, 10, 100, 1000])).toEqual([5, 50, 900, 9000]);
  });

  it('leaves padding out of pools', () => {
    const same = { pool_size: 2, strides: 2, padding: 'same' };
    expect(logits(pool('AveragePooling2D', same), [])).toEqual([3, 4.5, 7.5, 9]);
    expect(logits(pool('MaxPooling2D', same), [])).toEqual([5, 6, 8, 9]);
    const negative = layer('Conv2D', 'negate', { filters: 1, kernel_size: 1, use_bias: false });
    expect(logits([negative, ...pool('MaxPooling2D', same)], [-1])).toEqual([-1, -3, -7, -9]);
  });

  it('normalizes by moving statistics or by those of the micro-batch', () => {
    const norm = layer('BatchNormalization', 'norm', { epsilon: 3, center: true, scale: true });
    const model = sequential('model', [1, 2, 1], [norm, layer('Flatten', 'flatten')]);
    const network = parseTopology(model.topology);
    const samples = { count: 2, images: Uint8Array.of(255, 0, 255, 0), labels: Uint8Array.of(0, 1) };
    const parameters = [2, 0.5, 1, 13];
    expect([...referenceInference(network, parameters, samples).logits]).toEqual([0.5, 0, 0.5, 0]);
    const training = referenceTraining(network, parameters, samples, 0, []);
    const step = 1 / Math.sqrt(0.25 + 3);
    expect([...training.logits]).toEqual([0.5 + step, 0.5 - step, 0.5 + step, 0.5 - step]);
    expect([...training.statistics]).toEqual([
      ['norm/moving_mean', Float64Array.of(0.5)],
      ['norm/moving_variance', Float64Array.of(0.25)],
    ]);
    expect(training.numCorrect).toBe(1);
  });

  it('sums the cross-entropy, with smoothed targets in training only', () => {
    const model = sequential('model', [1, 1, 1], [layer('Flatten', 'flatten'), layer('Dense', 'head', { units: 2 })]);
    const network = parseTopology(model.topology);
    const samples = { count: 2, images: Uint8Array.of(0, 0), labels: Uint8Array.of(0, 1) };
    const parameters = [0, 0, Math.log(3), 0];
    const [likely, unlikely] = [-Math.log(3 / 4), -Math.log(1 / 4)];
    expect(referenceInference(network, parameters, samples).lossSum).toBeCloseTo(likely + unlikely, 12);
    const one = { ...samples, count: 1 };
    expect(referenceTraining(network, parameters, one, 0.2, []).lossSum).toBeCloseTo(0.9 * likely + 0.1 * unlikely, 12);
  });

  it('knows the error function', () => {
    // Abramowitz and Stegun, table 7.1.
    expect(erf(0.5)).toBeCloseTo(0.5204998778, 10);
    expect(erf(-2)).toBeCloseTo(-0.995322265, 9);
    expect(erf(0)).toBe(0);
    expect(erf(40)).toBe(1);
  });
});
