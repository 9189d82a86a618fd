/** Scales a part of a picture to a size, each axis by itself. */

/** Rows of grey values. */
export interface Plane {
  readonly width: number;
  readonly height: number;
  readonly values: Float32Array;
}

/** A part of a picture: columns [left, right), rows [top, bottom). */
export interface Box {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}

/** Which input values an output value is made of, and their shares, which add up to one. */
interface Tap {
  readonly first: number;
  readonly weights: readonly number[];
}

/**
 * When it shrinks, each output is the mean of what it covers, parts of values included: nothing is skipped, so nothing
 * flickers. When it grows, outputs lie on straight lines between the values.
 */
function taps(from: number, to: number, length: number, outputs: number): Tap[] {
  const scale = (to - from) / outputs;
  return Array.from({ length: outputs }, (_, i): Tap => {
    const [start, end] = [from + i * scale, from + (i + 1) * scale];
    if (scale >= 1) {
      const first = Math.floor(start);
      const cover = (at: number): number => (Math.min(at + 1, end) - Math.max(at, start)) / scale;
      return { first, weights: Array.from({ length: Math.ceil(end) - first }, (_, k) => cover(first + k)) };
    }
    const centre = Math.min(Math.max((start + end) / 2 - 0.5, 0), length - 1);
    const first = Math.min(Math.floor(centre), Math.max(0, length - 2));
    return { first, weights: length === 1 ? [1] : [1 - (centre - first), centre - first] };
  });
}

export function resample({ width, height, values }: Plane, box: Box, outWidth: number, outHeight: number): Plane {
  const columns = taps(box.left, box.right, width, outWidth);
  const rows = taps(box.top, box.bottom, height, outHeight);
  const narrow = new Float32Array(height * outWidth);
  for (let y = 0; y < height; y++) {
    columns.forEach(({ first, weights }, x) => {
      let sum = 0;
      for (let k = 0; k < weights.length; k++) sum += weights[k]! * (values[y * width + first + k] ?? 0);
      narrow[y * outWidth + x] = sum;
    });
  }
  const result = new Float32Array(outHeight * outWidth);
  rows.forEach(({ first, weights }, y) => {
    for (let x = 0; x < outWidth; x++) {
      let sum = 0;
      for (let k = 0; k < weights.length; k++) sum += weights[k]! * (narrow[(first + k) * outWidth + x] ?? 0);
      result[y * outWidth + x] = sum;
    }
  });
  return { width: outWidth, height: outHeight, values: result };
}
