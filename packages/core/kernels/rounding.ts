// Rounding to what fits into 16 or 8 bits, and the packed form of what was rounded. Values are taken in blocks of 256, each
// with a power of two as its scale, so that packing loses nothing: unpacking gives the same float32 bits. Rounding is
// stochastic, up or down with the odds that make it right on average, and its random numbers are a hash of a key and the
// value's index: the same on every processor, in any order. A block that holds NaN or an infinity becomes NaN as a whole.

const BLOCK: usize = 256;
const NOT_FINITE: i32 = 0x7f800000;
const NAN: i32 = 0x7fc00000;
/** Exponent field of 2^-90: a block whose greatest value is smaller becomes zero. */
const LEAST_FIELD: i32 = 127 - 90;
/** Exponent field of 2^120: a block of 8 bits whose greatest value is larger counts as not finite. */
const MOST_FIELD: i32 = 127 + 120;

// The two-multiplication hash of C. Wellons ("lowbias32"), with a key before each multiplication.
const GOLDEN: i32 = 0x9e3779b9;
const FACTOR1: i32 = 0x21f0aaad;
const FACTOR2: i32 = 0x735a2d97;

// @ts-ignore: decorator
@inline
function hash4(index: v128, key0: v128, key1: v128): v128 {
  let x = i32x4.add(i32x4.mul(index, i32x4.splat(GOLDEN)), key0);
  x = i32x4.mul(v128.xor(x, i32x4.shr_u(x, 16)), i32x4.splat(FACTOR1));
  x = v128.xor(v128.xor(x, i32x4.shr_u(x, 15)), key1);
  x = i32x4.mul(x, i32x4.splat(FACTOR2));
  return v128.xor(x, i32x4.shr_u(x, 15));
}

// @ts-ignore: decorator
@inline
function hash(index: i32, key0: i32, key1: i32): u32 {
  let x: u32 = index * GOLDEN + key0;
  x = (x ^ (x >> 16)) * FACTOR1;
  x = x ^ (x >> 15) ^ key1;
  x = x * FACTOR2;
  return x ^ (x >> 15);
}

/** The greatest magnitude of n values, as its bits; those of NaN are greater than all others. */
function greatest(at: usize, n: usize): i32 {
  const mask = i32x4.splat(0x7fffffff);
  let all = i32x4.splat(0);
  let i: usize = 0;
  for (; i < (n & ~3); i += 4) all = i32x4.max_s(all, v128.and(v128.load(at + (i << 2)), mask));
  all = i32x4.max_s(all, v128.shuffle<i32>(all, all, 2, 3, 0, 1));
  all = i32x4.max_s(all, v128.shuffle<i32>(all, all, 1, 0, 3, 2));
  let most = i32x4.extract_lane(all, 0);
  for (; i < n; i++) most = max(most, load<i32>(at + (i << 2)) & 0x7fffffff);
  return most;
}

function fill(at: usize, n: usize, bits: i32): void {
  for (let i: usize = 0; i < n; i++) store<i32>(at + (i << 2), bits);
}

/**
 * Rounds n values to 11 significant bits; those below 2^-28 of the block's greatest power of two become that or zero.
 * @param first index of the first value, for the random numbers
 */
export function round16(at: usize, n: usize, first: i32, key0: i32, key1: i32): void {
  for (let i: usize = 0; i < n; i += BLOCK) round16Block(at + (i << 2), min(BLOCK, n - i), first + <i32>i, key0, key1);
}

function round16Block(at: usize, n: usize, first: i32, key0: i32, key1: i32): void {
  const most = greatest(at, n);
  const field = most >> 23;
  if (most >= NOT_FINITE) return fill(at, n, NAN);
  if (field < LEAST_FIELD) return fill(at, n, 0);
  const least = (field - 28) << 23;
  const leasts = i32x4.splat(least);
  const leastValues = f32x4.splat(reinterpret<f32>(least));
  const keys0 = i32x4.splat(key0);
  const keys1 = i32x4.splat(key1);
  const units = f32x4.splat(5.9604644775390625e-8);
  let index = i32x4.add(i32x4.splat(first), i32x4(0, 1, 2, 3));
  let i: usize = 0;
  for (; i < (n & ~3); i += 4) {
    const p = at + (i << 2);
    const bits = v128.load(p);
    const sign = v128.and(bits, i32x4.splat(0x80000000));
    const magnitude = v128.xor(bits, sign);
    const random = hash4(index, keys0, keys1);
    const large = v128.and(i32x4.add(magnitude, i32x4.shr_u(random, 19)), i32x4.splat(~0x1fff));
    const uniform = f32x4.mul(f32x4.convert_i32x4_u(i32x4.shr_u(random, 8)), units);
    const small = v128.and(leasts, f32x4.lt(f32x4.mul(uniform, leastValues), magnitude));
    v128.store(p, v128.or(sign, v128.bitselect(small, large, i32x4.lt_s(magnitude, leasts))));
    index = i32x4.add(index, i32x4.splat(4));
  }
  for (; i < n; i++) {
    const p = at + (i << 2);
    const bits = load<i32>(p);
    const sign = bits & 0x80000000;
    const magnitude = bits ^ sign;
    const random = hash(first + <i32>i, key0, key1);
    const uniform: f32 = <f32>(random >> 8) * <f32>5.9604644775390625e-8;
    const small = uniform * reinterpret<f32>(least) < reinterpret<f32>(magnitude) ? least : 0;
    const large = (magnitude + <i32>(random >> 19)) & ~0x1fff;
    store<i32>(p, sign | (magnitude < least ? small : large));
  }
}

/** Exponent field of the power of two by which a block is divided to lie in -127 to 127. */
// @ts-ignore: decorator
@inline
function scaleField(most: i32): i32 {
  return (most >> 23) - 6 + ((most & 0x7fffff) > 0x7e0000 ? 1 : 0);
}

/**
 * Rounds n values to whole multiples, -127 to 127, of a power of two of their block.
 * @param first index of the first value, for the random numbers
 */
export function round8(at: usize, n: usize, first: i32, key0: i32, key1: i32): void {
  for (let i: usize = 0; i < n; i += BLOCK) round8Block(at + (i << 2), min(BLOCK, n - i), first + <i32>i, key0, key1);
}

function round8Block(at: usize, n: usize, first: i32, key0: i32, key1: i32): void {
  const most = greatest(at, n);
  if (most >> 23 > MOST_FIELD) return fill(at, n, NAN);
  if (most >> 23 < LEAST_FIELD) return fill(at, n, 0);
  const field = scaleField(most);
  const scale = reinterpret<f32>(field << 23);
  const inverse = reinterpret<f32>((254 - field) << 23);
  const scales = f32x4.splat(scale);
  const inverses = f32x4.splat(inverse);
  const keys0 = i32x4.splat(key0);
  const keys1 = i32x4.splat(key1);
  const units = f32x4.splat(1.52587890625e-5);
  let index = i32x4.add(i32x4.splat(first), i32x4(0, 1, 2, 3));
  let i: usize = 0;
  for (; i < (n & ~3); i += 4) {
    const p = at + (i << 2);
    // 16 random bits, so that 127 and the greatest of them still add up below 128.
    const uniform = f32x4.mul(f32x4.convert_i32x4_u(i32x4.shr_u(hash4(index, keys0, keys1), 16)), units);
    const whole = f32x4.floor(f32x4.add(f32x4.mul(v128.load(p), inverses), uniform));
    v128.store(p, f32x4.mul(whole, scales));
    index = i32x4.add(index, i32x4.splat(4));
  }
  for (; i < n; i++) {
    const p = at + (i << 2);
    const uniform: f32 = <f32>(hash(first + <i32>i, key0, key1) >> 16) * <f32>1.52587890625e-5;
    store<f32>(p, floor<f32>(load<f32>(p) * inverse + uniform) * scale);
  }
}

// Packed, a block is the exponent field of its scale as a 32-bit integer, then its values, padded to 4 bytes. In all that
// follows, `to` and `from` must not overlap.

/** Packs n values that round16 has left: as float16 times a power of two per block. @returns the end of what was written */
export function pack16(to: usize, from: usize, n: usize): usize {
  for (let start: usize = 0; start < n; start += BLOCK) {
    const at = from + (start << 2);
    const count = min(BLOCK, n - start);
    const most = greatest(at, count);
    const field = most >= NOT_FINITE ? 255 : most >> 23;
    // The greatest value gets the greatest exponent of a float16, which is 30.
    const base = (field - 30) << 23;
    const bases = i32x4.splat(base);
    const values = to + 4;
    store<i32>(to, field);
    let i: usize = 0;
    for (; i + 8 <= count; i += 8) {
      const low = half4(v128.load(at + (i << 2)), bases);
      const high = half4(v128.load(at + (i << 2) + 16), bases);
      v128.store(values + (i << 1), i16x8.narrow_i32x4_u(low, high));
    }
    for (; i < count; i++) {
      const bits = load<i32>(at + (i << 2));
      const magnitude = bits & 0x7fffffff;
      store<u16>(values + (i << 1), ((bits >>> 16) & 0x8000) | (magnitude === 0 ? 0 : (magnitude - base) >> 13));
    }
    to = values + (((count + 1) & ~1) << 1);
  }
  return to;
}

// @ts-ignore: decorator
@inline
function half4(bits: v128, bases: v128): v128 {
  const magnitude = v128.and(bits, i32x4.splat(0x7fffffff));
  const half = i32x4.shr_s(i32x4.sub(magnitude, bases), 13);
  const nonzero = v128.and(half, i32x4.gt_s(magnitude, i32x4.splat(0)));
  return v128.or(nonzero, v128.and(i32x4.shr_u(bits, 16), i32x4.splat(0x8000)));
}

/** Packs n values that round8 has left: as whole numbers times a power of two per block. @returns the end of what was written */
export function pack8(to: usize, from: usize, n: usize): usize {
  for (let start: usize = 0; start < n; start += BLOCK) {
    const at = from + (start << 2);
    const count = min(BLOCK, n - start);
    const most = greatest(at, count);
    const field = most >= NOT_FINITE ? 255 : most === 0 ? 0 : scaleField(most);
    const inverse = reinterpret<f32>((254 - min(field, 254)) << 23);
    const inverses = f32x4.splat(inverse);
    const values = to + 4;
    store<i32>(to, field);
    let i: usize = 0;
    for (; i + 8 <= count; i += 8) {
      const low = i32x4.trunc_sat_f32x4_s(f32x4.mul(v128.load(at + (i << 2)), inverses));
      const high = i32x4.trunc_sat_f32x4_s(f32x4.mul(v128.load(at + (i << 2) + 16), inverses));
      const words = i16x8.narrow_i32x4_s(low, high);
      v128.store64_lane(values + i, i8x16.narrow_i16x8_s(words, words), 0);
    }
    for (; i < count; i++) store<i8>(values + i, field === 255 ? 0 : <i8>(load<f32>(at + (i << 2)) * inverse));
    to = values + ((count + 3) & ~3);
  }
  return to;
}

/** Undoes pack16. @returns the end of what was read */
export function unpack16(to: usize, from: usize, n: usize): usize {
  for (let start: usize = 0; start < n; start += BLOCK) {
    const at = to + (start << 2);
    const count = min(BLOCK, n - start);
    const field = load<i32>(from) & 255;
    const values = from + 4;
    const base = (field - 30) << 23;
    const bases = i32x4.splat(base);
    let i: usize = 0;
    if (field === 255) {
      fill(at, count, NAN);
      i = count;
    }
    for (; i + 4 <= count; i += 4) {
      const half = v128.load_ext<u16>(values + (i << 1));
      const magnitude = v128.and(half, i32x4.splat(0x7fff));
      const bits = i32x4.add(i32x4.shl(magnitude, 13), bases);
      const nonzero = v128.and(bits, i32x4.gt_s(magnitude, i32x4.splat(0)));
      v128.store(at + (i << 2), v128.or(nonzero, i32x4.shl(v128.and(half, i32x4.splat(0x8000)), 16)));
    }
    for (; i < count; i++) {
      const half = <i32>load<u16>(values + (i << 1));
      const magnitude = half & 0x7fff;
      store<i32>(at + (i << 2), ((half & 0x8000) << 16) | (magnitude === 0 ? 0 : (magnitude << 13) + base));
    }
    from = values + (((count + 1) & ~1) << 1);
  }
  return from;
}

/** Undoes pack8. @returns the end of what was read */
export function unpack8(to: usize, from: usize, n: usize): usize {
  for (let start: usize = 0; start < n; start += BLOCK) {
    const at = to + (start << 2);
    const count = min(BLOCK, n - start);
    const field = load<i32>(from) & 255;
    const values = from + 4;
    const scale = reinterpret<f32>(field << 23);
    const scales = f32x4.splat(scale);
    let i: usize = 0;
    if (field === 255) {
      fill(at, count, NAN);
      i = count;
    }
    for (; i + 4 <= count; i += 4) {
      const bytes = v128.load32_zero(values + i);
      const whole = i32x4.extend_low_i16x8_s(i16x8.extend_low_i8x16_s(bytes));
      v128.store(at + (i << 2), f32x4.mul(f32x4.convert_i32x4_s(whole), scales));
    }
    for (; i < count; i++) store<f32>(at + (i << 2), <f32>load<i8>(values + i) * scale);
    from = values + ((count + 3) & ~3);
  }
  return from;
}
