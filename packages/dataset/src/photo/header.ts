/**
 * Reads the format and size of a picture from its first bytes, so that one that is too large is refused before anything is
 * decoded. Layouts: the PNG, JPEG (ITU T.81), GIF89a, BMP, WebP and ISO base media (AVIF) specifications.
 */

export type PhotoFormat = 'PNG' | 'JPEG' | 'GIF' | 'BMP' | 'WebP' | 'AVIF';

export interface PhotoHeader {
  readonly format: PhotoFormat;
  readonly width: number;
  readonly height: number;
}

type Size = readonly [width: number, height: number];

const ascii = (bytes: Buffer, at: number, text: string): boolean =>
  bytes.toString('latin1', at, at + text.length) === text;

/** Markers that begin a frame: all of 0xC0 to 0xCF but DHT, JPG and DAC. */
const isFrame = (marker: number): boolean => marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);

function jpegSize(bytes: Buffer): Size | undefined {
  let at = 2;
  while (at + 9 <= bytes.length && bytes[at] === 0xff) {
    const marker = bytes[at + 1]!;
    // Any number of 0xFF may fill the space before a marker.
    if (marker === 0xff) at += 1;
    else if (isFrame(marker)) return [bytes.readUInt16BE(at + 7), bytes.readUInt16BE(at + 5)];
    else at += 2 + bytes.readUInt16BE(at + 2);
  }
  return undefined;
}

function bmpSize(bytes: Buffer): Size {
  if (bytes.readUInt32LE(14) === 12) return [bytes.readUInt16LE(18), bytes.readUInt16LE(20)];
  // A negative height means that the rows go from top to bottom.
  return [bytes.readInt32LE(18), Math.abs(bytes.readInt32LE(22))];
}

function webpSize(bytes: Buffer): Size | undefined {
  switch (bytes.toString('latin1', 12, 16)) {
    case 'VP8X':
      return [1 + bytes.readUIntLE(24, 3), 1 + bytes.readUIntLE(27, 3)];
    case 'VP8L': {
      const bits = bytes.readUInt32LE(21);
      return [1 + (bits & 0x3fff), 1 + ((bits >>> 14) & 0x3fff)];
    }
    case 'VP8 ':
      return [bytes.readUInt16LE(26) & 0x3fff, bytes.readUInt16LE(28) & 0x3fff];
    default:
      return undefined;
  }
}

/** The largest of the images in the file: others are its transparency, its thumbnail or its tiles. */
function avifSize(bytes: Buffer): Size | undefined {
  let largest: Size | undefined;
  for (let at = bytes.indexOf('ispe', 0, 'latin1'); at >= 0; at = bytes.indexOf('ispe', at + 4, 'latin1')) {
    if (at + 16 > bytes.length) break;
    const size: Size = [bytes.readUInt32BE(at + 8), bytes.readUInt32BE(at + 12)];
    if (!largest || size[0] * size[1] > largest[0] * largest[1]) largest = size;
  }
  return largest;
}

const isAvif = (bytes: Buffer): boolean => ascii(bytes, 4, 'ftypavif') || ascii(bytes, 4, 'ftypavis');

/** How a format begins, and where it says its size. */
const formats: readonly [PhotoFormat, (bytes: Buffer) => boolean, (bytes: Buffer) => Size | undefined][] = [
  [
    'PNG',
    (bytes) => ascii(bytes, 0, '\x89PNG\r\n\x1a\n') && ascii(bytes, 12, 'IHDR'),
    (bytes) => [bytes.readUInt32BE(16), bytes.readUInt32BE(20)],
  ],
  ['JPEG', (bytes) => bytes.readUIntBE(0, 3) === 0xffd8ff, jpegSize],
  ['WebP', (bytes) => ascii(bytes, 0, 'RIFF') && ascii(bytes, 8, 'WEBP'), webpSize],
  ['GIF', (bytes) => ascii(bytes, 0, 'GIF8'), (bytes) => [bytes.readUInt16LE(6), bytes.readUInt16LE(8)]],
  ['BMP', (bytes) => ascii(bytes, 0, 'BM'), bmpSize],
  ['AVIF', isAvif, avifSize],
];

export const photoFormats: readonly PhotoFormat[] = formats.map(([format]) => format);

/** Shorter than any picture; what is read without a search lies within. */
const LEAST_BYTES = 30;

/** Undefined when the bytes are no picture in one of the known formats, or its header is cut off. */
export function readPhotoHeader(bytes: Buffer): PhotoHeader | undefined {
  if (bytes.length < LEAST_BYTES) return undefined;
  const known = formats.find(([, begins]) => begins(bytes));
  if (!known) return undefined;
  const [format, , sizeOf] = known;
  const [width, height] = sizeOf(bytes) ?? [0, 0];
  return width > 0 && height > 0 ? { format, width, height } : undefined;
}
