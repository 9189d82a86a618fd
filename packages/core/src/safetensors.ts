/**
 * The safetensors format (huggingface/safetensors): an 8-byte little-endian header length, a JSON header with each
 * tensor's type, shape and byte range, and the raw little-endian values.
 */
import { LockstepError } from './errors.ts';
import type { ParameterLayout } from './layout.ts';

export interface NamedTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

export interface TensorFile {
  readonly tensors: readonly NamedTensor[];
  readonly metadata: { readonly [key: string]: string };
}

/** The parameters of a flat vector as tensors, which are views of it. */
export const tensorsOf = (layout: ParameterLayout, flat: Float32Array): NamedTensor[] =>
  layout.parameters.map((parameter) => ({
    name: parameter.name,
    shape: parameter.shape,
    values: layout.view(flat, parameter),
  }));

/**
 * Fills a flat vector from tensors by their names; tensors that are no parameters are ignored.
 * @param source what to call their origin in errors
 * @throws LockstepError `run-invalid` when a parameter is missing or of another size
 */
export function fillFromTensors(
  layout: ParameterLayout,
  flat: Float32Array,
  tensors: readonly NamedTensor[],
  source: string,
): void {
  const byName = new Map(tensors.map(({ name, values }) => [name, values]));
  for (const parameter of layout.parameters) {
    const values = byName.get(parameter.name);
    if (values?.length !== parameter.size) {
      const found = values ? `has ${values.length} values, expected ${parameter.size}` : 'is missing';
      throw new LockstepError(
        'run-invalid',
        `The weights of ${source} do not fit its model: "${parameter.name}" ${found}.`,
        'Use the model.json and weights.safetensors of one run.',
      );
    }
    layout.view(flat, parameter).set(values);
  }
}

const LENGTH_BYTES = 8;
const ALIGNMENT = 8;
/** The format's own limit. */
const MAX_HEADER_BYTES = 100_000_000;

/** Encodes float32 tensors. The header is padded with spaces, so that the values are aligned. */
export function encodeSafetensors({ tensors, metadata }: TensorFile): Uint8Array {
  const header: Record<string, unknown> = { __metadata__: metadata };
  let offset = 0;
  for (const { name, shape, values } of tensors) {
    header[name] = { dtype: 'F32', shape, data_offsets: [offset, offset + values.byteLength] };
    offset += values.byteLength;
  }
  const json = new TextEncoder().encode(JSON.stringify(header));
  const headerLength = Math.ceil(json.length / ALIGNMENT) * ALIGNMENT;
  const bytes = new Uint8Array(LENGTH_BYTES + headerLength + offset).fill(
    0x20,
    LENGTH_BYTES,
    LENGTH_BYTES + headerLength,
  );
  new DataView(bytes.buffer).setBigUint64(0, BigInt(headerLength), true);
  bytes.set(json, LENGTH_BYTES);
  let at = LENGTH_BYTES + headerLength;
  for (const { values } of tensors) {
    bytes.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength), at);
    at += values.byteLength;
  }
  return bytes;
}

interface TensorHeader {
  readonly dtype: unknown;
  readonly shape: unknown;
  readonly data_offsets: unknown;
}

/**
 * Decodes a file of float32 tensors.
 * @param source what to call the file in errors
 * @throws LockstepError `run-invalid` when the bytes are not such a file, or not all of it
 */
export function decodeSafetensors(bytes: Uint8Array, source: string): TensorFile {
  const invalid = (what: string): LockstepError =>
    new LockstepError(
      'run-invalid',
      `${source} is no valid safetensors file: ${what}.`,
      'Use another file, or write it again.',
    );
  if (bytes.length < LENGTH_BYTES) throw invalid(`it has ${bytes.length} bytes`);
  const headerLength = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  const dataStart = LENGTH_BYTES + headerLength;
  if (headerLength > MAX_HEADER_BYTES || dataStart > bytes.length) throw invalid('its header is cut off');
  let header: Record<string, unknown>;
  try {
    header = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(LENGTH_BYTES, dataStart)));
  } catch {
    throw invalid('its header is not JSON');
  }
  const { __metadata__: metadata, ...entries } = header;
  const tensors = Object.entries(entries).map(([name, entry]): NamedTensor => {
    const { dtype, shape, data_offsets: offsets } = (entry ?? {}) as TensorHeader;
    if (dtype !== 'F32') throw invalid(`"${name}" has the type ${String(dtype)}, expected F32`);
    if (!Array.isArray(shape) || !Array.isArray(offsets)) throw invalid(`"${name}" lacks its shape or offsets`);
    const [from, to] = offsets as [number, number];
    const size = shape.reduce((product: number, dimension: number) => product * dimension, 1);
    if (!(from >= 0 && to - from === size * 4)) throw invalid(`"${name}" has ${to - from} bytes for ${size} values`);
    if (dataStart + to > bytes.length) {
      throw invalid(`"${name}" ends at byte ${dataStart + to}, the file at ${bytes.length}: it is cut off`);
    }
    // A copy, which is aligned and owns its memory whatever `bytes` is a view of (a Buffer's own slice makes none).
    const values = new Float32Array(new Uint8Array(bytes.subarray(dataStart + from, dataStart + to)).buffer);
    return { name, shape, values };
  });
  return { tensors, metadata: (metadata ?? {}) as TensorFile['metadata'] };
}
