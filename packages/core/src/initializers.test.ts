import { describe, expect, it } from 'vitest';
import { glorotUniform, type Initializer, initializeParameters, zeros } from './initializers.ts';
import { ParameterLayout, type ParameterSpec } from './layout.ts';

const spec = (name: string, shape: number[], initializer: Initializer): ParameterSpec => ({
  name,
  shape,
  kind: 'weight',
  decays: true,
  initializer,
  momentum: undefined,
});

function draw(specs: ParameterSpec[], seed: number): Float32Array[] {
  const layout = new ParameterLayout(specs);
  const flat = new Float32Array(layout.numParameters);
  initializeParameters(layout, seed, flat);
  return layout.parameters.map((parameter) => layout.view(flat, parameter));
}

const largest = (values: Float32Array): number => values.reduce((max, value) => Math.max(max, Math.abs(value)), 0);

const deviation = (values: Float32Array): number =>
  Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) / values.length);

describe('initializeParameters', () => {
  it('draws Glorot uniform within its limit and with its variance', () => {
    const [kernel] = draw([spec('dense/kernel', [784, 256], glorotUniform)], 1) as [Float32Array];
    const limit = Math.sqrt(6 / (784 + 256));
    expect(largest(kernel)).toBeLessThanOrEqual(Math.fround(limit));
    expect(deviation(kernel) / (limit / Math.sqrt(3))).toBeCloseTo(1, 2);
  });

  it('draws He normal with the variance of a convolution kernel, truncated', () => {
    const he: Initializer = { kind: 'varianceScaling', scale: 2, mode: 'fanIn', distribution: 'truncatedNormal' };
    const [kernel] = draw([spec('conv/kernel', [3, 3, 32, 64], he)], 1) as [Float32Array];
    const expected = Math.sqrt(2 / (9 * 32));
    expect(deviation(kernel) / expected).toBeCloseTo(1, 1);
    expect(largest(kernel)).toBeLessThan((2 * expected) / 0.8796);
  });

  it('depends on the seed, and not on the size of other layers', () => {
    const second = spec('b', [10, 10], glorotUniform);
    const [, small] = draw([spec('a', [3, 3], glorotUniform), second], 1);
    const [, large] = draw([spec('a', [300, 3], glorotUniform), second], 1);
    expect(large).toEqual(small);
    expect(draw([second], 2)[0]).not.toEqual(draw([second], 1)[0]);
    expect(draw([spec('bias', [4], zeros)], 1)[0]).toEqual(new Float32Array(4));
  });
});
