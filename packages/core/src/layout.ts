/** The flat vectors on which every engine, worker and coordinator agree. */
import type { Initializer } from './initializers.ts';

/** One tensor of the model, before it has a place in the flat vector. */
export interface ParameterSpec {
  /** `<layer>/<weight>`, as Keras names it: `dense/kernel`. */
  readonly name: string;
  /** Keras layout: dense [in, out], convolution [height, width, in, out], depthwise [height, width, in, multiplier]. */
  readonly shape: readonly number[];
  /** `statistic`: a moving average of batch statistics, updated without a gradient. */
  readonly kind: 'weight' | 'statistic';
  /** Whether decoupled weight decay applies: kernels, not biases, nor batch normalization's scale and offset. */
  readonly decays: boolean;
  readonly initializer: Initializer;
  /** Of a statistic: how much of the old average one step keeps. */
  readonly momentum: number | undefined;
}

export interface Parameter extends ParameterSpec {
  /** Index of the first element in the flat vector. */
  readonly offset: number;
  /** Number of elements. */
  readonly size: number;
}

/**
 * Places every tensor in one flat float32 vector: first all weights, then all statistics, each group in the model's own
 * order, without padding.
 *
 * A *sum vector* runs parallel to it: at a weight's place the gradient of the loss summed over samples, at a statistic's
 * place the batch statistic times the number of samples; behind the parameters the loss sum, the number of correct
 * predictions and the number of samples.
 */
export class ParameterLayout {
  readonly parameters: readonly Parameter[];
  /** Elements of all weights: the prefix of the flat vector that has gradients. */
  readonly numWeights: number;
  /** Elements of all weights and statistics. */
  readonly numParameters: number;

  constructor(specs: readonly ParameterSpec[]) {
    const parameters: Parameter[] = [];
    let offset = 0;
    let numWeights = 0;
    for (const kind of ['weight', 'statistic'] as const) {
      for (const spec of specs) {
        if (spec.kind !== kind) continue;
        const size = spec.shape.reduce((product, dimension) => product * dimension, 1);
        parameters.push({ ...spec, offset, size });
        offset += size;
      }
      if (kind === 'weight') numWeights = offset;
    }
    this.parameters = parameters;
    this.numWeights = numWeights;
    this.numParameters = offset;
  }

  /** Place of the loss sum in a sum vector. */
  get lossIndex(): number {
    return this.numParameters;
  }

  /** Place of the number of correct predictions in a sum vector. */
  get correctIndex(): number {
    return this.numParameters + 1;
  }

  /** Place of the number of samples in a sum vector. */
  get countIndex(): number {
    return this.numParameters + 2;
  }

  /** Elements of a sum vector. */
  get sumLength(): number {
    return this.numParameters + 3;
  }

  /** The part of `flat` that holds `parameter`, as a view. */
  view(flat: Float32Array, parameter: Parameter): Float32Array {
    return flat.subarray(parameter.offset, parameter.offset + parameter.size);
  }
}
