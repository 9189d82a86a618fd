// Takes the values of largest magnitude out of a vector. The k-th magnitude is found by counting, eleven bits of it at a
// time, since the bits of non-negative float32 values are ordered like the values; NaN counts as larger than all others.

const MAGNITUDE: u32 = 0x7fffffff;

// @ts-ignore: decorator
@inline
function magnitudeAt(at: usize): u32 {
  return load<u32>(at) & MAGNITUDE;
}

/** Whether any of four magnitudes is at least `least`. Few groups have one, so most are passed over by this alone. */
// @ts-ignore: decorator
@inline
function anyFrom(at: usize, least: u32): bool {
  const magnitudes = v128.and(v128.load(at), i32x4.splat(MAGNITUDE));
  return v128.any_true(i32x4.ge_s(magnitudes, i32x4.splat(least)));
}

/** How many values have each value of `width` bits at `shift`, among those whose higher bits are `prefix`. */
function countDigits(values: usize, n: usize, prefix: u32, shift: u32, width: u32, counts: usize): void {
  memory.fill(counts, 0, (<usize>1 << width) << 2);
  const mask: u32 = (1 << width) - 1;
  const least = prefix << (shift + width);
  const end = values + (n << 2);
  for (let group = values; group < end; group += 16) {
    if (group + 16 <= end && !anyFrom(group, least)) continue;
    for (let at = group; at < min(group + 16, end); at += 4) {
      const digits = magnitudeAt(at) >> shift;
      if (digits >> width != prefix) continue;
      const count = counts + ((digits & mask) << 2);
      store<u32>(count, load<u32>(count) + 1);
    }
  }
}

/**
 * Moves the k of n values that are largest in magnitude out of a vector, where zeros take their places; of equal ones, those
 * with the lower indices.
 * @param indices receives their indices (unsigned 32-bit), ascending
 * @param taken receives the values, in the same order
 * @param counts room for 2048 unsigned 32-bit integers
 */
export function takeLargest(values: usize, n: usize, k: usize, indices: usize, taken: usize, counts: usize): void {
  // The magnitude of the k-th, and how many of that magnitude are taken.
  let least: u32 = 0;
  let rest: u32 = <u32>k;
  for (let shift: u32 = 20; ; shift = shift == 20 ? 9 : 0) {
    const width: u32 = shift == 0 ? 9 : 11;
    countDigits(values, n, least, shift, width, counts);
    let digit: u32 = (1 << width) - 1;
    for (; digit > 0; digit--) {
      const count = load<u32>(counts + (digit << 2));
      if (count >= rest) break;
      rest -= count;
    }
    least = (least << width) | digit;
    if (shift == 0) break;
  }
  const end = values + (n << 2);
  for (let group = values; group < end; group += 16) {
    if (group + 16 <= end && !anyFrom(group, least)) continue;
    for (let at = group; at < min(group + 16, end); at += 4) {
      const magnitude = magnitudeAt(at);
      if (magnitude < least || (magnitude == least && rest == 0)) continue;
      if (magnitude == least) rest--;
      store<u32>(indices, <u32>((at - values) >> 2));
      store<f32>(taken, load<f32>(at));
      store<f32>(at, 0);
      indices += 4;
      taken += 4;
    }
  }
}
