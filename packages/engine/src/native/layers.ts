/** How each kind of layer is computed, forward and backward. A rule is applied once to a network, then written for each batch size. */
import { LockstepError } from '@lockstep/core';
import type { LayerNode, Window } from '../topology/network.ts';
import type { Register } from './assembler.ts';
import { normalize, normalizeGradient, type Rows, statistics } from './batch-norm.ts';
import { backWindow, DirectConvolution, DirectKernelGradient } from './convolution.ts';
import {
  addBuffers,
  multiplyBuffers,
  relu,
  reluGradient,
  scaleBuffer,
  sumPartsOfRows,
  sumRows,
  transpose,
} from './elementwise.ts';
import { multiply } from './gemm.ts';
import { channelShape, type ParameterMemory, roomOf, type Shape3 } from './parameters.ts';
import { globalAveragePool, globalAveragePoolGradient, isTiling, maxPool, maxPoolGradient } from './pooling.ts';
import { type Buffer, inside, type Move, type Program, padded } from './program.ts';
import { numValues, type Pictures } from './tiles.ts';
import { TiledConvolution, TiledKernelGradient, transformedLength, transformKernel } from './winograd.ts';

const FLOAT_BYTES = Float32Array.BYTES_PER_ELEMENT;

/** Rows of a dense layer's input that stay in the cache while its kernel goes by. */
const CHUNK_ROWS = 64;

/** How the values of a node lie in memory: `positions` rows a sample, each of `outer` parts of `channels` values, filled up. */
export interface Arrangement {
  readonly positions: number;
  readonly outer: number;
  readonly channels: number;
  readonly room: number;
}

export const sampleRoom = ({ positions, outer, room }: Arrangement): number => positions * outer * room;

/** One program, as layers write it. */
export interface Run {
  readonly p: Program;
  /** Samples, of all micro-batches. */
  readonly count: number;
  /** Samples of each micro-batch; more than one only where {@link isGroupable} says so. */
  readonly counts: readonly number[];
  readonly training: boolean;
  /** Where the gradient of a parameter is to go, or its batch statistic times `count`. */
  produce(name: string, shape: Shape3): Buffer;
  /** Factors of a dropout layer, filled in before each run. */
  mask(index: number, arrangement: Arrangement): Buffer;
}

export interface Forward {
  readonly output: Buffer;
  /** Writes the gradients with respect to the inputs; undefined where nobody wants them. */
  backward(gradient: Buffer): readonly (Buffer | undefined)[];
}

export interface Layer {
  readonly arrangement: Arrangement;
  forward(run: Run, inputs: readonly Buffer[]): Forward;
}

/** Max pooling behind a convolution, done together with it, so that what lies between never leaves the cache. */
interface Pooling {
  readonly window: Window;
  /** Of the pooled pictures. */
  readonly shape: readonly number[];
}

export interface Place {
  readonly parameters: ParameterMemory;
  readonly inputs: readonly Arrangement[];
  /** Shapes of the inputs without batch. */
  readonly inputShapes: readonly (readonly number[])[];
  /** Whether a ReLU follows, and nothing else: layers that can do it themselves say so. */
  readonly relu: boolean;
  /** The max pooling that follows a convolution, and nothing else. */
  readonly pooling: Pooling | undefined;
  /** Which inputs' gradients are wanted. */
  readonly wanted: readonly boolean[];
}

type Node<Kind extends LayerNode['kind']> = Extract<LayerNode, { kind: Kind }>;

/** Kinds that do a ReLU that follows them. */
export const rectifying: ReadonlySet<LayerNode['kind']> = new Set(['dense', 'batchNorm']);

/** Whether several micro-batches can be computed as one: nothing but kernels' gradients must go over all samples of one. */
export const isGroupable = ({ kind }: LayerNode): boolean => kind !== 'batchNorm' && kind !== 'conv2d';

const unsupported = (what: string): LockstepError =>
  new LockstepError(
    'engine-unavailable',
    `the engine "native" has no ${what}`,
    'Use --engine auto, which takes the fastest that works.',
  );

const picturesOf = (shape: readonly number[], { room }: Arrangement): Pictures => ({
  height: shape[0]!,
  width: shape[1]!,
  channels: room,
});

const pictureArrangement = ([height, width, channels]: readonly number[]): Arrangement => ({
  positions: height! * width!,
  outer: 1,
  channels: channels!,
  room: padded(channels!),
});

function dense(node: Node<'dense'>, { parameters, inputs: [input], relu: rectified, wanted }: Place): Layer {
  const { positions, outer, channels, room } = input!;
  const units = node.shape.at(-1)!;
  const columns = padded(units);
  const depth = outer * room;
  const shape: Shape3 = { outer, inner: channels, columns: units, innerRoom: room, columnsRoom: columns };
  const kernel = parameters.place(node.kernel, shape);
  const bias = node.bias === undefined ? undefined : parameters.place(node.bias, channelShape(units));
  const transposed = wanted[0]
    ? parameters.derive(depth * columns, (p, into) => transpose(p, depth, columns, into, depth, kernel, columns))
    : undefined;
  const [inputRow, outputRow] = [depth * FLOAT_BYTES, columns * FLOAT_BYTES];
  return {
    arrangement: { positions, outer: 1, channels: units, room: columns },
    forward: (run, [from]) => {
      const { p, count } = run;
      const rows = count * positions;
      const parts = run.counts.map((samples) => samples * positions);
      const output = p.buffer(rows * columns);
      p.point<[number, number, number]>([output, from!, kernel], (into, left, right) =>
        p.strips(
          rows,
          CHUNK_ROWS,
          [
            [into, outputRow],
            [left, inputRow],
          ],
          (rows) =>
            multiply(p, into, left, right, {
              rows,
              columns,
              depth: [{ count: depth, left: FLOAT_BYTES, right: outputRow }],
              leftRows: inputRow,
              intoRow: outputRow,
              start: bias ?? 'zero',
              relu: rectified,
            }),
        ),
      );
      const backward = (gradient: Buffer): (Buffer | undefined)[] => {
        let slope = gradient;
        if (rectified) {
          slope = p.buffer(rows * columns);
          reluGradient(p, rows * columns, slope, gradient, output);
        }
        p.point<[number, number, number]>([run.produce(node.kernel, shape), from!, slope], (into, left, right) =>
          multiply(p, into, left, right, {
            rows: depth,
            columns,
            depth: [{ count: rows, left: inputRow, right: outputRow }],
            parts,
            order: 'rows',
            leftRows: FLOAT_BYTES,
            intoRow: outputRow,
            start: 'zero',
          }),
        );
        if (node.bias !== undefined) {
          sumPartsOfRows(p, parts, columns, run.produce(node.bias, channelShape(units)), slope);
        }
        if (!transposed) return [undefined];
        const back = p.buffer(rows * depth);
        p.point<[number, number, number]>([back, slope, transposed], (into, left, right) =>
          multiply(p, into, left, right, {
            rows,
            columns: depth,
            depth: [{ count: columns, left: FLOAT_BYTES, right: inputRow }],
            leftRows: outputRow,
            intoRow: inputRow,
            start: 'zero',
          }),
        );
        return [back];
      };
      return { output, backward };
    },
  };
}

/** Whether Winograd's way fits: it needs whole vectors of channels on both sides. */
const isSmallWindow = ({ size, strides, padding }: Window): boolean =>
  size[0] === 3 &&
  size[1] === 3 &&
  strides[0] === 1 &&
  strides[1] === 1 &&
  Object.values(padding).every((number) => number <= 2);

/** The kernel [height, width, inputs, outputs] with inputs and outputs exchanged, and turned by half a turn. */
function turnedKernel(p: Program, into: Buffer, kernel: Buffer, taps: number, inputs: number, outputs: number): void {
  for (let tap = 0; tap < taps; tap++) {
    const target = inside(into, (taps - 1 - tap) * inputs * outputs);
    transpose(p, inputs, outputs, target, inputs, inside(kernel, tap * inputs * outputs), outputs);
  }
}

function conv2d(node: Node<'conv2d'>, place: Place): Layer {
  const {
    parameters,
    inputs: [input],
    inputShapes: [inputShape],
    wanted,
    pooling,
  } = place;
  const { window } = node;
  const convolved = pictureArrangement(node.shape);
  const results = picturesOf(node.shape, convolved);
  const pictures = picturesOf(inputShape!, input!);
  const taps = window.size[0] * window.size[1];
  const shape: Shape3 = {
    outer: taps,
    inner: input!.channels,
    columns: convolved.channels,
    innerRoom: pictures.channels,
    columnsRoom: results.channels,
  };
  if (wanted[0] && (window.strides[0] !== 1 || window.strides[1] !== 1)) {
    throw unsupported(`convolution with strides behind another layer (layer "${node.id}")`);
  }
  const kernel = parameters.place(node.kernel, shape);
  const bias = node.bias === undefined ? undefined : parameters.place(node.bias, channelShape(convolved.channels));
  const [inputs, outputs] = [pictures.channels, results.channels];
  const turned = wanted[0]
    ? parameters.derive(roomOf(shape), (p, into) => turnedKernel(p, into, kernel, taps, inputs, outputs))
    : undefined;
  const byTiles = isSmallWindow(window) && wanted[0] && bias === undefined;
  const transform = (from: Buffer, depth: number, into: Pictures): Buffer =>
    parameters.derive(transformedLength(into, depth), (p, buffer) => transformKernel(p, buffer, from, depth, into));
  const forwardKernel = byTiles ? transform(kernel, inputs, results) : undefined;
  const backwardKernel = byTiles && turned ? transform(turned, outputs, pictures) : undefined;
  const behind = wanted[0] ? backWindow(window) : undefined;
  const arrangement = pooling ? pictureArrangement(pooling.shape) : convolved;

  const moves = (pointers: readonly (Register | undefined)[], pictures: readonly Pictures[]): Move[] =>
    pointers.flatMap((pointer, i) =>
      pointer === undefined ? [] : [[pointer, numValues(pictures[i]!) * FLOAT_BYTES] as const],
    );
  const pooled = pooling ? picturesOf(pooling.shape, arrangement) : results;
  /** Results of some pictures, on their way to the pooling or from there. */
  const scratch = (p: Program, group: number): Buffer | undefined => pooling && p.buffer(group * numValues(results));

  return {
    arrangement,
    forward: (run, [from]) => {
      const { p, count } = run;
      const output = p.buffer(count * sampleRoom(arrangement));
      const index = pooling && p.buffer(count * sampleRoom(arrangement));
      const convolution = forwardKernel
        ? new TiledConvolution(p, count, results, pictures, window.padding, forwardKernel)
        : new DirectConvolution(p, results, pictures, window, kernel, bias);
      const between = scratch(p, convolution.group);
      p.point<Register[]>([from!, output, ...(index ? [index] : [])], (source, target, indices) =>
        p.strips(count, convolution.group, moves([source, target, indices], [pictures, pooled, pooled]), (group) => {
          if (!pooling) {
            convolution.write(target!, source!, group);
            return;
          }
          p.point<[Register]>([between!], (unpooled) => {
            p.park([target!, indices!], () => convolution.write(unpooled, source!, group));
            maxPool(p, group, target!, indices!, pooled, unpooled, results, pooling.window);
          });
        }),
      );
      const backward = (gradient: Buffer): (Buffer | undefined)[] => {
        const kernelGradient = byTiles
          ? new TiledKernelGradient(p, count, results, pictures, window.padding)
          : new DirectKernelGradient(p, results, pictures, window);
        const back =
          behind &&
          (backwardKernel
            ? new TiledConvolution(p, count, pictures, results, behind.padding, backwardKernel)
            : new DirectConvolution(p, pictures, results, behind, turned!, undefined));
        const into = back && p.buffer(count * sampleRoom(input!));
        const most = Math.min(kernelGradient.group, back?.group ?? count);
        const unpooledGradient = scratch(p, most);
        const buffers = [gradient, from!, ...(into ? [into] : []), ...(index ? [index] : [])];
        p.point<Register[]>(buffers, (slopes, source, ...others) => {
          const target = into && others[0]!;
          const indices = index && others.at(-1)!;
          const pointers = moves([slopes, source, target, indices], [pooled, pictures, pictures, pooled]);
          p.strips(count, most, pointers, (group) => {
            const use = (slope: Register): void => {
              kernelGradient.add(slope, source!, group);
              back?.write(target!, slope, group);
            };
            if (!pooling) {
              use(slopes!);
              return;
            }
            p.point<[Register]>([unpooledGradient!], (slope) => {
              p.park([source!, ...(target === undefined ? [] : [target])], () =>
                maxPoolGradient(p, group, slope, results, slopes!, indices!, pooled, pooling.window),
              );
              p.park([slopes!, indices!], () => use(slope));
            });
          });
        });
        kernelGradient.finish(run.produce(node.kernel, shape));
        if (node.bias !== undefined) {
          // Pooling hands each gradient on to one pixel.
          const rows = count * arrangement.positions;
          sumRows(p, rows, outputs, run.produce(node.bias, channelShape(convolved.channels)), gradient);
        }
        return [into];
      };
      return { output, backward };
    },
  };
}

function maxPooling(node: Node<'maxPool'>, { inputs: [input], inputShapes: [inputShape], wanted }: Place): Layer {
  const { window } = node;
  if (!isTiling(window)) throw unsupported(`max pooling with overlapping or padded windows (layer "${node.id}")`);
  if (input!.room % padded(1) !== 0) throw unsupported(`pooling of the picture itself (layer "${node.id}")`);
  const arrangement = pictureArrangement(node.shape);
  const results = picturesOf(node.shape, arrangement);
  const pictures = picturesOf(inputShape!, input!);
  return {
    arrangement,
    forward: ({ p, count }, [from]) => {
      const [output, index] = [p.buffer(count * numValues(results)), p.buffer(count * numValues(results))];
      p.point<[Register, Register, Register]>([output, index, from!], (into, indices, source) =>
        maxPool(p, count, into, indices, results, source, pictures, window),
      );
      const backward = (gradient: Buffer): (Buffer | undefined)[] => {
        if (!wanted[0]) return [undefined];
        // Pixels in no window stay zero.
        const back = p.buffer(count * numValues(pictures));
        p.point<[Register, Register, Register]>([back, gradient, index], (into, slopes, indices) =>
          maxPoolGradient(p, count, into, pictures, slopes, indices, results, window),
        );
        return [back];
      };
      return { output, backward };
    },
  };
}

function averagePooling(
  node: Node<'globalAveragePool'>,
  { inputs: [input], inputShapes: [inputShape], wanted }: Place,
): Layer {
  if (input!.room % padded(1) !== 0) throw unsupported(`pooling of the picture itself (layer "${node.id}")`);
  const pictures = picturesOf(inputShape!, input!);
  return {
    arrangement: { ...input!, positions: 1 },
    forward: ({ p, count }, [from]) => {
      const output = p.buffer(count * pictures.channels);
      globalAveragePool(p, count, output, from!, pictures);
      const backward = (gradient: Buffer): (Buffer | undefined)[] => {
        if (!wanted[0]) return [undefined];
        const back = p.buffer(count * sampleRoom(input!));
        globalAveragePoolGradient(p, count, back, gradient, pictures);
        return [back];
      };
      return { output, backward };
    },
  };
}

/** Flattening needs no work: whoever reads the result knows that its parts are filled up. */
function reshape(node: Node<'reshape'>, { inputs: [input] }: Place): Layer {
  const { positions, outer, channels, room } = input!;
  const isFlat = node.shape.length === 1;
  const depth = node.shape.at(-1)!;
  if (!isFlat && (channels !== room || padded(depth) !== depth)) {
    throw unsupported(`reshaping of channels that are no multiple of ${padded(1)} (layer "${node.id}")`);
  }
  const arrangement = isFlat
    ? { positions: 1, outer: positions * outer, channels, room }
    : { positions: (positions * outer * channels) / depth, outer: 1, channels: depth, room: depth };
  return { arrangement, forward: (_, [from]) => ({ output: from!, backward: (gradient) => [gradient] }) };
}

function activation(node: Node<'activation'>, { inputs: [input] }: Place): Layer {
  if (node.activation !== 'relu') throw unsupported(`activation "${node.activation}" (layer "${node.id}")`);
  if (sampleRoom(input!) % padded(1) !== 0) throw unsupported(`activation of the picture itself (layer "${node.id}")`);
  return {
    arrangement: input!,
    forward: ({ p, count }, [from]) => {
      const floats = count * sampleRoom(input!);
      const output = p.buffer(floats);
      relu(p, floats, output, from!);
      const backward = (gradient: Buffer): Buffer[] => {
        const back = p.buffer(floats);
        reluGradient(p, floats, back, gradient, output);
        return [back];
      };
      return { output, backward };
    },
  };
}

function dropout(node: Node<'dropout'>, { inputs: [input] }: Place): Layer {
  if (input!.room % padded(1) !== 0) throw unsupported(`dropout of the picture itself (layer "${node.id}")`);
  return {
    arrangement: input!,
    forward: (run, [from]) => {
      const { p, count, training } = run;
      if (!training || node.rate === 0) return { output: from!, backward: (gradient) => [gradient] };
      const floats = count * sampleRoom(input!);
      const mask = run.mask(node.index, input!);
      const output = p.buffer(floats);
      multiplyBuffers(p, floats, output, from!, mask);
      const backward = (gradient: Buffer): Buffer[] => {
        const back = p.buffer(floats);
        multiplyBuffers(p, floats, back, gradient, mask);
        return [back];
      };
      return { output, backward };
    },
  };
}

function batchNorm(node: Node<'batchNorm'>, { parameters, inputs: [input], relu: rectified, wanted }: Place): Layer {
  const { positions, outer, channels, room } = input!;
  if (room % padded(1) !== 0) throw unsupported(`batch normalization of the picture itself (layer "${node.id}")`);
  const row = outer * room;
  const shape: Shape3 = { outer: 1, inner: outer, columns: channels, innerRoom: outer, columnsRoom: room };
  const place = (name: string): Buffer => parameters.place(name, shape);
  const gamma = node.gamma === undefined ? undefined : place(node.gamma);
  const beta = node.beta === undefined ? undefined : place(node.beta);
  const moving = { mean: place(node.movingMean), variance: place(node.movingVariance) };
  return {
    arrangement: input!,
    forward: (run, [from]) => {
      const { p, count, training } = run;
      const rows: Rows = { count, pixels: positions, channels: row };
      const batch = training ? { mean: p.buffer(row), variance: p.buffer(row) } : moving;
      const scaling = { gamma, beta, ...batch, inverse: p.buffer(row), factor: p.buffer(row) };
      if (training) {
        statistics(p, rows, from!, scaling);
        scaleBuffer(p, row, run.produce(node.movingMean, shape), scaling.mean, count);
        scaleBuffer(p, row, run.produce(node.movingVariance, shape), scaling.variance, count);
      }
      const output = p.buffer(count * sampleRoom(input!));
      normalize(p, rows, output, from!, node.epsilon, scaling, rectified);
      const backward = (gradient: Buffer): (Buffer | undefined)[] => {
        const into = wanted[0] ? p.buffer(count * sampleRoom(input!)) : undefined;
        const produce = (name: string | undefined): Buffer =>
          name === undefined ? p.buffer(row) : run.produce(name, shape);
        const gradients = {
          gradient,
          rectified: rectified ? output : undefined,
          from: from!,
          gamma: produce(node.gamma),
          beta: produce(node.beta),
          into,
        };
        normalizeGradient(p, rows, gradients, scaling);
        return [into];
      };
      return { output, backward };
    },
  };
}

function add({ inputs }: Place): Layer {
  const arrangement = inputs[0]!;
  return {
    arrangement,
    forward: ({ p, count }, buffers) => {
      const floats = count * sampleRoom(arrangement);
      const output = p.buffer(floats);
      addBuffers(p, floats, output, buffers);
      return { output, backward: (gradient) => buffers.map(() => gradient) };
    },
  };
}

/** @throws LockstepError `engine-unavailable` for what no rule is written for */
export function layerOf(node: LayerNode, place: Place): Layer {
  switch (node.kind) {
    case 'dense':
      return dense(node, place);
    case 'conv2d':
      return conv2d(node, place);
    case 'maxPool':
      return maxPooling(node, place);
    case 'globalAveragePool':
      return averagePooling(node, place);
    case 'reshape':
      return reshape(node, place);
    case 'activation':
      return activation(node, place);
    case 'dropout':
      return dropout(node, place);
    case 'batchNorm':
      return batchNorm(node, place);
    case 'add':
      return add(place);
    default:
      throw unsupported(`layer of the kind "${node.kind}" (layer "${node.id}")`);
  }
}
