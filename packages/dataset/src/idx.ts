/**
 * Reads IDX files, compressed or not, and checks every field of their header.
 *
 * Format (yann.lecun.com/exdb/mnist): two zero bytes, one byte for the element type, one for the number of dimensions,
 * each dimension as a big-endian 32-bit count, then the elements, row-major.
 */

import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { LockstepError } from '@lockstep/core';

/** Elements of an IDX file; `data` is a view of the bytes that were parsed. */
export interface Idx {
  readonly dimensions: readonly number[];
  readonly data: Uint8Array;
}

const UNSIGNED_BYTE = 0x08;
/** More than any dataset of this shape holds, and less than a crafted file could make us allocate. */
const MAX_PLAIN_BYTES = 2 ** 30;
/** Large, since the decompressor crosses threads once for each chunk. */
const GUNZIP_CHUNK_BYTES = 2 ** 20;
const FRESH_COPY = 'Get the file again (`lockstep dataset fetch`), or name a folder with intact files by --data-dir.';

/** A file that is not what it should be: what was expected, what was found, and what to do. */
function invalidFile(file: string, expected: string, found: string, cause: unknown = undefined): LockstepError {
  const message = `${file}: expected ${expected}; found ${found}`;
  return new LockstepError('dataset-invalid', message, FRESH_COPY, { cause });
}

/** Whether bytes begin as a gzip file does. */
function isGzip(bytes: Uint8Array): boolean {
  return bytes[0] === 0x1f && bytes[1] === 0x8b;
}

/**
 * Decompresses `bytes` when they begin as a gzip file does, else returns them as they are.
 *
 * @throws LockstepError `dataset-invalid` when the gzip data is cut off or damaged.
 */
export async function plainBytes(bytes: Uint8Array, file: string): Promise<Uint8Array> {
  if (!isGzip(bytes)) return bytes;
  try {
    return await promisify(gunzip)(bytes, { chunkSize: GUNZIP_CHUNK_BYTES, maxOutputLength: MAX_PLAIN_BYTES });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'Z_BUF_ERROR') {
      throw invalidFile(file, 'a complete gzip file', `one that is cut off after ${bytes.length} bytes`, error);
    }
    if (code === 'ERR_BUFFER_TOO_LARGE') {
      throw invalidFile(file, `at most ${MAX_PLAIN_BYTES} bytes once decompressed`, 'more', error);
    }
    throw invalidFile(file, 'an intact gzip file', `a damaged one (${message})`, error);
  }
}

/**
 * Parses an IDX file of unsigned bytes with `rank` dimensions. `file` names it in errors.
 *
 * @throws LockstepError `dataset-invalid` when a header field or the length is wrong.
 */
export function parseIdx(bytes: Uint8Array, rank: number, file: string): Idx {
  const headerBytes = 4 + 4 * rank;
  if (bytes.length >= 2 && (bytes[0] !== 0 || bytes[1] !== 0)) {
    throw invalidFile(file, 'an IDX file, which begins with the bytes 00 00', `${hex(bytes[0]!)} ${hex(bytes[1]!)}`);
  }
  if (bytes.length < headerBytes) {
    throw invalidFile(file, `an IDX header of ${headerBytes} bytes`, `a file of ${bytes.length} bytes`);
  }
  if (bytes[2] !== UNSIGNED_BYTE) {
    throw invalidFile(file, 'IDX element type 08 (unsigned byte)', `type ${hex(bytes[2]!)}`);
  }
  if (bytes[3] !== rank) throw invalidFile(file, `an IDX file of ${rank} dimensions`, `${bytes[3]} dimensions`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const dimensions = Array.from({ length: rank }, (_, i) => view.getUint32(4 + 4 * i));
  if (dimensions[0] === 0) throw invalidFile(file, 'at least one element', 'none (its first dimension is 0)');
  const elements = dimensions.reduce((product, dimension) => product * dimension, 1);
  const found = bytes.length - headerBytes;
  if (found !== elements) {
    throw invalidFile(file, `${elements} bytes after the header (${dimensions.join(' x ')})`, `${found}`);
  }
  return { dimensions, data: bytes.subarray(headerBytes) };
}

/**
 * Parses images of one height and width.
 *
 * @throws LockstepError `dataset-invalid` as {@link parseIdx} does, or when the images are of another size.
 */
export function parseImages(bytes: Uint8Array, file: string, height: number, width: number): Idx {
  const images = parseIdx(bytes, 3, file);
  const [, rows, columns] = images.dimensions;
  if (rows !== height || columns !== width) {
    throw invalidFile(file, `images of ${height} x ${width} pixels`, `${rows} x ${columns}`);
  }
  return images;
}

/**
 * Parses labels, each below `numClasses`.
 *
 * @throws LockstepError `dataset-invalid` as {@link parseIdx} does, or for the first label out of range.
 */
export function parseLabels(bytes: Uint8Array, file: string, numClasses: number): Idx {
  const labels = parseIdx(bytes, 1, file);
  const wrong = labels.data.findIndex((label) => label >= numClasses);
  if (wrong < 0) return labels;
  throw invalidFile(file, `labels from 0 to ${numClasses - 1}`, `${labels.data[wrong]} as label number ${wrong}`);
}

/** @throws LockstepError `dataset-invalid` when there is not one label for each image. */
export function checkSameCount(images: Idx, imagesFile: string, labels: Idx, labelsFile: string): void {
  const [numImages] = images.dimensions;
  const [numLabels] = labels.dimensions;
  if (numImages === numLabels) return;
  throw invalidFile(
    labelsFile,
    `one label for each of the ${numImages} images in ${imagesFile}`,
    `${numLabels} labels`,
  );
}

function hex(byte: number): string {
  return byte.toString(16).padStart(2, '0');
}
