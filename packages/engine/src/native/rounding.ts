/**
 * Rounding to what travels in 16 or 8 bits, in machine code, with the bits of the WebAssembly loops whose place it takes (`round16`
 * and `round8` in `core/kernels/rounding.ts`): the same hash, and the same operations in the same order, on wider vectors.
 */
import type { KernelFunctions } from '@lockstep/core';
import { Arguments } from './arguments.ts';
import { Assembler, at, type Isa, type Place, registers, type Vector } from './assembler.ts';
import { addressOf, Code, findIsa } from './machine.ts';

/** Values that share a scale. */
const BLOCK = 256;
const FLOAT_BYTES = Float32Array.BYTES_PER_ELEMENT;

// Of the hash.
const GOLDEN = 0x9e3779b9;
const FACTOR1 = 0x21f0aaad;
const FACTOR2 = 0x735a2d97;

/** The index of each lane, times that number. Code knows its address, so it must stay. */
const ofLanes = Uint32Array.from({ length: 16 }, (_, lane) => Math.imul(lane, GOLDEN));

/** What all lanes have alike. */
const constants = {
  factor1: FACTOR1,
  factor2: FACTOR2,
  magnitude: 0x7fffffff,
  sign: 0x80000000,
  nan: 0x7fc00000,
  /** The greatest finite value. */
  greatestFinite: 0x7f7fffff,
  /** Exponent field of 2^-90: a block whose greatest value is smaller becomes zero. */
  leastField: 127 - 90,
  /** Exponent field of 2^120: a block of 8 bits whose greatest value is larger counts as not finite. */
  mostField: 127 + 120,
  /** Bits that 11 significant ones leave. */
  kept: 0xffffe000,
  twentyEight: 28,
  six: 6,
  twoFieldsOfOne: 254,
  fraction: 0x7fffff,
  /** Fraction of what rounds to 127 and no more. */
  greatestFraction: 0x7e0000,
} as const;
/** Units of 24 and of 16 random bits that lie between 0 and 1. */
const units = { unit24: 2 ** -24, unit16: 2 ** -16 } as const;

const variables = ['values', 'lanes', 'blocks', 'key1', 'base', 'stride'] as const;
const constantNames = Object.keys(constants) as (keyof typeof constants)[];
const unitNames = Object.keys(units) as (keyof typeof units)[];

type Constant = keyof typeof constants | keyof typeof units;
type Fields = Arguments<(typeof variables)[number] | Constant>;
/** Puts it into all lanes of a vector. */
type LoadConstant = (into: Vector, name: Constant) => void;

/** What a format adds to the frame that both share. Vectors 11 to 15 are free, and 12 holds random bits in `round`. */
interface Format {
  /** Once: constants for vectors 9 and 10. */
  readonly begin: (constant: LoadConstant) => void;
  /**
   * Once for a block, whose greatest magnitude all lanes of `most` have: makes its scales in vectors 7 and 8, and sets the sign of
   * vector 15 where the block is not finite.
   */
  readonly scale: (asm: Assembler, most: Vector, field: Vector, constant: LoadConstant) => void;
  /** Rounds what `place` holds, with random bits in 12, into 12. */
  readonly round: (asm: Assembler, place: Place) => void;
}

const round16: Format = {
  begin(constant) {
    constant(9, 'sign');
    constant(10, 'kept');
  },
  scale(asm, most, field, constant) {
    const [leasts, unit] = [7, 8];
    constant(leasts, 'twentyEight');
    asm.subtractIntegers(leasts, field, leasts);
    asm.shiftBits(leasts, leasts, 'left', 23);
    constant(unit, 'unit24');
    asm.multiply(unit, unit, leasts);
    constant(15, 'greatestFinite');
    asm.subtractIntegers(15, 15, most);
  },
  round(asm, place) {
    const [leasts, unit, signs, kept] = [7, 8, 9, 10];
    const [magnitude, random, sign, large, isSmall] = [11, 12, 13, 14, 15];
    asm.load(magnitude, place);
    asm.and(sign, magnitude, signs);
    asm.exclusiveOr(magnitude, magnitude, sign);
    asm.shiftBits(large, random, 'right', 19);
    asm.addIntegers(large, large, magnitude);
    asm.and(large, large, kept);
    // Magnitudes compare like integers.
    asm.shiftBits(random, random, 'right', 8);
    asm.toFloats(random, random);
    asm.multiply(random, random, unit);
    asm.subtractIntegers(random, random, magnitude);
    asm.spreadSign(random, random);
    asm.and(random, random, leasts);
    asm.subtractIntegers(isSmall, magnitude, leasts);
    asm.spreadSign(isSmall, isSmall);
    asm.and(random, random, isSmall);
    asm.andNot(large, isSmall, large);
    asm.orBits(random, random, large);
    asm.orBits(random, random, sign);
  },
};

const round8: Format = {
  begin(constant) {
    constant(9, 'unit16');
  },
  scale(asm, most, field, constant) {
    const [inverse, scale] = [7, 8];
    // One more where the greatest value would round to more than 127.
    constant(scale, 'fraction');
    asm.and(scale, scale, most);
    constant(15, 'greatestFraction');
    asm.subtractIntegers(scale, 15, scale);
    asm.spreadSign(scale, scale);
    asm.subtractIntegers(scale, field, scale);
    constant(15, 'six');
    asm.subtractIntegers(scale, scale, 15);
    constant(inverse, 'twoFieldsOfOne');
    asm.subtractIntegers(inverse, inverse, scale);
    asm.shiftBits(inverse, inverse, 'left', 23);
    asm.shiftBits(scale, scale, 'left', 23);
    constant(15, 'mostField');
    asm.subtractIntegers(15, 15, field);
  },
  round(asm, place) {
    const [inverse, scale, unit] = [7, 8, 9];
    const random = 12;
    asm.shiftBits(random, random, 'right', 16);
    asm.toFloats(random, random);
    asm.multiply(random, random, unit);
    asm.multiply(11, inverse, place);
    asm.add(random, 11, random);
    asm.roundDown(random, random);
    asm.multiply(random, random, scale);
  },
};

/** Code for any number of whole blocks. */
function write(isa: Isa, format: Format, fields: Fields): Uint8Array {
  const asm = new Assembler(isa);
  const { rax: place, rcx: blocks, rdx: turns, rsi: start } = registers;
  const [index, stride, key1, factor1, factor2, cleared, set] = [0, 1, 2, 3, 4, 5, 6];
  const constant: LoadConstant = (into, name) => asm.broadcast(into, fields.place(name));
  const turnsPerBlock = BLOCK / asm.lanes;

  asm.loadRegister(start, fields.place('values'));
  asm.loadRegister(blocks, fields.place('blocks'));
  asm.loadRegister(place, fields.place('lanes'));
  // What the hash begins with: the index of each value times a number, and a key.
  asm.broadcast(index, fields.place('base'));
  asm.addIntegers(index, index, at(place));
  asm.broadcast(stride, fields.place('stride'));
  asm.broadcast(key1, fields.place('key1'));
  constant(factor1, 'factor1');
  constant(factor2, 'factor2');
  format.begin(constant);

  const nextBlock = asm.length;
  const forEachVector = (body: () => void): void => {
    asm.address(place, at(start));
    asm.setRegister(turns, turnsPerBlock);
    const next = asm.length;
    body();
    asm.addNumber(place, asm.vectorBytes);
    asm.countDown(turns, next);
  };
  const [most, field, isZero, isNotFinite] = [11, 13, 14, 15];
  constant(field, 'magnitude');
  asm.zero(most);
  forEachVector(() => {
    asm.and(12, field, at(place));
    asm.maximumIntegers(most, most, 12);
  });
  asm.spreadMaximum(most, 12);
  asm.shiftBits(field, most, 'right', 23);
  constant(isZero, 'leastField');
  asm.subtractIntegers(isZero, field, isZero);
  asm.spreadSign(isZero, isZero);
  format.scale(asm, most, field, constant);
  asm.spreadSign(isNotFinite, isNotFinite);
  asm.orBits(cleared, isZero, isNotFinite);
  constant(set, 'nan');
  asm.and(set, set, isNotFinite);
  forEachVector(() => {
    const [random, shifted] = [12, 13];
    asm.shiftBits(random, index, 'right', 16);
    asm.exclusiveOr(random, random, index);
    asm.addIntegers(index, index, stride);
    asm.multiplyIntegers(random, random, factor1);
    asm.shiftBits(shifted, random, 'right', 15);
    asm.exclusiveOr(random, random, shifted);
    asm.exclusiveOr(random, random, key1);
    asm.multiplyIntegers(random, random, factor2);
    asm.shiftBits(shifted, random, 'right', 15);
    asm.exclusiveOr(random, random, shifted);
    format.round(asm, at(place));
    asm.andNot(random, cleared, random);
    asm.orBits(random, random, set);
    asm.store(at(place), random);
  });
  asm.address(start, at(place));
  asm.countDown(blocks, nextBlock);
  asm.clearUpperHalves();
  asm.return();
  return asm.code;
}

/**
 * The same loops, with rounding in machine code where this machine can run it.
 * @param isa for tests; by default the widest vectors of this processor
 * @throws LockstepError `engine-unavailable` where it cannot
 */
export function withNativeRounding(
  kernels: KernelFunctions,
  memory: WebAssembly.Memory,
  isa: Isa = findIsa(),
): KernelFunctions {
  const base = addressOf(new Uint8Array(memory.buffer));
  const { lanes } = new Assembler(isa);
  const fields: Fields = new Arguments([...variables, ...constantNames, ...unitNames]);
  for (const name of constantNames) fields.give(name, constants[name]);
  for (const name of unitNames) fields.giveFloat(name, units[name]);
  fields.give('lanes', addressOf(ofLanes));
  fields.give('stride', Math.imul(lanes, GOLDEN) >>> 0);

  const rounding = (format: Format, plain: KernelFunctions['round16']): KernelFunctions['round16'] => {
    let code: Code | undefined;
    return (values, length, first, key0, key1) => {
      const blocks = Math.floor(length / BLOCK);
      if (blocks > 0) {
        code ??= new Code(write(isa, format, fields));
        fields.give('values', base + values);
        fields.give('blocks', blocks);
        fields.give('base', (Math.imul(first, GOLDEN) + key0) >>> 0);
        fields.give('key1', key1 >>> 0);
        fields.call(code);
      }
      const done = blocks * BLOCK;
      if (done < length) plain(values + done * FLOAT_BYTES, length - done, first + done, key0, key1);
    };
  };
  return { ...kernels, round16: rounding(round16, kernels.round16), round8: rounding(round8, kernels.round8) };
}
