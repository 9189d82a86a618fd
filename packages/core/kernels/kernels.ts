// SIMD loops over parameters, in AssemblyScript. All compute in IEEE-754 single precision with no fused multiply-add and no
// reassociation, and all here are elementwise, so the bits of a result depend on neither the split over threads nor the processor.
// Pointers are byte offsets into the imported memory; lengths count float32 values. The last length % 4 values go
// through the scalar twin of the loop, which rounds identically. The updates read one generation of the state and write
// another, so that a slice whose thread died half-way can simply be computed again.

export { collect, mirror, multiply, polynomial, spread } from "./matrix";
export { pack16, pack8, round16, round8, unpack16, unpack8 } from "./rounding";
export { takeLargest } from "./selection";

/** dst[i] = a[i] + b[i]. */
export function add(dst: usize, a: usize, b: usize, n: usize): void {
  const end4 = (n & ~3) << 2;
  const end = n << 2;
  let i: usize = 0;
  for (; i < end4; i += 16) v128.store(dst + i, f32x4.add(v128.load(a + i), v128.load(b + i)));
  for (; i < end; i += 4) store<f32>(dst + i, load<f32>(a + i) + load<f32>(b + i));
}

/** dst[i] = a[i] - b[i]. */
export function subtract(dst: usize, a: usize, b: usize, n: usize): void {
  const end4 = (n & ~3) << 2;
  const end = n << 2;
  let i: usize = 0;
  for (; i < end4; i += 16) v128.store(dst + i, f32x4.sub(v128.load(a + i), v128.load(b + i)));
  for (; i < end; i += 4) store<f32>(dst + i, load<f32>(a + i) - load<f32>(b + i));
}

/** dst[i] = src[i]. */
export function copy(dst: usize, src: usize, n: usize): void {
  memory.copy(dst, src, n << 2);
}

/** Copies n records of `size` bytes, record indices[i] (unsigned 32-bit) to place i. */
export function gather(to: usize, from: usize, indices: usize, n: usize, size: usize): void {
  for (let i: usize = 0; i < n; i++) memory.copy(to + i * size, from + <usize>load<u32>(indices + (i << 2)) * size, size);
}

/** Sum of g[i]^2 in double precision, accumulated in index order over four lanes and then across them. */
export function sumSquares(g: usize, n: usize): f64 {
  const end4 = (n & ~3) << 2;
  const end = n << 2;
  let low = f64x2.splat(0);
  let high = f64x2.splat(0);
  let i: usize = 0;
  for (; i < end4; i += 16) {
    const v = v128.load(g + i);
    const a = f64x2.promote_low_f32x4(v);
    const b = f64x2.promote_low_f32x4(v128.shuffle<i32>(v, v, 2, 3, 2, 3));
    low = f64x2.add(low, f64x2.mul(a, a));
    high = f64x2.add(high, f64x2.mul(b, b));
  }
  const both = f64x2.add(low, high);
  let sum = f64x2.extract_lane(both, 0) + f64x2.extract_lane(both, 1);
  for (; i < end; i += 4) {
    const x = <f64>load<f32>(g + i);
    sum += x * x;
  }
  return sum;
}

/** Whether no value is NaN or infinite: those have all bits of the exponent set. */
export function allFinite(x: usize, n: usize): i32 {
  const end4 = (n & ~3) << 2;
  const end = n << 2;
  const exponent = i32x4.splat(0x7f800000);
  let found = i32x4.splat(0);
  let i: usize = 0;
  for (; i < end4; i += 16) found = v128.or(found, i32x4.eq(v128.and(v128.load(x + i), exponent), exponent));
  let wrong = v128.any_true(found);
  for (; i < end; i += 4) wrong = wrong || (load<u32>(x + i) & 0x7f800000) == 0x7f800000;
  return wrong ? 0 : 1;
}

/**
 * Adam (Kingma and Ba, 2015) in the Keras formulation: the bias correction is folded into `rate`.
 * g' = g * scale; m += (g' - m) * (1 - beta1); v += (g'^2 - v) * (1 - beta2); w = w * keep - rate * m / (sqrt(v) + epsilon).
 */
export function adam(
  toW: usize, toM: usize, toV: usize, w: usize, m: usize, v: usize, g: usize, n: usize,
  scale: f32, rate: f32, oneMinusBeta1: f32, oneMinusBeta2: f32, epsilon: f32, keep: f32,
): void {
  const end4 = (n & ~3) << 2;
  const end = n << 2;
  const scales = f32x4.splat(scale);
  const rates = f32x4.splat(rate);
  const b1 = f32x4.splat(oneMinusBeta1);
  const b2 = f32x4.splat(oneMinusBeta2);
  const eps = f32x4.splat(epsilon);
  const keeps = f32x4.splat(keep);
  let i: usize = 0;
  for (; i < end4; i += 16) {
    const gi = f32x4.mul(v128.load(g + i), scales);
    let mi = v128.load(m + i);
    let vi = v128.load(v + i);
    mi = f32x4.add(mi, f32x4.mul(f32x4.sub(gi, mi), b1));
    vi = f32x4.add(vi, f32x4.mul(f32x4.sub(f32x4.mul(gi, gi), vi), b2));
    v128.store(toM + i, mi);
    v128.store(toV + i, vi);
    const change = f32x4.div(f32x4.mul(rates, mi), f32x4.add(f32x4.sqrt(vi), eps));
    v128.store(toW + i, f32x4.sub(f32x4.mul(v128.load(w + i), keeps), change));
  }
  for (; i < end; i += 4) {
    const gi: f32 = load<f32>(g + i) * scale;
    let mi: f32 = load<f32>(m + i);
    let vi: f32 = load<f32>(v + i);
    mi = mi + (gi - mi) * oneMinusBeta1;
    vi = vi + (gi * gi - vi) * oneMinusBeta2;
    store<f32>(toM + i, mi);
    store<f32>(toV + i, vi);
    store<f32>(toW + i, load<f32>(w + i) * keep - (rate * mi) / (sqrt<f32>(vi) + epsilon));
  }
}

/**
 * Gradient descent with momentum (Keras formulation): g' = g * scale; u = momentum * u - rate * g';
 * plain: w = w * keep + u; Nesterov: w = w * keep + (momentum * u - rate * g').
 */
export function sgd(
  toW: usize, toU: usize, w: usize, u: usize, g: usize, n: usize,
  scale: f32, rate: f32, momentum: f32, nesterov: i32, keep: f32,
): void {
  const end4 = (n & ~3) << 2;
  const end = n << 2;
  const scales = f32x4.splat(scale);
  const rates = f32x4.splat(rate);
  const momenta = f32x4.splat(momentum);
  const keeps = f32x4.splat(keep);
  let i: usize = 0;
  for (; i < end4; i += 16) {
    const down = f32x4.mul(rates, f32x4.mul(v128.load(g + i), scales));
    const ui = f32x4.sub(f32x4.mul(momenta, v128.load(u + i)), down);
    v128.store(toU + i, ui);
    const change = nesterov ? f32x4.sub(f32x4.mul(momenta, ui), down) : ui;
    v128.store(toW + i, f32x4.add(f32x4.mul(v128.load(w + i), keeps), change));
  }
  for (; i < end; i += 4) {
    const down: f32 = rate * (load<f32>(g + i) * scale);
    const ui: f32 = momentum * load<f32>(u + i) - down;
    store<f32>(toU + i, ui);
    const change: f32 = nesterov ? momentum * ui - down : ui;
    store<f32>(toW + i, load<f32>(w + i) * keep + change);
  }
}

/** Descent along a direction: w = w * keep - rate * d. */
export function descend(toW: usize, w: usize, d: usize, n: usize, rate: f32, keep: f32): void {
  const end4 = (n & ~3) << 2;
  const end = n << 2;
  const rates = f32x4.splat(rate);
  const keeps = f32x4.splat(keep);
  let i: usize = 0;
  for (; i < end4; i += 16) {
    const down = f32x4.mul(rates, v128.load(d + i));
    v128.store(toW + i, f32x4.sub(f32x4.mul(v128.load(w + i), keeps), down));
  }
  for (; i < end; i += 4) store<f32>(toW + i, load<f32>(w + i) * keep - rate * load<f32>(d + i));
}

/** Moving average, as of batch statistics: s' = s + (sums * scale - s) * (1 - momentum). */
export function average(toS: usize, s: usize, sums: usize, n: usize, scale: f32, oneMinusMomentum: f32): void {
  const end4 = (n & ~3) << 2;
  const end = n << 2;
  const scales = f32x4.splat(scale);
  const rates = f32x4.splat(oneMinusMomentum);
  let i: usize = 0;
  for (; i < end4; i += 16) {
    const si = v128.load(s + i);
    v128.store(toS + i, f32x4.add(si, f32x4.mul(f32x4.sub(f32x4.mul(v128.load(sums + i), scales), si), rates)));
  }
  for (; i < end; i += 4) {
    const si: f32 = load<f32>(s + i);
    store<f32>(toS + i, si + (load<f32>(sums + i) * scale - si) * oneMinusMomentum);
  }
}
