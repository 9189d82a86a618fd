/**
 * Gathers scattered records in machine code (`gather` in `core/kernels/kernels.ts`): all of them are asked for before the first is
 * copied, so that memory answers in parallel instead of one after the other.
 */
import type { KernelFunctions } from '@lockstep/core';
import { Arguments } from './arguments.ts';
import { Assembler, at, type Isa, registers } from './assembler.ts';
import { addressOf, Code, findIsa } from './machine.ts';

/** Records that are asked for at a time: pictures of 50 KB. */
const GROUP = 64;
const LINE_BYTES = 64;
const INDEX_BYTES = Uint32Array.BYTES_PER_ELEMENT;

type Fields = Arguments<'into' | 'from' | 'indices' | 'count'>;

/** Code for any number of records of `size` bytes, at least a vector. */
function write(isa: Isa, size: number, fields: Fields): Uint8Array {
  const asm = new Assembler(isa);
  const { rax: into, rcx: from, rsi: index, r8: record, r9: count } = registers;
  const forEachRecord = (body: () => void): void => {
    asm.loadRegister(index, fields.place('indices'));
    asm.loadRegister(count, fields.place('count'));
    const next = asm.length;
    asm.loadWord(record, at(index));
    asm.multiplyNumber(record, record, size);
    asm.addRegister(record, from);
    body();
    asm.addNumber(index, INDEX_BYTES);
    asm.countDown(count, next);
  };
  asm.loadRegister(into, fields.place('into'));
  asm.loadRegister(from, fields.place('from'));
  forEachRecord(() => {
    for (let offset = 0; offset < size; offset += LINE_BYTES) asm.prefetch(at(record, offset));
    asm.prefetch(at(record, size - 1));
  });
  forEachRecord(() => {
    for (let offset = 0; offset < size; offset += asm.vectorBytes) {
      // The last vector overlaps the one before.
      const place = Math.min(offset, size - asm.vectorBytes);
      asm.load(0, at(record, place));
      asm.store(at(into, place), 0);
    }
    asm.addNumber(into, size);
  });
  asm.clearUpperHalves();
  asm.return();
  return asm.code;
}

/**
 * The same loops, with the gathering of records in machine code where this machine can run it.
 * @param isa for tests; by default the widest vectors of this processor
 * @throws LockstepError `engine-unavailable` where it cannot
 */
export function withNativeGather(
  kernels: KernelFunctions,
  memory: WebAssembly.Memory,
  isa: Isa = findIsa(),
): KernelFunctions {
  const base = addressOf(new Uint8Array(memory.buffer));
  const { vectorBytes } = new Assembler(isa);
  const fields: Fields = new Arguments(['into', 'from', 'indices', 'count']);
  /** By the size of a record: samples of one dataset have one. */
  const codes = new Map<number, Code>();
  return {
    ...kernels,
    gather: (into, from, indices, count, size) => {
      if (size < vectorBytes) {
        kernels.gather(into, from, indices, count, size);
        return;
      }
      let code = codes.get(size);
      if (!code) {
        code = new Code(write(isa, size, fields));
        codes.set(size, code);
      }
      fields.give('from', base + from);
      for (let first = 0; first < count; first += GROUP) {
        fields.give('into', base + into + first * size);
        fields.give('indices', base + indices + first * INDEX_BYTES);
        fields.give('count', Math.min(GROUP, count - first));
        fields.call(code);
      }
    },
  };
}
