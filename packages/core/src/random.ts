/**
 * Counter-based random numbers: Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as
 * 1, 2, 3", SC 2011). A draw is a pure function of (seed, purpose, coordinates, index), so that any worker can make the
 * numbers of any shard at any step without having made those before.
 */

/** What a stream is for; keeps the draws of one purpose independent of all others. Never renumber. */
export const purposes = {
  shuffle: 1,
  dropout: 2,
  initialization: 3,
  augmentation: 4,
  jitter: 5,
  validation: 6,
  rounding: 7,
  selfTest: 8,
} as const;
export type Purpose = (typeof purposes)[keyof typeof purposes];

const WORD = 2 ** 32;

/** High 32 bits of the 64-bit product of two unsigned 32-bit integers, as a signed one. */
function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  // Every intermediate sum fits into 32 bits: (2^16 - 1)^2 + 2 (2^16 - 1) = 2^32 - 1.
  const low = Math.imul(aLow, bLow);
  const middle1 = (Math.imul(aHigh, bLow) + (low >>> 16)) | 0;
  const middle2 = (Math.imul(aLow, bHigh) + (middle1 & 0xffff)) | 0;
  return (Math.imul(aHigh, bHigh) + (middle1 >>> 16) + (middle2 >>> 16)) | 0;
}

/**
 * One Philox4x32-10 block.
 * @param out receives four unsigned 32-bit words
 */
export function philox(
  key0: number,
  key1: number,
  counter0: number,
  counter1: number,
  counter2: number,
  counter3: number,
  out: Uint32Array,
): void {
  // Signed throughout, which the compiler keeps in registers; `out` makes the words unsigned.
  let c0 = counter0 | 0;
  let c1 = counter1 | 0;
  let c2 = counter2 | 0;
  let c3 = counter3 | 0;
  let k0 = key0 | 0;
  let k1 = key1 | 0;
  for (let round = 0; round < 10; round++) {
    const high0 = multiplyHigh(0xd2511f53, c0);
    const low0 = Math.imul(0xd2511f53, c0);
    const high1 = multiplyHigh(0xcd9e8d57, c2);
    const low1 = Math.imul(0xcd9e8d57, c2);
    c0 = high1 ^ c1 ^ k0;
    c1 = low1;
    c2 = high0 ^ c3 ^ k1;
    c3 = low0;
    k0 = (k0 + 0x9e3779b9) | 0;
    k1 = (k1 + 0xbb67ae85) | 0;
  }
  out[0] = c0;
  out[1] = c1;
  out[2] = c2;
  out[3] = c3;
}

/** The draws at one point (seed, purpose, x, y, z), in order. Each coordinate is an unsigned 32-bit integer. */
export class RandomStream {
  readonly #seed: number;
  readonly #purpose: Purpose;
  readonly #x: number;
  readonly #y: number;
  readonly #z: number;
  readonly #words = new Uint32Array(4);
  #block = 0;
  #used = 4;
  #spareNormal: number | undefined;

  constructor(seed: number, purpose: Purpose, x: number, y: number, z: number) {
    this.#seed = seed;
    this.#purpose = purpose;
    this.#x = x;
    this.#y = y;
    this.#z = z;
  }

  /** Next unsigned 32-bit integer. */
  uint32(): number {
    if (this.#used === 4) {
      philox(this.#seed, this.#purpose, this.#block++, this.#x, this.#y, this.#z, this.#words);
      this.#used = 0;
    }
    return this.#words[this.#used++]!;
  }

  /** Uniform in [0, 1), a multiple of 2^-32. */
  uniform(): number {
    return this.uint32() / WORD;
  }

  /** Uniform integer in [0, bound), for bound up to 2^20 (the bias is then below 2^-12 of a unit). */
  below(bound: number): number {
    return Math.floor((this.uint32() * bound) / WORD);
  }

  /** Brings values into random order (Fisher and Yates). */
  shuffle(values: Uint32Array): void {
    for (let i = values.length - 1; i > 0; i--) {
      const j = this.below(i + 1);
      const swapped = values[i]!;
      values[i] = values[j]!;
      values[j] = swapped;
    }
  }

  /** Standard normal (Box and Muller, 1958). */
  normal(): number {
    if (this.#spareNormal !== undefined) {
      const spare = this.#spareNormal;
      this.#spareNormal = undefined;
      return spare;
    }
    const radius = Math.sqrt(-2 * Math.log((this.uint32() + 1) / WORD));
    const angle = 2 * Math.PI * this.uniform();
    this.#spareNormal = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  }
}
