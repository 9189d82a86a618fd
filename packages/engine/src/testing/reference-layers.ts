/** The layers of the float64 reference, each as nested loops over its definition. */
import type { ActivationName, LayerNode, Padding, Shape, Window } from '../topology/network.ts';
import { numElements } from '../topology/network.ts';

/** State of one pass over the network. */
export interface Pass {
  readonly count: number;
  readonly training: boolean;
  readonly masks: readonly Uint8Array[];
  readonly parameter: (name: string) => Float64Array;
  readonly statistics: Map<string, Float64Array>;
  readonly choose: (choice: number) => void;
}

/** Values of one node for all samples, row-major [count, ...shape]. */
export interface Values {
  readonly shape: Shape;
  readonly data: Float64Array;
}

export function applyLayer(
  node: Exclude<LayerNode, { kind: 'input' }>,
  inputs: readonly Values[],
  pass: Pass,
): Float64Array {
  const input = inputs[0]!;
  switch (node.kind) {
    case 'dense':
      return addBias(dense(input, pass.parameter(node.kernel), node.shape.at(-1)!), node.bias, pass);
    case 'conv2d':
      return addBias(conv2d(input, pass.parameter(node.kernel), node.window, node.shape, pass), node.bias, pass);
    case 'depthwiseConv2d':
      return addBias(depthwise(input, pass.parameter(node.kernel), node.window, node.shape, pass), node.bias, pass);
    case 'maxPool':
      return overWindows(input, node.window, node.shape, pass, (indices) => {
        let winner = indices[0]!;
        for (const index of indices) if (input.data[index]! > input.data[winner]!) winner = index;
        pass.choose(winner);
        return input.data[winner]!;
      });
    case 'averagePool':
      return overWindows(input, node.window, node.shape, pass, (indices) => {
        return indices.reduce((sum, index) => sum + input.data[index]!, 0) / indices.length;
      });
    case 'globalAveragePool':
      return globalAverage(input, pass);
    case 'reshape':
      return input.data;
    case 'activation':
      return activation(node.activation, input, pass);
    case 'dropout':
      return pass.training
        ? input.data.map((x, i) => (pass.masks[node.index]![i] === 1 ? x / (1 - node.rate) : 0))
        : input.data;
    case 'batchNorm':
      return batchNorm(input, node, pass);
    case 'add':
      return input.data.map((_, i) => inputs.reduce((sum, { data }) => sum + data[i]!, 0));
    case 'concatenate':
      return concatenate(inputs, node.axis, pass);
    case 'zeroPad':
      return zeroPad(input, node.padding, node.shape, pass);
    default:
      return node satisfies never;
  }
}

function dense({ data }: Values, kernel: Float64Array, units: number): Float64Array {
  const numInputs = kernel.length / units;
  const out = new Float64Array((data.length / numInputs) * units);
  for (let row = 0; row < data.length / numInputs; row++) {
    for (let i = 0; i < numInputs; i++) {
      for (let unit = 0; unit < units; unit++) {
        out[row * units + unit]! += data[row * numInputs + i]! * kernel[i * units + unit]!;
      }
    }
  }
  return out;
}

function addBias(data: Float64Array, bias: string | undefined, pass: Pass): Float64Array {
  if (bias === undefined) return data;
  const values = pass.parameter(bias);
  return data.map((x, i) => x + values[i % values.length]!);
}

/** Calls `visit` with each place of the window that lies in the picture, for each output pixel. */
function forEachTap(
  [height, width]: Shape,
  { size, strides, padding }: Window,
  [outHeight, outWidth]: Shape,
  visit: (outPixel: number, pixel: number, kernelPixel: number) => void,
): void {
  for (let outY = 0; outY < outHeight!; outY++) {
    for (let outX = 0; outX < outWidth!; outX++) {
      for (let kernelY = 0; kernelY < size[0]; kernelY++) {
        for (let kernelX = 0; kernelX < size[1]; kernelX++) {
          const y = outY * strides[0] + kernelY - padding.top;
          const x = outX * strides[1] + kernelX - padding.left;
          if (y < 0 || y >= height! || x < 0 || x >= width!) continue;
          visit(outY * outWidth! + outX, y * width! + x, kernelY * size[1] + kernelX);
        }
      }
    }
  }
}

function conv2d(input: Values, kernel: Float64Array, window: Window, outShape: Shape, pass: Pass): Float64Array {
  const channels = input.shape[2]!;
  const filters = outShape[2]!;
  const out = new Float64Array(pass.count * numElements(outShape));
  for (let n = 0; n < pass.count; n++) {
    forEachTap(input.shape, window, outShape, (outPixel, pixel, kernelPixel) => {
      const from = n * numElements(input.shape) + pixel * channels;
      const to = n * numElements(outShape) + outPixel * filters;
      for (let c = 0; c < channels; c++) {
        for (let f = 0; f < filters; f++) {
          out[to + f]! += input.data[from + c]! * kernel[(kernelPixel * channels + c) * filters + f]!;
        }
      }
    });
  }
  return out;
}

function depthwise(input: Values, kernel: Float64Array, window: Window, outShape: Shape, pass: Pass): Float64Array {
  const channels = input.shape[2]!;
  const multiplier = outShape[2]! / channels;
  const out = new Float64Array(pass.count * numElements(outShape));
  for (let n = 0; n < pass.count; n++) {
    forEachTap(input.shape, window, outShape, (outPixel, pixel, kernelPixel) => {
      const from = n * numElements(input.shape) + pixel * channels;
      const to = n * numElements(outShape) + outPixel * channels * multiplier;
      for (let c = 0; c < channels; c++) {
        for (let m = 0; m < multiplier; m++) {
          const weight = kernel[(kernelPixel * channels + c) * multiplier + m]!;
          out[to + c * multiplier + m]! += input.data[from + c]! * weight;
        }
      }
    });
  }
  return out;
}

/** Gives `reduce` the indices in `input.data` of each output's window, in row-major order and without padding. */
function overWindows(
  input: Values,
  window: Window,
  outShape: Shape,
  pass: Pass,
  reduce: (indices: readonly number[]) => number,
): Float64Array {
  const channels = outShape[2]!;
  const windows = Array.from({ length: pass.count * numElements(outShape) }, (): number[] => []);
  for (let n = 0; n < pass.count; n++) {
    forEachTap(input.shape, window, outShape, (outPixel, pixel) => {
      for (let c = 0; c < channels; c++) {
        const index = n * numElements(input.shape) + pixel * channels + c;
        windows[n * numElements(outShape) + outPixel * channels + c]!.push(index);
      }
    });
  }
  return Float64Array.from(windows, reduce);
}

function globalAverage({ shape, data }: Values, pass: Pass): Float64Array {
  const [height, width, channels] = shape as readonly [number, number, number];
  const out = new Float64Array(pass.count * channels);
  for (let n = 0; n < pass.count; n++) {
    for (let pixel = 0; pixel < height * width; pixel++) {
      for (let c = 0; c < channels; c++) {
        out[n * channels + c]! += data[(n * height * width + pixel) * channels + c]! / (height * width);
      }
    }
  }
  return out;
}

export function softmax(data: Float64Array, size: number): Float64Array {
  const out = new Float64Array(data.length);
  for (let start = 0; start < data.length; start += size) {
    const row = data.subarray(start, start + size);
    const max = Math.max(...row);
    const exponentials = row.map((x) => Math.exp(x - max));
    const sum = exponentials.reduce((total, x) => total + x, 0);
    for (let i = 0; i < size; i++) out[start + i] = exponentials[i]! / sum;
  }
  return out;
}

type PointwiseActivation = Exclude<ActivationName, 'softmax'>;

function activation(name: ActivationName, { shape, data }: Values, pass: Pass): Float64Array {
  return name === 'softmax' ? softmax(data, shape.at(-1)!) : data.map((x) => activate(name, x, pass));
}

function activate(activation: PointwiseActivation, x: number, pass: Pass): number {
  switch (activation) {
    case 'relu':
      pass.choose(x > 0 ? 1 : 0);
      return Math.max(0, x);
    case 'relu6':
      pass.choose(x <= 0 ? 0 : x < 6 ? 1 : 2);
      return Math.min(Math.max(0, x), 6);
    case 'tanh':
      return Math.tanh(x);
    case 'sigmoid':
      return 1 / (1 + Math.exp(-x));
    case 'gelu':
      return (x * (1 + erf(x / Math.SQRT2))) / 2;
    case 'gelu_tanh':
      return (x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)))) / 2;
    default:
      return activation satisfies never;
  }
}

/** Error function by its Maclaurin series (Abramowitz and Stegun, 7.1.6), which has no cancellation. */
export function erf(x: number): number {
  if (Math.abs(x) > 6) return Math.sign(x);
  let term = x;
  let sum = x;
  for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) {
    term *= (2 * x * x) / (2 * n + 1);
    sum += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
}

function batchNorm({ data }: Values, node: Extract<LayerNode, { kind: 'batchNorm' }>, pass: Pass): Float64Array {
  const movingMean = pass.parameter(node.movingMean);
  const movingVariance = pass.parameter(node.movingVariance);
  const channels = movingMean.length;
  const rows = data.length / channels;
  const mean = new Float64Array(channels);
  const variance = new Float64Array(channels);
  if (pass.training) {
    for (let i = 0; i < data.length; i++) mean[i % channels]! += data[i]! / rows;
    for (let i = 0; i < data.length; i++) variance[i % channels]! += (data[i]! - mean[i % channels]!) ** 2 / rows;
    pass.statistics.set(node.movingMean, mean);
    pass.statistics.set(node.movingVariance, variance);
  } else {
    mean.set(movingMean);
    variance.set(movingVariance);
  }
  return data.map((x, i) => {
    const c = i % channels;
    const gamma = node.gamma === undefined ? 1 : pass.parameter(node.gamma)[c]!;
    const beta = node.beta === undefined ? 0 : pass.parameter(node.beta)[c]!;
    return (gamma * (x - mean[c]!)) / Math.sqrt(variance[c]! + node.epsilon) + beta;
  });
}

function concatenate(inputs: readonly Values[], axis: number, pass: Pass): Float64Array {
  const outer = pass.count * numElements(inputs[0]!.shape.slice(0, axis));
  const out: number[] = [];
  for (let i = 0; i < outer; i++) {
    for (const { shape, data } of inputs) {
      const run = numElements(shape.slice(axis));
      out.push(...data.subarray(i * run, (i + 1) * run));
    }
  }
  return Float64Array.from(out);
}

function zeroPad(input: Values, { top, left }: Padding, outShape: Shape, pass: Pass): Float64Array {
  const [height, width, channels] = input.shape as readonly [number, number, number];
  const out = new Float64Array(pass.count * numElements(outShape));
  for (let n = 0; n < pass.count; n++) {
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        for (let c = 0; c < channels; c++) {
          const to = ((n * outShape[0]! + y + top) * outShape[1]! + x + left) * channels + c;
          out[to] = input.data[((n * height + y) * width + x) * channels + c]!;
        }
      }
    }
  }
  return out;
}
