/**
 * Sums of which only some entries travel: the `topk` weights' gradients of largest magnitude, and all that is no gradient of a
 * weight. As bytes: their values, then what stands behind the weights, all float32; then their indices, each as the number of
 * places between it and the one before it, unsigned LEB128. So indices cannot but ascend.
 */
import { invariant } from './errors.ts';

/** The entries of a sum vector that travel. */
export interface SparseSums {
  /** Of weights, ascending. */
  readonly indices: Uint32Array;
  /** At these indices. */
  readonly values: Float32Array;
  /** What stands behind the weights. */
  readonly tail: ArrayLike<number>;
}

/** Bytes of the longest number: 32 bits in groups of seven. */
const MAX_GAP_BYTES = 5;

/** How many entries are sent. @param fraction of the weights, above 0 and below 1 */
export const numEntries = (fraction: number, numWeights: number): number => Math.ceil(fraction * numWeights);

/** @param sums indices are ascending */
export function packSparse({ indices, values, tail }: SparseSums): Uint8Array {
  invariant(indices.length === values.length, 'there is a value for each index');
  const floats = (values.length + tail.length) * 4;
  const bytes = new Uint8Array(floats + indices.length * MAX_GAP_BYTES);
  new Float32Array(bytes.buffer, 0, values.length).set(values);
  new Float32Array(bytes.buffer, values.length * 4, tail.length).set(tail);
  let at = floats;
  let next = 0;
  for (const index of indices) {
    let gap = index - next;
    for (; gap > 127; gap >>>= 7) bytes[at++] = (gap & 127) | 128;
    bytes[at++] = gap;
    next = index + 1;
  }
  return bytes.subarray(0, at);
}

/**
 * Undoes {@link packSparse}.
 * @param count entries that there must be @param length of the whole sum vector
 * @returns undefined when the bytes are not those of so many entries, each of a weight of its own; values are not looked at
 */
export function unpackSparse(
  bytes: Uint8Array,
  count: number,
  numWeights: number,
  length: number,
): SparseSums | undefined {
  const numFloats = count + length - numWeights;
  if (bytes.length < numFloats * 4 + count || bytes.length > numFloats * 4 + count * MAX_GAP_BYTES) return undefined;
  // Copied, since they may begin anywhere.
  const floats = new Float32Array(numFloats);
  new Uint8Array(floats.buffer).set(bytes.subarray(0, numFloats * 4));
  const indices = new Uint32Array(count);
  let at = numFloats * 4;
  let next = 0;
  for (let i = 0; i < count; i++) {
    let gap = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++];
      if (byte === undefined || shift === MAX_GAP_BYTES * 7) return undefined;
      gap += (byte & 127) * 2 ** shift;
      if (byte < 128) break;
    }
    const index = next + gap;
    if (index >= numWeights) return undefined;
    indices[i] = index;
    next = index + 1;
  }
  return at === bytes.length ? { indices, values: floats.subarray(0, count), tail: floats.subarray(count) } : undefined;
}
