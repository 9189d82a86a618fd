/** Random numbers of one synthetic image: a function of (seed, stream, index, draw) in 32-bit integer arithmetic. */

const GOLDEN = 0x9e3779b9;

/** Mixes 32 bits so that each input bit moves about half of the output bits (the finalizer of MurmurHash3). */
function mix(bits: number): number {
  let h = bits | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** Draws are independent of each other and of every other (seed, stream, index). No state is shared. */
export class Draws {
  #key = 0;
  #draw = 0;

  /** Starts over at draw 0 of another key; one object serves many images. */
  restart(seed: number, stream: number, index: number): void {
    this.#key = mix(mix(mix(seed) ^ Math.imul(stream + 1, GOLDEN)) ^ Math.imul(index + 1, GOLDEN));
    this.#draw = 0;
  }

  /** A whole number in [0, 2^32). */
  bits(): number {
    this.#draw += 1;
    return mix(this.#key ^ mix(Math.imul(this.#draw, GOLDEN)));
  }

  /** A whole number in [0, count). */
  below(count: number): number {
    return Math.floor((this.bits() / 4294967296) * count);
  }

  /** Uniform in [low, high). */
  between(low: number, high: number): number {
    return low + (this.bits() / 4294967296) * (high - low);
  }

  /** Bell-shaped around `middle`, within `spread` of it: the mean of three uniform draws. */
  around(middle: number, spread: number): number {
    const sum = this.bits() + this.bits() + this.bits();
    return middle + (sum / 6442450944 - 1) * spread;
  }

  /** True with this probability. */
  chance(probability: number): boolean {
    return this.bits() < probability * 4294967296;
  }
}
