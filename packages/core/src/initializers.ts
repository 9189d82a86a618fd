/** Keras initialisers, drawn from the counter-based RNG: the same seed gives the same weights on every machine. */
import type { ParameterLayout } from './layout.ts';
import { purposes, RandomStream } from './random.ts';

export type Initializer =
  | { readonly kind: 'constant'; readonly value: number }
  | { readonly kind: 'uniform'; readonly low: number; readonly high: number }
  | { readonly kind: 'normal'; readonly mean: number; readonly deviation: number; readonly truncated: boolean }
  | {
      /** Keras `VarianceScaling`, of which Glorot, He and LeCun are special cases. */
      readonly kind: 'varianceScaling';
      readonly scale: number;
      readonly mode: 'fanIn' | 'fanOut' | 'fanAverage';
      readonly distribution: 'uniform' | 'normal' | 'truncatedNormal';
    };

export const zeros: Initializer = { kind: 'constant', value: 0 };
export const ones: Initializer = { kind: 'constant', value: 1 };
export const glorotUniform: Initializer = {
  kind: 'varianceScaling',
  scale: 1,
  mode: 'fanAverage',
  distribution: 'uniform',
};

/** Standard deviation of a unit normal truncated to two deviations; Keras divides by it to keep the variance. */
const TRUNCATED_DEVIATION = 0.879_625_661_034_239_78;

function fans(shape: readonly number[]): { fanIn: number; fanOut: number } {
  if (shape.length < 2) return { fanIn: shape[0] ?? 1, fanOut: shape[0] ?? 1 };
  const receptiveField = shape.slice(0, -2).reduce((product, dimension) => product * dimension, 1);
  return { fanIn: receptiveField * shape.at(-2)!, fanOut: receptiveField * shape.at(-1)! };
}

function truncatedNormal(random: RandomStream): number {
  for (;;) {
    const draw = random.normal();
    if (Math.abs(draw) < 2) return draw;
  }
}

function sampler(initializer: Initializer, shape: readonly number[], random: RandomStream): () => number {
  switch (initializer.kind) {
    case 'constant':
      return () => initializer.value;
    case 'uniform':
      return () => initializer.low + (initializer.high - initializer.low) * random.uniform();
    case 'normal': {
      const draw = initializer.truncated ? truncatedNormal : (stream: RandomStream) => stream.normal();
      return () => initializer.mean + initializer.deviation * draw(random);
    }
    case 'varianceScaling': {
      const { fanIn, fanOut } = fans(shape);
      const fan = { fanIn, fanOut, fanAverage: (fanIn + fanOut) / 2 }[initializer.mode];
      const variance = initializer.scale / Math.max(1, fan);
      if (initializer.distribution === 'uniform') {
        const limit = Math.sqrt(3 * variance);
        return () => limit * (2 * random.uniform() - 1);
      }
      if (initializer.distribution === 'normal') return () => Math.sqrt(variance) * random.normal();
      const deviation = Math.sqrt(variance) / TRUNCATED_DEVIATION;
      return () => deviation * truncatedNormal(random);
    }
    default:
      return initializer satisfies never;
  }
}

/**
 * Fills `flat` (at least `layout.numParameters` elements) with initial values. Each parameter draws from its own stream,
 * so a change to one layer leaves the others' values as they were.
 */
export function initializeParameters(layout: ParameterLayout, seed: number, flat: Float32Array): void {
  layout.parameters.forEach((parameter, index) => {
    const draw = sampler(
      parameter.initializer,
      parameter.shape,
      new RandomStream(seed, purposes.initialization, index, 0, 0),
    );
    const view = layout.view(flat, parameter);
    for (let i = 0; i < view.length; i++) view[i] = draw();
  });
}
