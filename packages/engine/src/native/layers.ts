/** How each kind of layer is computed, forward and backward. A rule is applied once to a network, then written for each batch size. */
import type { LayerNode } from '../topology/network.ts';
import type { Register } from './assembler.ts';
import { normalize, normalizeGradient, type Rows, statistics } from './batch-norm.ts';
import { conv2d } from './convolution-layer.ts';
import { dense } from './dense-layer.ts';
import { addBuffers, multiplyBuffers, relu, reluGradient, scaleBuffer } from './elementwise.ts';
import type { Shape3 } from './parameters.ts';
import { globalAveragePool, globalAveragePoolGradient, isTiling, maxPool, maxPoolGradient } from './pooling.ts';
import { type Buffer, padded, WIDEST } from './program.ts';
import {
  type Arrangement,
  type Layer,
  type Node,
  type Place,
  passing,
  pictureArrangement,
  picturesOf,
  sampleRoom,
  unsupported,
} from './rule.ts';
import { numValues } from './tiles.ts';

/** Kinds that do a ReLU that follows them. */
export const rectifying: ReadonlySet<LayerNode['kind']> = new Set(['dense', 'batchNorm']);

/** Whether several micro-batches can be computed as one: nothing but kernels' gradients must go over all samples of one. */
export const isGroupable = ({ kind }: LayerNode): boolean => kind !== 'batchNorm' && kind !== 'conv2d';

/** The picture as it comes in is the only value whose channels are not filled up. */
function refusePicture(what: string, { id }: LayerNode, { room }: Arrangement): void {
  if (room % WIDEST !== 0) throw unsupported(`${what} of the picture itself (layer "${id}")`);
}

function maxPooling(node: Node<'maxPool'>, { inputs: [input], inputShapes: [inputShape], wanted }: Place): Layer {
  const { window } = node;
  if (!isTiling(window)) throw unsupported(`max pooling with overlapping or padded windows (layer "${node.id}")`);
  refusePicture('pooling', node, input!);
  const arrangement = pictureArrangement(node.shape);
  const results = picturesOf(node.shape, arrangement);
  const pictures = picturesOf(inputShape!, input!);
  return {
    arrangement,
    forward: ({ p, count }, [from]) => {
      const [output, index] = [p.borrow(count * numValues(results)), p.borrow(count * numValues(results))];
      p.point<[Register, Register, Register]>([output, index, from!], (into, indices, source) =>
        maxPool(p, count, into, indices, results, source, pictures, window),
      );
      const backward = (gradient: Buffer): (Buffer | undefined)[] => {
        if (!wanted[0]) return [undefined];
        // Its own, since pixels in no window stay zero.
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
  refusePicture('pooling', node, input!);
  const pictures = picturesOf(inputShape!, input!);
  return {
    arrangement: { ...input!, positions: 1 },
    forward: ({ p, count }, [from]) => {
      const output = p.borrow(count * pictures.channels);
      globalAveragePool(p, count, output, from!, pictures);
      const backward = (gradient: Buffer): (Buffer | undefined)[] => {
        if (!wanted[0]) return [undefined];
        const back = p.borrow(count * sampleRoom(input!));
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
    throw unsupported(`reshaping of channels that are no multiple of ${WIDEST} (layer "${node.id}")`);
  }
  const arrangement = isFlat
    ? { positions: 1, outer: positions * outer, channels, room }
    : { positions: (positions * outer * channels) / depth, outer: 1, channels: depth, room: depth };
  return passing(arrangement);
}

function activation(node: Node<'activation'>, { inputs: [input] }: Place): Layer {
  if (node.activation !== 'relu') throw unsupported(`activation "${node.activation}" (layer "${node.id}")`);
  if (sampleRoom(input!) % WIDEST !== 0) throw unsupported(`activation of the picture itself (layer "${node.id}")`);
  return {
    arrangement: input!,
    forward: ({ p, count }, [from]) => {
      const floats = count * sampleRoom(input!);
      const output = p.borrow(floats);
      relu(p, floats, output, from!);
      const backward = (gradient: Buffer): Buffer[] => {
        const back = p.borrow(floats);
        reluGradient(p, floats, back, gradient, output);
        return [back];
      };
      return { output, backward };
    },
  };
}

function dropout(node: Node<'dropout'>, { inputs: [input] }: Place): Layer {
  refusePicture('dropout', node, input!);
  return {
    arrangement: input!,
    forward: (run, [from]) => {
      const { p, count, training } = run;
      if (!training || node.rate === 0) return { output: from!, backward: (gradient) => [gradient] };
      const floats = count * sampleRoom(input!);
      const mask = run.mask(node.index, input!);
      const output = p.borrow(floats);
      multiplyBuffers(p, floats, output, from!, mask);
      const backward = (gradient: Buffer): Buffer[] => {
        const back = p.borrow(floats);
        multiplyBuffers(p, floats, back, gradient, mask);
        return [back];
      };
      return { output, backward };
    },
  };
}

function batchNorm(node: Node<'batchNorm'>, { parameters, inputs: [input], relu: rectified, wanted }: Place): Layer {
  const { positions, outer, channels, room } = input!;
  refusePicture('batch normalization', node, input!);
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
      const output = p.borrow(count * sampleRoom(input!));
      normalize(p, rows, output, from!, node.epsilon, scaling, rectified);
      const backward = (gradient: Buffer): (Buffer | undefined)[] => {
        const into = wanted[0] ? p.borrow(count * sampleRoom(input!)) : undefined;
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
      const output = p.borrow(floats);
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
