import { describe, expect, it } from 'vitest';
import { decodeSafetensors, encodeSafetensors } from './safetensors.ts';

const file = {
  tensors: [
    { name: 'dense/kernel', shape: [2, 3], values: Float32Array.of(1, -2, 3.5, 1e-40, Number.MAX_VALUE, -0) },
    { name: 'dense/bias', shape: [3], values: Float32Array.of(0.1, 0.2, 0.3) },
    { name: 'scalar', shape: [], values: Float32Array.of(7) },
  ],
  metadata: { model: 'test' },
};

describe('safetensors', () => {
  it('reads back what it wrote, to the bit', () => {
    expect(decodeSafetensors(encodeSafetensors(file), 'x')).toEqual(file);
  });

  it('reads from the middle of a larger buffer', () => {
    const bytes = encodeSafetensors(file);
    const buffer = Buffer.alloc(bytes.length + 13);
    buffer.set(bytes, 3);
    expect(decodeSafetensors(buffer.subarray(3, 3 + bytes.length), 'x')).toEqual(file);
  });

  it('keeps the layout of the format: aligned values, offsets from the end of the header', () => {
    const bytes = encodeSafetensors(file);
    const length = Number(new DataView(bytes.buffer).getBigUint64(0, true));
    expect(length % 8).toBe(0);
    const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
    expect(header['dense/bias']).toEqual({ dtype: 'F32', shape: [3], data_offsets: [24, 36] });
    expect(new DataView(bytes.buffer).getFloat32(8 + length + 24, true)).toBe(Math.fround(0.1));
  });

  it.each([
    ['empty', (bytes: Uint8Array) => bytes.subarray(0, 0), /it has 0 bytes/],
    ['cut in the header', (bytes: Uint8Array) => bytes.subarray(0, 40), /header is cut off/],
    [
      'cut in the values',
      (bytes: Uint8Array) => bytes.subarray(0, bytes.length - 5),
      /"[a-z/]+" ends at byte.*cut off/,
    ],
    [
      'not safetensors',
      () => new TextEncoder().encode('PK\x03\x04 some other file that is long enough'),
      /header is cut off/,
    ],
    ['no JSON', (bytes: Uint8Array) => bytes.slice().fill(0x41, 8, 12), /header is not JSON/],
  ])('refuses a file that is %s', (_, damage, message) => {
    expect(() => decodeSafetensors(damage(encodeSafetensors(file)), 'weights.safetensors')).toThrow(message);
  });

  it.each([
    [{ dtype: 'F16', shape: [1], data_offsets: [0, 2] }, /type F16/],
    [{ dtype: 'F32', shape: [2], data_offsets: [0, 4] }, /4 bytes for 2 values/],
    [{ dtype: 'F32' }, /lacks its shape/],
  ])('refuses the entry %j', (entry, message) => {
    const json = new TextEncoder().encode(JSON.stringify({ x: entry }));
    const bytes = new Uint8Array(8 + json.length + 8);
    new DataView(bytes.buffer).setBigUint64(0, BigInt(json.length), true);
    bytes.set(json, 8);
    expect(() => decodeSafetensors(bytes, 'x')).toThrow(message);
  });
});
