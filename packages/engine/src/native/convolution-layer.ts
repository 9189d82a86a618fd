/** Convolutions, in whichever way fits, a few pictures at a time. */
import type { Window } from '../topology/network.ts';
import type { Register } from './assembler.ts';
import { backWindow, DirectConvolution, DirectKernelGradient } from './convolution.ts';
import { sumRows, transpose } from './elementwise.ts';
import { channelShape, roomOf, type Shape3 } from './parameters.ts';
import { maxPool, maxPoolGradient } from './pooling.ts';
import { type Buffer, inside, type Move, type Program } from './program.ts';
import { type Layer, type Node, type Place, pictureArrangement, picturesOf, sampleRoom, unsupported } from './rule.ts';
import { numValues, type Pictures } from './tiles.ts';
import { TiledConvolution, TiledKernelGradient, transformedLength, transformKernel } from './winograd.ts';

const FLOAT_BYTES = Float32Array.BYTES_PER_ELEMENT;

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

export function conv2d(node: Node<'conv2d'>, place: Place): Layer {
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
  const byTiles = isSmallWindow(window) && wanted[0];
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

  return {
    arrangement,
    forward: (run, [from]) => {
      const { p, count } = run;
      const output = p.borrow(count * sampleRoom(arrangement));
      const index = pooling && p.borrow(count * sampleRoom(arrangement));
      const convolution = forwardKernel
        ? new TiledConvolution(p, count, results, pictures, window.padding, forwardKernel, bias)
        : new DirectConvolution(p, results, pictures, window, kernel, bias);
      /** Results of some pictures, on their way to the pooling. */
      const between = pooling && p.borrow(convolution.group * numValues(results));
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
      convolution.end();
      p.giveBack(between);
      const backward = (gradient: Buffer): (Buffer | undefined)[] => {
        const kernelGradient = byTiles
          ? new TiledKernelGradient(p, count, results, pictures, window.padding)
          : new DirectKernelGradient(p, results, pictures, window);
        const back =
          behind &&
          (backwardKernel
            ? new TiledConvolution(p, count, pictures, results, behind.padding, backwardKernel, undefined)
            : new DirectConvolution(p, pictures, results, behind, turned!, undefined));
        const into = back && p.borrow(count * sampleRoom(input!));
        const most = Math.min(kernelGradient.group, back?.group ?? count);
        // Its own, since pixels in no window stay zero.
        const unpooledGradient = pooling && p.buffer(most * numValues(results));
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
        back?.end();
        p.giveBack(index);
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
