import { describe, expect, it } from 'vitest';
import { loadKernels, Region } from './kernels.ts';
import { purposes, RandomStream } from './random.ts';
import { pack, packedBytes, Rounding, SLICE_UNIT, slicedBytes, slicesOf, unpack, type WireFormat } from './wire.ts';

const formats = ['fp16', 'int8'] as const;
const length = 3 * 256 + 77;
const whole = { from: 0, to: length };
const region = new Region();
const at = region.floats(length);
const other = region.floats(length);
const packed = region.bytes(packedBytes('fp32', length, length));
const memory = region.allocate('private');
const kernels = loadKernels(memory);
const values = new Float32Array(memory.buffer, at, length);
const others = new Float32Array(memory.buffer, other, length);

const noise = (spread: number): Float32Array => {
  const random = new RandomStream(3, purposes.jitter, 0, 0, 0);
  return Float32Array.from({ length }, () => random.normal() * 10 ** (spread * random.normal()));
};
const rounded = (from: ArrayLike<number>, format: WireFormat, runStep = 0, node = 1, numWeights = length) => {
  values.set(from);
  new Rounding(kernels, { format, seed: 1, runStep, numWeights }).round(node, at, 0, length);
  return values.slice();
};

describe.each(formats)('%s', (format) => {
  it('packs what was rounded without loss', () => {
    for (const spread of [0, 1, 6]) {
      const expected = rounded(noise(spread), format);
      pack(kernels, format, packed, at, length, whole);
      others.fill(7);
      unpack(kernels, format, other, packed, length, whole);
      expect(new Uint32Array(others.slice().buffer)).toEqual(new Uint32Array(expected.buffer));
    }
  });

  it('packs slices, each by itself, without loss', () => {
    const expected = rounded(noise(1), format, 0, 1, 600);
    others.fill(7);
    for (const slice of [
      { from: 256, to: 700 },
      { from: 0, to: 256 },
      { from: 700, to: length },
    ]) {
      const bytes = new Uint8Array(memory.buffer, packed, slicedBytes(format, 600, slice) + 4).fill(9);
      pack(kernels, format, packed, at, 600, slice);
      expect([...bytes.subarray(-4)]).toEqual([9, 9, 9, 9]);
      unpack(kernels, format, other, packed, 600, slice);
    }
    expect(others).toEqual(expected);
  });

  it('rounds to a neighbour, and again to the same value', () => {
    const given = noise(0);
    const once = rounded(given, format);
    expect(rounded(once, format)).toEqual(once);
    const greatest = Math.max(...given.map(Math.abs));
    for (let i = 0; i < length; i++) {
      const step = format === 'int8' ? greatest / 63 : Math.abs(given[i]!) * 2 ** -9 + 1e-9;
      expect(Math.abs(once[i]! - given[i]!)).toBeLessThan(step);
    }
    expect(once).not.toEqual(given);
  });

  it('is right on average', () => {
    const given = noise(2);
    const sum = new Float64Array(length);
    const times = 4000;
    for (let step = 0; step < times; step++) {
      const once = rounded(given, format, step);
      for (let i = 0; i < length; i++) sum[i] = sum[i]! + once[i]!;
    }
    for (let block = 0; block < length; block += 256) {
      const part = given.subarray(block, block + 256);
      const greatest = Math.max(...part.map(Math.abs));
      part.forEach((value, i) => {
        // Of a mean of values that are at most a step apart: five standard deviations.
        const step = format === 'int8' ? greatest / 63 : Math.max(Math.abs(value) * 2 ** -10, greatest * 2 ** -28);
        expect(Math.abs(sum[block + i]! / times - value)).toBeLessThan(((step / 2) * 5) / Math.sqrt(times) + 1e-12);
      });
    }
  });

  it('draws other numbers at another step and node, the same at the same, wherever the vector is cut', () => {
    const given = noise(0);
    const whole = rounded(given, format, 5, 3);
    expect(rounded(given, format, 6, 3)).not.toEqual(whole);
    expect(rounded(given, format, 5, 2)).not.toEqual(whole);
    values.set(given);
    const rounding = new Rounding(kernels, { format, seed: 1, runStep: 5, numWeights: length });
    rounding.round(3, at + 512 * 4, 512, length - 512);
    rounding.round(3, at, 0, 512);
    expect(values).toEqual(whole);
  });

  it('keeps zeros, and what stands behind the weights', () => {
    expect(rounded(new Float32Array(length), format)).toEqual(new Float32Array(length));
    const given = noise(0);
    expect(rounded(given, format, 0, 1, 300).subarray(300)).toEqual(given.subarray(300));
    pack(kernels, format, packed, at, 300, whole);
    unpack(kernels, format, other, packed, 300, whole);
    expect(others).toEqual(values);
  });

  it('passes NaN and infinities on as NaN', () => {
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      const given = noise(0);
      given[600] = bad;
      const once = rounded(given, format);
      expect(once[600]).toBeNaN();
      expect(Number.isFinite(once[10])).toBe(true);
      pack(kernels, format, packed, at, length, whole);
      unpack(kernels, format, other, packed, length, whole);
      expect(others[600]).toBeNaN();
      expect(others.subarray(0, 512)).toEqual(once.subarray(0, 512));
    }
  });

  it('gives some value for any bytes', () => {
    const random = new RandomStream(9, purposes.jitter, 0, 0, 0);
    const bytes = new Uint8Array(memory.buffer, packed, packedBytes(format, length, length));
    for (let i = 0; i < bytes.length; i++) bytes[i] = random.below(256);
    unpack(kernels, format, other, packed, length, whole);
    expect(others).toHaveLength(length);
  });
});

it.each([
  [203_533, 1],
  [203_533, 8],
  [203_533, 64],
  [5000, 8],
  [8192, 2],
  [17, 8],
])('divides a vector of %i elements into about %i slices', (total, count) => {
  const slices = slicesOf(total, count);
  expect(slices.length).toBeLessThanOrEqual(count);
  expect(slices.length).toBeGreaterThan(Math.min(count, total / SLICE_UNIT) / 2);
  let end = 0;
  for (const { from, to } of slices) {
    expect(from).toBe(end);
    expect(to).toBeGreaterThan(from);
    expect(to === total || to % SLICE_UNIT === 0).toBe(true);
    end = to;
  }
  expect(end).toBe(total);
});

it('knows how long a packed vector is', () => {
  expect(packedBytes('fp32', 1000, 1003)).toBe(4012);
  expect(packedBytes('fp16', 1000, 1003)).toBe(4 * 4 + 2000 + 12);
  expect(packedBytes('int8', 1001, 1003)).toBe(4 * 4 + 1004 + 8);
});

it('rounds values of the greatest magnitude without leaving the range', () => {
  const given = Float32Array.from(
    { length },
    (_, i) => (i % 2 === 0 ? 1.999 : -1.999) * 2 ** (Math.floor(i / 256) * 20),
  );
  for (const format of formats) {
    for (let step = 0; step < 20; step++) {
      const once = rounded(given, format, step);
      once.forEach((value, i) => {
        expect(Math.abs(value / given[i]! - 1)).toBeLessThan(0.02);
      });
      pack(kernels, format, packed, at, length, whole);
      unpack(kernels, format, other, packed, length, whole);
      expect(others).toEqual(values);
    }
  }
});
