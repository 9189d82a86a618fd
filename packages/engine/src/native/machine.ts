/**
 * Makes generated code callable: executable memory, and memory with a fixed address. Linux on x86-64 only, which is what the
 * assembler writes for.
 */
import { invariant, LockstepError } from '@lockstep/core';
import type { TypeObject } from 'koffi';
import { Assembler, type Isa, registers } from './assembler.ts';
import { ALIGNMENT_BYTES, type Arena } from './program.ts';

/** Calls functions by their address. Part of it is a package for each platform, which may be missing. */
const koffi = await import('koffi').catch((error: Error) => error);

const PROT_READ = 1;
const PROT_WRITE = 2;
const PROT_EXEC = 4;
const MAP_PRIVATE = 2;
const MAP_ANONYMOUS = 32;
const MADV_HUGEPAGE = 14;
const PAGE_BYTES = 4096;

/** Addresses are below 2 ** 47, so a number holds them exactly. */
export type Address = number;

interface Library {
  mmap(address: number, length: number, protection: number, flags: number, file: number, offset: number): Address;
  mprotect(address: Address, length: number, protection: number): number;
  munmap(address: Address, length: number): number;
  madvise(address: Address, length: number, advice: number): number;
  memcpy(into: Address, from: Uint8Array, length: number): unknown;
  toEntry(address: Address): Entry;
}

type Entry = (work: Address, parameters: Address, caller: Address) => void;

let opened: Library | undefined;

function library(): Library {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new LockstepError(
      'engine-unavailable',
      `The engine "native" writes machine code for Linux on x86-64, and this is ${process.platform} on ${process.arch}.`,
      'Use --engine auto, which takes the fastest that works.',
    );
  }
  if (koffi instanceof Error) throw refused(`the package "koffi" does not load (${koffi.message})`);
  if (!opened) {
    const { load, proto, decode } = koffi;
    const libc = load(null);
    const entry: TypeObject = proto('void (intptr_t work, intptr_t parameters, intptr_t caller)');
    opened = {
      toEntry: (address) => decode(BigInt(address), entry),
      mmap: libc.func('intptr_t mmap(intptr_t, size_t, int, int, int, int64_t)'),
      mprotect: libc.func('int mprotect(intptr_t, size_t, int)'),
      munmap: libc.func('int munmap(intptr_t, size_t)'),
      madvise: libc.func('int madvise(intptr_t, size_t, int)'),
      memcpy: libc.func('intptr_t memcpy(intptr_t, const void*, size_t)'),
    };
  }
  return opened;
}

/** Where an array's elements are. It must not be moved: its memory is that of no growing WebAssembly instance. */
export function addressOf(array: ArrayBufferView): Address {
  invariant(!(koffi instanceof Error), 'addresses are for code, which has been made before');
  return Number(koffi.address(array));
}

/** Code in memory that can be executed and not written. */
export class Code {
  readonly call: Entry;
  readonly #address: Address;
  readonly #bytes: number;

  constructor(code: Uint8Array) {
    const { mmap, mprotect, munmap, memcpy, toEntry } = library();
    this.#bytes = Math.ceil(code.length / PAGE_BYTES) * PAGE_BYTES;
    this.#address = mmap(0, this.#bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (this.#address === -1) throw refused('no memory for machine code could be had');
    memcpy(this.#address, code, code.length);
    if (mprotect(this.#address, this.#bytes, PROT_READ | PROT_EXEC) !== 0) {
      munmap(this.#address, this.#bytes);
      throw refused('this system lets no program make memory executable');
    }
    this.call = toEntry(this.#address);
  }

  dispose(): void {
    library().munmap(this.#address, this.#bytes);
  }
}

const refused = (what: string): LockstepError =>
  new LockstepError(
    'engine-unavailable',
    `The engine "native" does not work here: ${what}.`,
    'Use --engine auto, which takes the fastest that works.',
  );

/**
 * Asks for large pages: the processor knows by heart where some hundreds of pages are, which should hold pictures and parameters.
 * Where the system has none, or not now, nothing changes. Best done before anything is written.
 * @throws LockstepError `engine-unavailable` where the system cannot be called
 */
export function adviseLargePages(address: Address, bytes: number): void {
  const from = Math.ceil(address / PAGE_BYTES) * PAGE_BYTES;
  const length = Math.floor((address + bytes - from) / PAGE_BYTES) * PAGE_BYTES;
  if (length > 0) library().madvise(from, length, MADV_HUGEPAGE);
}

/** Memory for an arena, zero but for its constants. */
export class Memory {
  readonly address: Address;
  readonly #buffer: ArrayBuffer;
  readonly #start: number;

  constructor(arena: Arena) {
    this.#buffer = new ArrayBuffer(arena.bytes + ALIGNMENT_BYTES);
    const address = addressOf(new Uint8Array(this.#buffer));
    this.#start = (ALIGNMENT_BYTES - (address % ALIGNMENT_BYTES)) % ALIGNMENT_BYTES;
    this.address = address + this.#start;
    adviseLargePages(address, this.#buffer.byteLength);
    for (const [value, offset] of arena.constants) this.floats(offset, 1)[0] = value;
  }

  floats(offset: number, length: number): Float32Array {
    return new Float32Array(this.#buffer, this.#start + offset, length);
  }

  bytes(offset: number, length: number): Uint8Array {
    return new Uint8Array(this.#buffer, this.#start + offset, length);
  }
}

/** Asks the processor: registers after CPUID with eax and ecx given, or the low half of the first extended control register. */
function ask(write: (asm: Assembler) => void): Uint32Array {
  const asm = new Assembler('avx2');
  asm.push(registers.rbx);
  write(asm);
  asm.pop(registers.rbx);
  asm.return();
  const code = new Code(asm.code);
  const answer = new Uint32Array(4);
  try {
    code.call(addressOf(answer), 0, 0);
  } finally {
    code.dispose();
  }
  return answer;
}

const identify = (leaf: number): Uint32Array =>
  ask((asm) => {
    asm.setRegister(registers.rax, leaf);
    asm.setRegister(registers.rcx, 0);
    asm.identify();
  });

const has = (word: number | undefined, ...bits: number[]): boolean => bits.every((bit) => (word! >>> bit) & 1);

let known: Isa | undefined;

/**
 * The widest vectors that processor and operating system have. Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1,
 * sections 14.3, 14.7 and 15.2.
 * @throws LockstepError `engine-unavailable` where even the narrower ones are missing
 */
export function findIsa(): Isa {
  known ??= detect();
  return known;
}

function detect(): Isa {
  const [highest] = identify(0);
  const features = identify(1)[2];
  const [FMA, OSXSAVE, AVX] = [12, 27, 28];
  if (highest! >= 7 && has(features, FMA, OSXSAVE, AVX)) {
    const [control] = ask((asm) => asm.readExtendedControl());
    const [, extended] = identify(7);
    const [AVX2, AVX512F, AVX512DQ] = [5, 16, 17];
    // States of vectors (1, 2), masks and the upper halves and numbers of wide vectors (5 to 7).
    if (has(control, 1, 2, 5, 6, 7) && has(extended, AVX2, AVX512F, AVX512DQ)) return 'avx512';
    if (has(control, 1, 2) && has(extended, AVX2)) return 'avx2';
  }
  throw refused('this processor has no AVX2 with FMA');
}
