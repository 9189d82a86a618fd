/** Finds out what of a picture is background: what its edge is made of. */

/** Pixels, four bytes each: red, green, blue, opacity (not multiplied). */
export interface Photo {
  readonly width: number;
  readonly height: number;
  readonly rgba: Uint8ClampedArray;
}

export type Colour = readonly [red: number, green: number, blue: number];

/** Rec. 709; of a grey colour, the grey value itself. */
export const luminance = (red: number, green: number, blue: number): number =>
  Math.round((2126 * red + 7152 * green + 722 * blue) / 10) / 1000;

/** Below this opacity a pixel shows more of what is behind it. */
const HALF_OPAQUE = 128;
/** Colours are first counted in coarse bins of this width. */
const BIN = 16;
/** Colours as near as this to the most frequent bin belong to the same surface. */
const NEAR = 24;

export const distance = (rgba: ArrayLike<number>, at: number, [red, green, blue]: Colour): number =>
  Math.max(Math.abs(rgba[at]! - red), Math.abs(rgba[at + 1]! - green), Math.abs(rgba[at + 2]! - blue));

/** Byte offsets of the pixels along the four sides, in a band of a fiftieth of the shorter side. */
export function edgePixels({ width, height }: Photo): number[] {
  const band = Math.max(1, Math.round(Math.min(width, height) / 50));
  const offsets: number[] = [];
  for (let y = 0; y < height; y++) {
    const inside = y >= band && y < height - band;
    for (let x = 0; x < width; x++) {
      if (inside && x === band && width > 2 * band) x = width - band;
      offsets.push(4 * (y * width + x));
    }
  }
  return offsets;
}

/** The colour that most of some pixels have, give or take noise. */
export function commonColour(rgba: ArrayLike<number>, offsets: readonly number[]): Colour {
  const counts = new Map<number, number>();
  const binOf = (at: number): number =>
    (Math.floor(rgba[at]! / BIN) * 16 + Math.floor(rgba[at + 1]! / BIN)) * 16 + Math.floor(rgba[at + 2]! / BIN);
  for (const at of offsets) counts.set(binOf(at), (counts.get(binOf(at)) ?? 0) + 1);
  const [[bin]] = [...counts].sort((a, b) => b[1] - a[1]) as [[number, number]];
  const middle = (index: number): number => index * BIN + BIN / 2;
  const centre: Colour = [middle(bin >> 8), middle((bin >> 4) & 15), middle(bin & 15)];
  const near = offsets.filter((at) => distance(rgba, at, centre) <= NEAR);
  const mean = (channel: number): number => near.reduce((sum, at) => sum + rgba[at + channel]!, 0) / near.length;
  return [mean(0), mean(1), mean(2)];
}

/** What to put behind a picture that is transparent in places. */
function backdrop({ rgba }: Photo, edge: readonly number[]): Colour {
  const opaque = edge.filter((at) => rgba[at + 3]! >= HALF_OPAQUE);
  if (opaque.length * 2 > edge.length) return commonColour(rgba, opaque);
  // It was cut out: black behind what is light and white behind what is dark, so that it stands out.
  let [sum, weight] = [0, 0];
  for (let at = 0; at < rgba.length; at += 4) {
    sum += rgba[at + 3]! * luminance(rgba[at]!, rgba[at + 1]!, rgba[at + 2]!);
    weight += rgba[at + 3]!;
  }
  return sum < HALF_OPAQUE * weight ? [255, 255, 255] : [0, 0, 0];
}

export function isOpaque({ rgba }: Photo): boolean {
  for (let at = 3; at < rgba.length; at += 4) if (rgba[at] !== 255) return false;
  return true;
}

/** The picture with nothing transparent in it. */
export function flatten(photo: Photo): Photo {
  const { rgba } = photo;
  if (isOpaque(photo)) return photo;
  const behind = backdrop(photo, edgePixels(photo));
  const flat = rgba.slice();
  for (let at = 0; at < flat.length; at += 4) {
    const opacity = rgba[at + 3]! / 255;
    for (const channel of [0, 1, 2] as const) {
      flat[at + channel] = rgba[at + channel]! * opacity + behind[channel] * (1 - opacity);
    }
    flat[at + 3] = 255;
  }
  return { ...photo, rgba: flat };
}
