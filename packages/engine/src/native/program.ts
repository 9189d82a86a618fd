/**
 * A program under construction: straight machine code over memory whose size is known when it is finished. Kernels are written
 * with its buffers, pointers and loops.
 */
import { invariant, LockstepError } from '@lockstep/core';
import { Assembler, at, type Isa, type Place, type Register, registers, type Vector } from './assembler.ts';

/** Values in the widest vector: rows are filled up to a multiple of it, so that memory looks the same on all processors. */
export const WIDEST = 16;
const FLOAT_BYTES = Float32Array.BYTES_PER_ELEMENT;
export const ALIGNMENT_BYTES = 64;

/** Offsets are signed integers of 32 bits. */
const MAX_BYTES = 2 ** 31 - 1;

export const padded = (length: number): number => Math.ceil(length / WIDEST) * WIDEST;

const alignedBytes = (floats: number): number => Math.ceil((floats * FLOAT_BYTES) / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;

/** Places in a memory that is allocated once. */
export class Arena {
  #bytes = ALIGNMENT_BYTES;
  /** Places that were given back, by offset. */
  #free: { readonly start: number; readonly bytes: number }[] = [];
  /** Numbers that must be there before a program runs, and the offset of each. */
  readonly constants = new Map<number, number>();

  /** float32 values, aligned, that are nobody else's: zero until something is written. */
  floats(length: number): number {
    const start = this.#bytes;
    if (start + length * FLOAT_BYTES > MAX_BYTES) {
      throw new LockstepError(
        'engine-failed',
        'The engine "native" would need more than 2 GiB of memory for this micro-batch.',
        'Use a smaller --batch-size, more --shards, or --engine onnx.',
      );
    }
    this.#bytes = start + alignedBytes(length);
    return start;
  }

  /** The same, but perhaps where others were before. */
  borrow(length: number): number {
    const bytes = alignedBytes(length);
    const fitting = this.#free.filter((place) => place.bytes >= bytes).sort((a, b) => a.bytes - b.bytes)[0];
    if (!fitting) return this.floats(length);
    const rest = { start: fitting.start + bytes, bytes: fitting.bytes - bytes };
    this.#free = [...this.#free.filter((place) => place !== fitting), ...(rest.bytes > 0 ? [rest] : [])];
    return fitting.start;
  }

  /** @param start of `length` values that were borrowed */
  giveBack(start: number, length: number): void {
    let place = { start, bytes: alignedBytes(length) };
    for (const other of this.#free) {
      const isBefore = other.start + other.bytes === place.start;
      const isBehind = place.start + place.bytes === other.start;
      if (!isBefore && !isBehind) continue;
      this.#free = this.#free.filter((free) => free !== other);
      place = { start: Math.min(other.start, place.start), bytes: other.bytes + place.bytes };
    }
    this.#free.push(place);
  }

  /** One number. */
  constant(value: number): number {
    let offset = this.constants.get(value);
    if (offset === undefined) {
      offset = this.floats(1);
      this.constants.set(value, offset);
    }
    return offset;
  }

  get bytes(): number {
    return this.#bytes;
  }
}

/** Which memory a buffer is in; each has a register that points to its beginning. */
const memories = {
  /** What one program computes with. */
  work: registers.r15,
  /** Parameters, as kernels want them: of all programs of an engine. */
  parameters: registers.r14,
  /** The caller's flat vector: parameters that come, or sums that go. */
  caller: registers.r13,
} as const;

export interface Buffer {
  readonly memory: keyof typeof memories;
  /** Bytes from its beginning. */
  readonly offset: number;
}

export const inside = (buffer: Buffer, floats: number): Buffer => ({
  memory: buffer.memory,
  offset: buffer.offset + floats * FLOAT_BYTES,
});

/** How far a pointer moves in each turn of a loop, in bytes. */
export type Move = readonly [pointer: Register, bytes: number];

/** Saved for the caller (System V application binary interface), and free for kernels with the others. */
const saved = [registers.rbx, registers.rbp, registers.r12, registers.r13, registers.r14, registers.r15];

function begin(isa: Isa): Assembler {
  const asm = new Assembler(isa);
  for (const register of saved) asm.push(register);
  const [work, parameters, caller] = [registers.rdi, registers.rsi, registers.rdx];
  asm.address(memories.work, at(work));
  asm.address(memories.parameters, at(parameters));
  asm.address(memories.caller, at(caller));
  return asm;
}

export class Program {
  /** Where its buffers are. */
  readonly arena: Arena;
  readonly lanes: number;
  readonly vectorBytes: number;
  #asm: Assembler;
  /** Lengths of borrowed buffers, by offset. */
  readonly #borrowed = new Map<number, number>();
  readonly #free: Register[] = [
    registers.r12,
    registers.r11,
    registers.r10,
    registers.r9,
    registers.r8,
    registers.rbp,
    registers.rdi,
    registers.rsi,
    registers.rbx,
    registers.rdx,
    registers.rcx,
    registers.rax,
  ];

  constructor(isa: Isa, arena: Arena) {
    this.arena = arena;
    this.#asm = begin(isa);
    this.lanes = this.#asm.lanes;
    this.vectorBytes = this.#asm.vectorBytes;
  }

  get asm(): Assembler {
    return this.#asm;
  }

  /** Finished code, with pointers to the memories as its arguments. What is written next begins another one. */
  finish(): Uint8Array {
    const asm = this.#asm;
    asm.clearUpperHalves();
    for (const register of saved.toReversed()) asm.pop(register);
    asm.return();
    this.#asm = begin(asm.isa);
    return asm.code;
  }

  /** Memory of its own, zero before the first run. */
  buffer(floats: number): Buffer {
    return { memory: 'work', offset: this.arena.floats(floats) };
  }

  /**
   * Memory that is written before it is read, for code up to where it is given back: what comes after that may use the same,
   * which is then still in the cache.
   */
  borrow(floats: number): Buffer {
    const offset = this.arena.borrow(floats);
    this.#borrowed.set(offset, floats);
    return { memory: 'work', offset };
  }

  /** Ends the use of buffers. Those that were not borrowed stay what they are. */
  giveBack(...buffers: readonly (Buffer | undefined)[]): void {
    for (const buffer of buffers) {
      if (buffer?.memory !== 'work') continue;
      const floats = this.#borrowed.get(buffer.offset);
      if (floats === undefined) continue;
      this.#borrowed.delete(buffer.offset);
      this.arena.giveBack(buffer.offset, floats);
    }
  }

  place({ memory, offset }: Buffer, floats = 0): Place {
    return at(memories[memory], offset + floats * FLOAT_BYTES);
  }

  /** All elements of a vector become a number. */
  constant(into: Vector, value: number): void {
    this.asm.broadcast(into, at(memories.work, this.arena.constant(value)));
  }

  /** Lends registers to `body`, as many as it has parameters beyond the program itself. */
  lend<T extends Register[]>(count: T['length'], body: (...lent: T) => void): void {
    const lent = Array.from({ length: count }, () => {
      const register = this.#free.pop();
      invariant(register !== undefined, 'kernels need no more registers than there are');
      return register;
    });
    body(...(lent as T));
    this.#free.push(...lent.toReversed());
  }

  /** Lends registers that point to buffers. */
  point<T extends Register[]>(buffers: { [i in keyof T]: Buffer }, body: (...pointers: T) => void): void {
    this.lend<T>(buffers.length, (...pointers) => {
      for (const [i, pointer] of pointers.entries()) this.asm.address(pointer, this.place(buffers[i]!));
      body(...pointers);
    });
  }

  /** Keeps registers on the stack while `body` runs, which can then have them for something else. */
  park(registers: readonly Register[], body: () => void): void {
    for (const register of registers) this.asm.push(register);
    this.#free.push(...registers);
    body();
    this.#free.splice(-registers.length, registers.length);
    for (const register of registers.toReversed()) this.asm.pop(register);
  }

  /** Repeats `body`, moving pointers on after each turn; afterwards they are where they were. */
  loop(count: number, moves: readonly Move[], body: () => void): void {
    if (count === 0) return;
    if (count === 1) {
      body();
      return;
    }
    this.lend<[Register]>(1, (counter) => {
      this.asm.setRegister(counter, count);
      const top = this.asm.length;
      body();
      for (const [pointer, bytes] of moves) this.asm.addNumber(pointer, bytes);
      this.asm.countDown(counter, top);
    });
    for (const [pointer, bytes] of moves) this.asm.addNumber(pointer, -count * bytes);
  }

  /**
   * Goes over `length` items in strides of `width` and then over the rest, moving pointers on; afterwards they are where they
   * were. `body` is written once for each width that occurs.
   */
  strips(length: number, width: number, moves: readonly Move[], body: (width: number) => void): void {
    const whole = Math.floor(length / width);
    const rest = length - whole * width;
    this.loop(
      whole,
      moves.map(([pointer, bytes]) => [pointer, bytes * width]),
      () => body(width),
    );
    if (rest === 0) return;
    const on = (sign: number): void => {
      for (const [pointer, bytes] of moves) this.asm.addNumber(pointer, sign * bytes * width * whole);
    };
    on(1);
    body(rest);
    on(-1);
  }
}
