/**
 * Writes x86-64 machine code: the few instructions that kernels are made of, on vectors of 8 float32 (AVX2, with FMA) or of 16
 * (AVX-512). Encodings: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2.
 */
import { invariant } from '@lockstep/core';

/** Sets of vector instructions, the widest last. */
export type Isa = 'avx2' | 'avx512';

/** A general register, by its number in encodings. */
export type Register = number;
/** A vector register, by its number. */
export type Vector = number;

export const registers = {
  rax: 0,
  rcx: 1,
  rdx: 2,
  rbx: 3,
  rsp: 4,
  rbp: 5,
  rsi: 6,
  rdi: 7,
  r8: 8,
  r9: 9,
  r10: 10,
  r11: 11,
  r12: 12,
  r13: 13,
  r14: 14,
  r15: 15,
} as const;

/** A place in memory: what `base` points to, so many bytes on. */
export interface Place {
  readonly base: Register;
  readonly offset: number;
}

export const at = (base: Register, offset = 0): Place => ({ base, offset });

/** Operands of vector instructions can also come from memory. */
type Operand = Vector | Place;

/** What flags say: zero or not, or not less (signed). */
const conditions = { zero: 4, notZero: 5, notLess: 13 } as const;

/** Tables of opcodes, and prefixes that are part of an opcode. */
const MAP_0F = 1;
const MAP_0F38 = 2;
const MAP_0F3A = 3;
const PREFIX_NONE = 0;
const PREFIX_66 = 1;

/** Registers that hold comparisons: mask registers in AVX-512, else an ordinary vector. */
const MASK = 1;

const comparisons = { equal: 0, less: 1, different: 4 } as const;
type Comparison = keyof typeof comparisons;

interface Encoding {
  readonly map: number;
  readonly prefix: number;
  readonly opcode: number;
  /** Bytes of a memory operand, which scale its short offsets in AVX-512; a whole vector by default. */
  readonly operandBytes?: number;
  /** Whether elements that the mask leaves out stay, or become zero. */
  readonly mask?: 'merging' | 'zeroing';
  readonly immediate?: number;
}

const fits8 = (value: number): boolean => value >= -128 && value <= 127;

export class Assembler {
  readonly isa: Isa;
  /** float32 values in a vector. */
  readonly lanes: number;
  readonly vectorBytes: number;
  readonly numVectors: number;
  #code = new Uint8Array(4096);
  #length = 0;

  constructor(isa: Isa) {
    this.isa = isa;
    this.lanes = isa === 'avx512' ? 16 : 8;
    this.vectorBytes = this.lanes * Float32Array.BYTES_PER_ELEMENT;
    this.numVectors = isa === 'avx512' ? 32 : 16;
  }

  get length(): number {
    return this.#length;
  }

  get code(): Uint8Array {
    return this.#code.subarray(0, this.#length);
  }

  // Vectors. The destination comes first.

  load(into: Vector, from: Place): void {
    this.#vector({ map: MAP_0F, prefix: PREFIX_NONE, opcode: 0x10 }, into, 0, from);
  }

  store(into: Place, from: Vector): void {
    this.#vector({ map: MAP_0F, prefix: PREFIX_NONE, opcode: 0x11 }, from, 0, into);
  }

  move(into: Vector, from: Vector): void {
    this.#vector({ map: MAP_0F, prefix: PREFIX_NONE, opcode: 0x28 }, into, 0, from);
  }

  /** All elements become the float32 at `from`. */
  broadcast(into: Vector, from: Place): void {
    this.#vector({ map: MAP_0F38, prefix: PREFIX_66, opcode: 0x18, operandBytes: 4 }, into, 0, from);
  }

  zero(into: Vector): void {
    this.#vector({ map: MAP_0F, prefix: PREFIX_66, opcode: 0xef }, into, into, into);
  }

  /** sum += left * right, rounded once. */
  multiplyAdd(sum: Vector, left: Vector, right: Operand): void {
    this.#vector({ map: MAP_0F38, prefix: PREFIX_66, opcode: 0xb8 }, sum, left, right);
  }

  /** sum -= left * right, rounded once. */
  multiplySubtract(sum: Vector, left: Vector, right: Operand): void {
    this.#vector({ map: MAP_0F38, prefix: PREFIX_66, opcode: 0xbc }, sum, left, right);
  }

  add(into: Vector, left: Vector, right: Operand): void {
    this.#arithmetic(0x58, into, left, right);
  }

  subtract(into: Vector, left: Vector, right: Operand): void {
    this.#arithmetic(0x5c, into, left, right);
  }

  multiply(into: Vector, left: Vector, right: Operand): void {
    this.#arithmetic(0x59, into, left, right);
  }

  divide(into: Vector, left: Vector, right: Operand): void {
    this.#arithmetic(0x5e, into, left, right);
  }

  /** The larger of each pair; `right` where one of them is NaN. */
  maximum(into: Vector, left: Vector, right: Operand): void {
    this.#arithmetic(0x5f, into, left, right);
  }

  squareRoot(into: Vector, from: Operand): void {
    this.#arithmetic(0x51, into, 0, from);
  }

  /** Bytes become float32 values. */
  loadBytes(into: Vector, from: Place): void {
    this.#vector({ map: MAP_0F38, prefix: PREFIX_66, opcode: 0x31, operandBytes: this.lanes }, into, 0, from);
    this.toFloats(into, into);
  }

  /** Copies the elements for which the comparison of `left` with `right` holds; the others become zero. `spare` is overwritten. */
  select(into: Vector, from: Vector, comparison: Comparison, left: Vector, right: Operand, spare: Vector): void {
    this.#compare(comparison, left, right, spare);
    if (this.isa === 'avx512') {
      this.#vector({ map: MAP_0F, prefix: PREFIX_NONE, opcode: 0x28, mask: 'zeroing' }, into, 0, from);
    } else {
      this.and(into, spare, from);
    }
  }

  /** Replaces the elements for which the comparison of `left` with `right` holds. `spare` is overwritten. */
  replace(into: Vector, from: Vector, comparison: Comparison, left: Vector, right: Operand, spare: Vector): void {
    this.#compare(comparison, left, right, spare);
    if (this.isa === 'avx512') {
      this.#vector({ map: MAP_0F, prefix: PREFIX_NONE, opcode: 0x28, mask: 'merging' }, into, 0, from);
    } else {
      this.#vector({ map: MAP_0F3A, prefix: PREFIX_66, opcode: 0x4a, immediate: spare << 4 }, into, into, from);
    }
  }

  /** A bit for each element, of whether it is zero or not (NaN is not), the first one lowest. `spare` is overwritten. */
  nonZeroBits(into: Register, from: Operand, zero: Vector, spare: Vector): void {
    this.#compare('different', zero, from, spare);
    if (this.isa === 'avx512') this.#loadMask(into);
    else this.#vector({ map: MAP_0F, prefix: PREFIX_NONE, opcode: 0x50 }, into, 0, spare);
  }

  /** Sets `bits` in the elements for which those of `from` are not zero. `spare` is overwritten. */
  markNonZero(into: Vector, bits: Vector, from: Operand, zero: Vector, spare: Vector): void {
    this.#compare('different', zero, from, spare);
    if (this.isa === 'avx512') {
      this.#vector({ map: MAP_0F, prefix: PREFIX_NONE, opcode: 0x56, mask: 'merging' }, into, into, bits);
    } else {
      this.and(spare, spare, bits);
      this.orBits(into, into, spare);
    }
  }

  // Elements as integers of 32 bits.

  addIntegers(into: Vector, left: Vector, right: Operand): void {
    this.#vector({ map: MAP_0F, prefix: PREFIX_66, opcode: 0xfe }, into, left, right);
  }

  subtractIntegers(into: Vector, left: Vector, right: Operand): void {
    this.#vector({ map: MAP_0F, prefix: PREFIX_66, opcode: 0xfa }, into, left, right);
  }

  /** The lower half of each product. */
  multiplyIntegers(into: Vector, left: Vector, right: Operand): void {
    this.#vector({ map: MAP_0F38, prefix: PREFIX_66, opcode: 0x40 }, into, left, right);
  }

  /** The larger of each pair, with signs. */
  maximumIntegers(into: Vector, left: Vector, right: Operand): void {
    this.#vector({ map: MAP_0F38, prefix: PREFIX_66, opcode: 0x3d }, into, left, right);
  }

  and(into: Vector, left: Vector, right: Operand): void {
    this.#arithmetic(0x54, into, left, right);
  }

  /** The bits of `right` that `left` does not have. */
  andNot(into: Vector, left: Vector, right: Operand): void {
    this.#arithmetic(0x55, into, left, right);
  }

  orBits(into: Vector, left: Vector, right: Operand): void {
    this.#arithmetic(0x56, into, left, right);
  }

  exclusiveOr(into: Vector, left: Vector, right: Operand): void {
    this.#arithmetic(0x57, into, left, right);
  }

  /** Shifts the bits of each; zeros come after them. */
  shiftBits(into: Vector, from: Vector, direction: 'left' | 'right', bits: number): void {
    this.#shift(direction === 'left' ? 6 : 2, into, from, bits);
  }

  /** All bits become what the highest one is: set in what is less than zero. */
  spreadSign(into: Vector, from: Vector): void {
    this.#shift(4, into, from, 31);
  }

  #shift(kind: number, into: Vector, from: Vector, immediate: number): void {
    this.#vector({ map: MAP_0F, prefix: PREFIX_66, opcode: 0x72, immediate }, kind, into, from);
  }

  /** The greatest element, with its sign, in all places. `spare` is overwritten. */
  spreadMaximum(vector: Vector, spare: Vector): void {
    // Halves change places, then halves of halves, ...
    const [swapFour, immediates] = this.isa === 'avx512' ? [0x23, [0x4e, 0xb1]] : [0x06, [1]];
    for (const immediate of immediates) {
      this.#vector({ map: MAP_0F3A, prefix: PREFIX_66, opcode: swapFour, immediate }, spare, vector, vector);
      this.maximumIntegers(vector, vector, spare);
    }
    // ... and within fours.
    for (const immediate of [0x4e, 0xb1]) {
      this.#vector({ map: MAP_0F, prefix: PREFIX_66, opcode: 0x70, immediate }, spare, 0, vector);
      this.maximumIntegers(vector, vector, spare);
    }
  }

  /** Integers, with signs, become float32 values. */
  toFloats(into: Vector, from: Vector): void {
    this.#vector({ map: MAP_0F, prefix: PREFIX_NONE, opcode: 0x5b }, into, 0, from);
  }

  /** Float32 values become whole, none of them greater. */
  roundDown(into: Vector, from: Vector): void {
    this.#vector({ map: MAP_0F3A, prefix: PREFIX_66, opcode: 0x08, immediate: 0x09 }, into, 0, from);
  }

  // General registers, of 64 bits.

  loadRegister(into: Register, from: Place): void {
    this.#general(0x8b, into, from);
  }

  storeRegister(into: Place, from: Register): void {
    this.#general(0x89, from, into);
  }

  /** Four bytes, as they are. */
  loadWord(into: Register, from: Place): void {
    this.#general(0x8b, into, from, 0);
  }

  storeWord(into: Place, from: Register): void {
    this.#general(0x89, from, into, 0);
  }

  /** Four bytes of zeros. */
  storeZeroWord(into: Place): void {
    this.#general(0xc7, 0, into, 0);
    this.#word(0);
  }

  /** The lowest `bits`, 8 or 16. */
  storeBits(into: Place, from: Register, bits: number): void {
    if (bits === 16) this.#bytes(0x66);
    this.#general(bits === 16 ? 0x89 : 0x88, from, into, 0);
  }

  address(into: Register, of: Place): void {
    this.#general(0x8d, into, of);
  }

  setRegister(into: Register, value: number): void {
    this.#rex(1, 0, into);
    this.#bytes(0xc7, 0xc0 | (into & 7));
    this.#word(value);
  }

  addNumber(into: Register, value: number): void {
    if (value === 0) return;
    this.#rex(1, 0, into);
    if (fits8(value)) {
      this.#bytes(0x83, 0xc0 | (into & 7), value);
    } else {
      this.#bytes(0x81, 0xc0 | (into & 7));
      this.#word(value);
    }
  }

  /** Its flags tell whether the sum is zero. */
  addRegister(into: Register, from: Register): void {
    this.#registers([0x01], from, into);
  }

  multiplyNumber(into: Register, from: Register, value: number): void {
    this.#registers([0x69], into, from);
    this.#word(value);
  }

  /** Its flags tell whether no bit is set. */
  or(into: Register, from: Register): void {
    this.#registers([0x09], from, into);
  }

  shiftLeft(register: Register, bits: number): void {
    this.#rex(1, 0, register);
    this.#bytes(0xc1, 0xe0 | (register & 7), bits);
  }

  countBits(into: Register, from: Register): void {
    this.#bytes(0xf3);
    this.#registers([0x0f, 0xb8], into, from);
  }

  /** Its number; there is one. */
  lowestBit(into: Register, from: Register): void {
    this.#bytes(0xf3);
    this.#registers([0x0f, 0xbc], into, from);
  }

  /** Clears it; flags tell whether no bit is left. */
  clearLowestBit(register: Register, spare: Register): void {
    this.address(spare, at(register, -1));
    this.#registers([0x21], spare, register);
  }

  /** Flags as `left - right` would set them. */
  compareNumber(left: Register, right: number): void {
    this.#rex(1, 0, left);
    this.#bytes(0x81, 0xf8 | (left & 7));
    this.#word(right);
  }

  /** Jumps back. */
  jumpBack(condition: keyof typeof conditions, target: number): void {
    this.#bytes(0x0f, 0x80 | conditions[condition]);
    this.#word(target - (this.#length + 4));
  }

  /** Jumps forward, to where `land` is called with what this returns. */
  jump(condition: keyof typeof conditions | 'always'): number {
    if (condition === 'always') this.#bytes(0xe9);
    else this.#bytes(0x0f, 0x80 | conditions[condition]);
    this.#word(0);
    return this.#length;
  }

  land(jump: number): void {
    new DataView(this.#code.buffer).setInt32(jump - 4, this.#length - jump, true);
  }

  /** Asks for the line of memory at `of`, to the second level of the cache. */
  prefetch(of: Place): void {
    this.#rex(0, 0, of.base);
    this.#bytes(0x0f, 0x18);
    this.#place(2, of, 1);
  }

  push(register: Register): void {
    this.#rex(0, 0, register);
    this.#bytes(0x50 | (register & 7));
  }

  pop(register: Register): void {
    this.#rex(0, 0, register);
    this.#bytes(0x58 | (register & 7));
  }

  /** Counts down and jumps back to `target` until the count is zero. */
  countDown(counter: Register, target: number): void {
    this.#rex(1, 0, counter);
    this.#bytes(0xff, 0xc8 | (counter & 7));
    this.jumpBack('notZero', target);
  }

  /** Code that uses the older vector instructions is slow until the upper halves of the registers are cleared. */
  clearUpperHalves(): void {
    this.#bytes(0xc5, 0xf8, 0x77);
  }

  return(): void {
    this.#bytes(0xc3);
  }

  /** What this processor is: leaf `eax`, part `ecx`, to the four words that rdi points to. Clobbers rbx. */
  identify(): void {
    this.#bytes(0x0f, 0xa2);
    for (const [i, register] of [registers.rax, registers.rbx, registers.rcx, registers.rdx].entries())
      this.storeWord(at(registers.rdi, 4 * i), register);
  }

  /** Which registers the operating system saves (extended control register 0), to the word that rdi points to. */
  readExtendedControl(): void {
    this.setRegister(registers.rcx, 0);
    this.#bytes(0x0f, 0x01, 0xd0);
    this.storeWord(at(registers.rdi), registers.rax);
  }

  #arithmetic(opcode: number, into: Vector, left: Vector, right: Operand): void {
    this.#vector({ map: MAP_0F, prefix: PREFIX_NONE, opcode }, into, left, right);
  }

  #bytes(...bytes: number[]): void {
    if (this.#length + bytes.length > this.#code.length) {
      const longer = new Uint8Array(2 * this.#code.length);
      longer.set(this.#code);
      this.#code = longer;
    }
    for (const byte of bytes) this.#code[this.#length++] = byte;
  }

  #word(value: number): void {
    invariant(value === (value | 0), `${value} fits into 32 bits`);
    this.#bytes(value, value >> 8, value >> 16, value >> 24);
  }

  #rex(wide: number, register: number, base: number): void {
    this.#bytes(0x40 | (wide << 3) | (((register >> 3) & 1) << 2) | ((base >> 3) & 1));
  }

  #registers(opcode: readonly number[], register: Register, other: Register): void {
    this.#rex(1, register, other);
    this.#bytes(...opcode, 0xc0 | ((register & 7) << 3) | (other & 7));
  }

  /** Leaves a comparison of elements in the mask register, or in `spare` where there is none. */
  #compare(comparison: Comparison, left: Vector, right: Operand, spare: Vector): void {
    const compare = { map: MAP_0F, prefix: PREFIX_NONE, opcode: 0xc2, immediate: comparisons[comparison] };
    this.#vector(compare, this.isa === 'avx512' ? MASK : spare, left, right);
  }

  /** The mask register's bits, in the encoding of older vectors. */
  #loadMask(into: Register): void {
    this.#bytes(0xc5, (((~into >> 3) & 1) << 7) | 0x78, 0x93, 0xc0 | ((into & 7) << 3) | MASK);
  }

  #general(opcode: number, register: Register, place: Place, wide = 1): void {
    this.#rex(wide, register, place.base);
    this.#bytes(opcode);
    this.#place(register, place, 1);
  }

  /** ModR/M byte, scaled index byte, and offset. @param unit of which short offsets are multiples */
  #place(register: number, { base, offset }: Place, unit: number): void {
    const fields = ((register & 7) << 3) | (base & 7);
    // The encodings of rsp and rbp as a base mean something else.
    const needsIndex = (base & 7) === registers.rsp;
    const short = offset / unit;
    const mode = offset === 0 && (base & 7) !== registers.rbp ? 0 : Number.isInteger(short) && fits8(short) ? 1 : 2;
    this.#bytes((mode << 6) | fields);
    if (needsIndex) this.#bytes(0x24);
    if (mode === 1) this.#bytes(short);
    if (mode === 2) this.#word(offset);
  }

  /** Inverted bits, as prefixes have them. */
  #vector(encoding: Encoding, register: Vector, second: Vector, operand: Operand): void {
    const { map, prefix, opcode, operandBytes = this.vectorBytes, mask, immediate } = encoding;
    const off = (number: number, bit: number): number => (~number >> bit) & 1;
    const isPlace = typeof operand !== 'number';
    const base = isPlace ? operand.base : operand;
    if (this.isa === 'avx512') {
      this.#bytes(
        0x62,
        (off(register, 3) << 7) |
          (off(isPlace ? 0 : operand, 4) << 6) |
          (off(base, 3) << 5) |
          (off(register, 4) << 4) |
          map,
        ((~second & 15) << 3) | 4 | prefix,
        (mask === 'zeroing' ? 0x80 : 0) | (mask ? MASK : 0) | (2 << 5) | (off(second, 4) << 3),
      );
    } else {
      this.#bytes(
        0xc4,
        (off(register, 3) << 7) | (1 << 6) | (off(base, 3) << 5) | map,
        ((~second & 15) << 3) | 4 | prefix,
      );
    }
    this.#bytes(opcode);
    if (isPlace) this.#place(register, operand, this.isa === 'avx512' ? operandBytes : 1);
    else this.#bytes(0xc0 | ((register & 7) << 3) | (operand & 7));
    if (immediate !== undefined) this.#bytes(immediate);
  }
}
