/**
 * The update of Adam in machine code, with the bits of the WebAssembly loop whose place it takes (`adam` in `core/kernels/kernels.ts`):
 * the same operations in the same order, each rounded by itself, on wider vectors.
 */
import type { KernelFunctions } from '@lockstep/core';
import { Arguments } from './arguments.ts';
import { Assembler, at, type Isa, registers } from './assembler.ts';
import { type Address, addressOf, Code, findIsa } from './machine.ts';

const FLOAT_BYTES = Float32Array.BYTES_PER_ELEMENT;

const pointers = [
  'toWeights',
  'toFirstMoment',
  'toSecondMoment',
  'weights',
  'firstMoment',
  'secondMoment',
  'gradient',
] as const;
const factors = ['scale', 'rate', 'oneMinusBeta1', 'oneMinusBeta2', 'epsilon', 'keep'] as const;

type Fields = Arguments<(typeof pointers)[number] | (typeof factors)[number] | 'turns'>;

/** Code for any number of vectors. */
function write(isa: Isa, fields: Fields): Uint8Array {
  const asm = new Assembler(isa);
  const { rax, rcx, rdx, rsi, r8, r9, r10, r11: turns } = registers;
  const [toWeights, toFirst, toSecond, weights, first, second, gradient] = [rax, rcx, rdx, rsi, r8, r9, r10];
  const [scale, rate, oneMinusBeta1, oneMinusBeta2, epsilon, keep] = [0, 1, 2, 3, 4, 5];
  const [slope, moment, square, change] = [6, 7, 8, 9];
  for (const [vector, name] of factors.entries()) asm.broadcast(vector, fields.place(name));
  const moving = [toWeights, toFirst, toSecond, weights, first, second, gradient];
  for (const [i, name] of pointers.entries()) asm.loadRegister(moving[i]!, fields.place(name));
  asm.loadRegister(turns, fields.place('turns'));
  const next = asm.length;
  asm.multiply(slope, scale, at(gradient));
  asm.load(moment, at(first));
  asm.load(square, at(second));
  asm.subtract(change, slope, moment);
  asm.multiply(change, change, oneMinusBeta1);
  asm.add(moment, moment, change);
  asm.multiply(slope, slope, slope);
  asm.subtract(slope, slope, square);
  asm.multiply(slope, slope, oneMinusBeta2);
  asm.add(square, square, slope);
  asm.store(at(toFirst), moment);
  asm.store(at(toSecond), square);
  asm.squareRoot(square, square);
  asm.add(square, square, epsilon);
  asm.multiply(moment, rate, moment);
  asm.divide(moment, moment, square);
  asm.multiply(change, keep, at(weights));
  asm.subtract(change, change, moment);
  asm.store(at(toWeights), change);
  for (const pointer of moving) asm.addNumber(pointer, asm.vectorBytes);
  asm.countDown(turns, next);
  asm.clearUpperHalves();
  asm.return();
  return asm.code;
}

/**
 * The same loops, with Adam's in machine code where this machine can run it.
 * @param isa for tests; by default the widest vectors of this processor
 * @throws LockstepError `engine-unavailable` where it cannot
 */
export function withNativeAdam(
  kernels: KernelFunctions,
  memory: WebAssembly.Memory,
  isa: Isa = findIsa(),
): KernelFunctions {
  const base: Address = addressOf(new Uint8Array(memory.buffer));
  const { lanes } = new Assembler(isa);
  const fields: Fields = new Arguments([...pointers, ...factors, 'turns']);
  const code = new Code(write(isa, fields));
  return {
    ...kernels,
    adam: (toW, toM, toV, w, m, v, gradient, length, ...constants) => {
      const turns = Math.floor(length / lanes);
      const places = [toW, toM, toV, w, m, v, gradient];
      if (turns > 0) {
        for (const [i, name] of pointers.entries()) fields.give(name, base + places[i]!);
        for (const [i, name] of factors.entries()) fields.giveFloat(name, constants[i]!);
        fields.give('turns', turns);
        fields.call(code);
      }
      const rest = length - turns * lanes;
      if (rest === 0) return;
      const [a, b, c, d, e, f, g] = places.map((place) => place + turns * lanes * FLOAT_BYTES);
      kernels.adam(a!, b!, c!, d!, e!, f!, g!, rest, ...constants);
    },
  };
}
