/**
 * Windows over NHWC pictures: taking them apart (`unfold`, `windowSlices`) and, for gradients, putting them together
 * again (`fold`). Convolution and pooling are written in terms of these.
 */

import type { Padding, Shape, Window } from '../topology/network.ts';
import type { GraphBuilder, Value } from './graph.ts';

const hasPadding = ({ top, bottom, left, right }: Padding): boolean =>
  top !== 0 || bottom !== 0 || left !== 0 || right !== 0;

/** Adds rows and columns of `fill`; negative amounts cut them off. */
export function pad(g: GraphBuilder, value: Value, padding: Padding, fill = 0): Value {
  if (!hasPadding(padding)) return value;
  const { top, bottom, left, right } = padding;
  return g.op('Pad', [value, g.integers([0, top, left, 0, 0, bottom, right, 0]), g.scalar(fill)]);
}

/** Height and width after padding. */
function paddedSize([height, width]: Shape, { top, bottom, left, right }: Padding): [number, number] {
  return [height! + top + bottom, width! + left + right];
}

/** Positions inside a window, in row-major order. */
function positions({ size: [height, width] }: Window): [row: number, column: number][] {
  return Array.from({ length: height * width }, (_, i) => [Math.floor(i / width), i % width]);
}

/** For each position inside the window the picture that it sees: values of [N, outHeight, outWidth, channels]. */
export function windowSlices(g: GraphBuilder, padded: Value, window: Window, [outHeight, outWidth]: Shape): Value[] {
  const [rowStride, columnStride] = window.strides;
  return positions(window).map(([row, column]) =>
    g.slice(
      padded,
      [1, 2],
      [row, column],
      [row + (outHeight! - 1) * rowStride + 1, column + (outWidth! - 1) * columnStride + 1],
      [rowStride, columnStride],
    ),
  );
}

/**
 * All windows of a picture as the rows of a matrix, [N * outHeight * outWidth, windowHeight * windowWidth * channels]:
 * what a convolution multiplies with its kernel (im2col). One Gather, so that the data moves once.
 */
export function unfold(g: GraphBuilder, value: Value, window: Window, inputShape: Shape, output: Shape): Value {
  const channels = inputShape[2]!;
  const { size, strides } = window;
  if (size[0] === 1 && size[1] === 1 && !hasPadding(window.padding)) {
    const [seen] = strides[0] === 1 && strides[1] === 1 ? [value] : windowSlices(g, value, window, output);
    return g.reshape(seen!, [-1, channels]);
  }
  const [{ windows }] = unfoldByRows(g, value, window, inputShape, output, Number.POSITIVE_INFINITY) as [Unfolded];
  return windows;
}

/** The windows of some rows of the output, [from, to). */
interface Unfolded {
  readonly windows: Value;
  readonly from: number;
  readonly to: number;
}

/**
 * All windows as {@link unfold} has them, in pieces of as many whole rows of the output as have at most `maxElements`
 * elements per sample, or of one.
 */
export function unfoldByRows(
  g: GraphBuilder,
  value: Value,
  window: Window,
  inputShape: Shape,
  [outHeight, outWidth]: Shape,
  maxElements: number,
): Unfolded[] {
  const channels = inputShape[2]!;
  const { strides } = window;
  const [height, width] = paddedSize(inputShape, window.padding);
  const pixels = g.reshape(pad(g, value, window.padding), [-1, height * width, channels]);
  const taps = positions(window);
  const rowsAtOnce = Math.max(1, Math.min(outHeight!, Math.floor(maxElements / (outWidth! * taps.length * channels))));
  const pieces: Unfolded[] = [];
  for (let from = 0; from < outHeight!; from += rowsAtOnce) {
    const to = Math.min(from + rowsAtOnce, outHeight!);
    const indices: number[] = [];
    for (let y = from; y < to; y++) {
      for (let x = 0; x < outWidth!; x++) {
        for (const [row, column] of taps) indices.push((y * strides[0] + row) * width + x * strides[1] + column);
      }
    }
    const gathered = g.op('Gather', [pixels, g.integers(indices)], { axis: 1 });
    pieces.push({ windows: g.reshape(gathered, [-1, taps.length * channels]), from, to });
  }
  return pieces;
}

/**
 * The transpose of a convolution: the gradient of its input.
 * @param gradient [N, outHeight, outWidth, filters]
 * @param kernel [windowHeight, windowWidth, channels, filters]
 * @returns [N, height, width, channels]
 */
export function transposedConvolution(
  g: GraphBuilder,
  gradient: Value,
  kernel: Value,
  { size, strides, padding }: Window,
  inputShape: Shape,
  output: Shape,
): Value {
  const { top, bottom, left, right } = padding;
  // Rows and columns at the end that no window reaches, because the stride does not divide what is left.
  const unreached = [
    inputShape[0]! - ((output[0]! - 1) * strides[0] + size[0] - top - bottom),
    inputShape[1]! - ((output[1]! - 1) * strides[1] + size[1] - left - right),
  ];
  const planes = g.op(
    'ConvTranspose',
    [g.op('Transpose', [gradient], { perm: [0, 3, 1, 2] }), g.op('Transpose', [kernel], { perm: [3, 2, 0, 1] })],
    { kernel_shape: size, strides, pads: [top, left, bottom, right], output_padding: unreached },
  );
  return g.op('Transpose', [planes], { perm: [0, 2, 3, 1] });
}

/**
 * The windows of a one-channel picture, transposed: [windowHeight * windowWidth, N * outHeight * outWidth]. Moves whole
 * rows of the picture where {@link unfold} would move single values.
 */
export function unfoldPlanes(g: GraphBuilder, value: Value, window: Window, output: Shape): Value {
  const planes = windowSlices(g, pad(g, value, window.padding), window, output).map((plane) =>
    g.reshape(plane, [1, -1]),
  );
  return planes.length === 1 ? planes[0]! : g.op('Concat', planes, { axis: 0 });
}

/** Spreads a picture out so that its pixels lie `strides` apart, with zeros between and behind them. */
function dilate(
  g: GraphBuilder,
  value: Value,
  [height, width, channels]: Shape,
  strides: readonly [number, number],
): Value {
  if (strides[0] === 1 && strides[1] === 1) return value;
  const apart = g.reshape(value, [-1, height!, 1, width!, 1, channels!]);
  const ends = [0, 0, strides[0] - 1, 0, strides[1] - 1, 0];
  const spread = g.op('Pad', [apart, g.integers([0, 0, 0, 0, 0, 0, ...ends]), g.scalar(0)]);
  return g.reshape(spread, [-1, height! * strides[0], width! * strides[1], channels!]);
}

/** Lays pictures of one size side by side, pixel by pixel: pieces[row * width + column] gives each block's (row, column). */
function interleave(
  g: GraphBuilder,
  pieces: readonly Value[],
  [blockHeight, blockWidth]: readonly [number, number],
  [height, width, channels]: readonly [number, number, number],
): Value {
  if (pieces.length === 1) return pieces[0]!;
  const rows: Value[] = [];
  for (let row = 0; row < blockHeight; row++) {
    const columns = pieces.slice(row * blockWidth, (row + 1) * blockWidth);
    const apart = columns.map((column) => g.reshape(column, [-1, height, 1, width, 1, channels]));
    const joined = apart.length === 1 ? apart[0]! : g.op('Concat', apart, { axis: 4 });
    rows.push(g.reshape(joined, [-1, height, 1, width * blockWidth * channels]));
  }
  const joined = rows.length === 1 ? rows[0]! : g.op('Concat', rows, { axis: 2 });
  return g.reshape(joined, [-1, height * blockHeight, width * blockWidth, channels]);
}

/**
 * The transpose of {@link windowSlices}: adds each window position's values back to where they came from.
 * @param pieces per position inside the window, [N, outHeight, outWidth, channels]
 * @returns [N, height, width, channels] of the picture before padding
 */
export function fold(
  g: GraphBuilder,
  pieces: readonly Value[],
  window: Window,
  inputShape: Shape,
  output: Shape,
): Value {
  const [height, width, channels] = inputShape as [number, number, number];
  const [outHeight, outWidth] = output as [number, number];
  const { size, strides, padding } = window;
  if (size[0] === strides[0] && size[1] === strides[1]) {
    // Windows do not overlap: interleave instead of adding.
    const picture = interleave(g, pieces, size, [outHeight, outWidth, channels]);
    return pad(g, picture, {
      top: -padding.top,
      left: -padding.left,
      bottom: height + padding.top - outHeight * size[0],
      right: width + padding.left - outWidth * size[1],
    });
  }
  const placed = pieces.map((piece, i) => {
    const [row, column] = positions(window)[i]!;
    const top = row - padding.top;
    const left = column - padding.left;
    return pad(g, dilate(g, piece, [outHeight, outWidth, channels], strides), {
      top,
      left,
      bottom: height - top - outHeight * strides[0],
      right: width - left - outWidth * strides[1],
    });
  });
  return g.sum(placed);
}

/**
 * How many pixels of the picture (not of the padding) each window sees, in row-major order.
 */
export function windowCounts(window: Window, [height, width]: Shape, [outHeight, outWidth]: Shape): number[] {
  const along = (length: number, out: number, size: number, stride: number, before: number): number[] =>
    Array.from({ length: out }, (_, i) => {
      const start = i * stride - before;
      return Math.min(start + size, length) - Math.max(start, 0);
    });
  const { size, strides, padding } = window;
  const rows = along(height!, outHeight!, size[0], strides[0], padding.top);
  const columns = along(width!, outWidth!, size[1], strides[1], padding.left);
  return rows.flatMap((row) => columns.map((column) => row * column));
}
