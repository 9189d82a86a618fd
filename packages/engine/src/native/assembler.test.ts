/** What the assembler writes is what a disassembler reads: every instruction, with registers and offsets of all kinds. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Assembler, at, type Isa, type Place, registers } from './assembler.ts';

function hasDisassembler(): boolean {
  try {
    return execFileSync('objdump', ['--help'], { encoding: 'utf8' }).includes('x86-64');
  } catch {
    return false;
  }
}

const skip = hasDisassembler() ? undefined : 'there is no objdump for x86-64';

/** One instruction a line, as Intel writes them. */
function disassemble(code: Uint8Array): string[] {
  const file = join(mkdtempSync(join(tmpdir(), 'lockstep-assembler-')), 'code');
  writeFileSync(file, code);
  const flags = ['-D', '-b', 'binary', '-m', 'i386:x86-64', '-M', 'intel', '--no-show-raw-insn', file];
  return execFileSync('objdump', flags, { encoding: 'utf8' })
    .split('\n')
    .filter((line) => /^\s*[0-9a-f]+:\t/.test(line))
    .map((line) => line.split('\t')[1]!.replace(/#.*/, '').trim().replace(/\s+/g, ' '));
}

const names = Object.keys(registers);
/** What their lower halves are called. */
const word = (i: number): string => ['eax', 'ecx', 'edx', 'ebx', 'esp', 'ebp', 'esi', 'edi'][i] ?? `${names[i]}d`;
/** Their lower quarters and lowest bytes. */
const short = (i: number): string =>
  word(i)
    .replace(/^e|d$/, '')
    .replace(/^(r\d+)$/, '$1w');
const byte = (i: number): string => (i < 4 ? `${names[i]![1]}l` : i < 8 ? `${names[i]!.slice(1)}l` : `${names[i]}b`);
const offsets = [0, 4, 64, -64, 100, 8192, -8192, 1_000_000];

const hex = (offset: number): string =>
  offset === 0 ? '' : `${offset < 0 ? '-' : '+'}0x${Math.abs(offset).toString(16)}`;

/** As the disassembler writes it; bases whose short form means something else always have an offset. */
const placeText = ({ base, offset }: Place): string =>
  `[${names[base]}${offset === 0 && (base & 7) === 5 ? '+0x0' : hex(offset)}]`;

describe.skipIf(skip !== undefined)(`machine code${skip === undefined ? '' : ` (skipped: ${skip})`}`, () => {
  it.each(['avx2', 'avx512'] as const)('of vectors, %s', (isa: Isa) => {
    const asm = new Assembler(isa);
    const expected: string[] = [];
    const register = (i: number): string => `${isa === 'avx512' ? 'zmm' : 'ymm'}${i}`;
    const size = isa === 'avx512' ? 'ZMMWORD' : 'YMMWORD';
    const vectors = isa === 'avx512' ? [0, 7, 8, 15, 16, 23, 24, 31] : [0, 7, 8, 15];
    const bases = Object.values(registers);
    let turn = 0;
    const next = (list: readonly number[]): number => list[turn++ % list.length]!;
    for (const into of vectors) {
      for (const base of bases) {
        const place = at(base, next(offsets));
        const text = placeText(place);
        const [left, right] = [next(vectors), next(vectors)];
        const three = (name: string): string => `${name} ${register(into)},${register(left)},${register(right)}`;
        const memory = (name: string): string => `${name} ${register(into)},${register(left)},${size} PTR ${text}`;
        asm.load(into, place);
        expected.push(`vmovups ${register(into)},${size} PTR ${text}`);
        asm.store(place, into);
        expected.push(`vmovups ${size} PTR ${text},${register(into)}`);
        asm.broadcast(into, place);
        expected.push(`vbroadcastss ${register(into)},DWORD PTR ${text}`);
        asm.multiplyAdd(into, left, right);
        expected.push(three('vfmadd231ps'));
        asm.multiplyAdd(into, left, place);
        expected.push(memory('vfmadd231ps'));
        asm.multiplySubtract(into, left, right);
        expected.push(three('vfnmadd231ps'));
        asm.add(into, left, right);
        expected.push(three('vaddps'));
        asm.subtract(into, left, place);
        expected.push(memory('vsubps'));
        asm.multiply(into, left, right);
        expected.push(three('vmulps'));
        asm.divide(into, left, right);
        expected.push(three('vdivps'));
        asm.maximum(into, left, right);
        expected.push(three('vmaxps'));
        asm.squareRoot(into, right);
        expected.push(`vsqrtps ${register(into)},${register(right)}`);
        asm.move(into, right);
        expected.push(`vmovaps ${register(into)},${register(right)}`);
        asm.zero(into);
        expected.push(`${isa === 'avx512' ? 'vpxord' : 'vpxor'} ${register(into)},${register(into)},${register(into)}`);
        asm.loadBytes(into, place);
        const bytes = isa === 'avx512' ? 'XMMWORD' : 'QWORD';
        expected.push(`vpmovzxbd ${register(into)},${bytes} PTR ${text}`);
        expected.push(`vcvtdq2ps ${register(into)},${register(into)}`);
        asm.select(into, left, 'less', right, place, 1);
        asm.replace(into, left, 'equal', right, left, 1);
        if (isa === 'avx512') {
          expected.push(`vcmpltps k1,${register(right)},${size} PTR ${text}`);
          expected.push(`vmovaps ${register(into)}{k1}{z},${register(left)}`);
          expected.push(`vcmpeqps k1,${register(right)},${register(left)}`);
          expected.push(`vmovaps ${register(into)}{k1},${register(left)}`);
        } else {
          expected.push(`vcmpltps ymm1,${register(right)},${size} PTR ${text}`);
          expected.push(`vandps ${register(into)},ymm1,${register(left)}`);
          expected.push(`vcmpeqps ymm1,${register(right)},${register(left)}`);
          expected.push(`vblendvps ${register(into)},${register(into)},${register(left)},ymm1`);
        }
        asm.addIntegers(into, left, right);
        expected.push(three('vpaddd'));
        asm.nonZeroBits(base, place, left, 1);
        asm.markNonZero(into, left, place, right, 1);
        if (isa === 'avx512') {
          expected.push(`vcmpneqps k1,${register(left)},${size} PTR ${text}`);
          expected.push(`kmovw ${word(base)},k1`);
          expected.push(`vcmpneqps k1,${register(right)},${size} PTR ${text}`);
          expected.push(`vorps ${register(into)}{k1},${register(into)},${register(left)}`);
        } else {
          expected.push(`vcmpneqps ymm1,${register(left)},${size} PTR ${text}`);
          expected.push(`vmovmskps ${word(base)},ymm1`);
          expected.push(`vcmpneqps ymm1,${register(right)},${size} PTR ${text}`);
          expected.push(`vandps ymm1,ymm1,${register(left)}`);
          expected.push(`vorps ${register(into)},${register(into)},ymm1`);
        }
      }
    }
    expect(disassemble(asm.code)).toEqual(expected);
  });

  it('of general registers', () => {
    const asm = new Assembler('avx2');
    const expected: string[] = [];
    for (const [name, register] of Object.entries(registers)) {
      for (const base of Object.values(registers)) {
        const place = at(base, offsets[(register + base) % offsets.length]);
        const text = placeText(place);
        asm.loadRegister(register, place);
        expected.push(`mov ${name},QWORD PTR ${text}`);
        asm.storeRegister(place, register);
        expected.push(`mov QWORD PTR ${text},${name}`);
        asm.loadWord(register, place);
        expected.push(`mov ${word(register)},DWORD PTR ${text}`);
        asm.storeWord(place, register);
        expected.push(`mov DWORD PTR ${text},${word(register)}`);
        asm.storeZeroWord(place);
        expected.push(`mov DWORD PTR ${text},0x0`);
        asm.storeBits(place, register, 16);
        expected.push(`mov WORD PTR ${text},${short(register)}`);
        asm.storeBits(place, register, 8);
        expected.push(`mov BYTE PTR ${text},${byte(register)}`);
        asm.prefetch(place);
        expected.push(`prefetcht1 BYTE PTR ${text}`);
        asm.address(register, place);
        expected.push(`lea ${name},${text}`);
        const other = names[base];
        asm.addRegister(register, base);
        expected.push(`add ${name},${other}`);
        asm.or(register, base);
        expected.push(`or ${name},${other}`);
        asm.multiplyNumber(register, base, 0x1234);
        expected.push(`imul ${name},${other},0x1234`);
        asm.countBits(register, base);
        expected.push(`popcnt ${name},${other}`);
        asm.lowestBit(register, base);
        expected.push(`tzcnt ${name},${other}`);
        asm.clearLowestBit(register, base);
        expected.push(`lea ${other},[${name}-0x1]`, `and ${name},${other}`);
      }
      asm.setRegister(register, -5);
      expected.push(`mov ${name},0xfffffffffffffffb`);
      asm.addNumber(register, 100);
      expected.push(`add ${name},0x64`);
      asm.shiftLeft(register, 32);
      expected.push(`shl ${name},0x20`);
      asm.compareNumber(register, 0x1234);
      expected.push(`cmp ${name},0x1234`);
      asm.addNumber(register, 0);
      asm.addNumber(register, 0x1234);
      expected.push(`add ${name},0x1234`);
    }
    asm.clearUpperHalves();
    asm.return();
    expected.push('vzeroupper', 'ret');
    // Prefixes that 64-bit registers do not need are written as such.
    expect(disassemble(asm.code).map((line) => line.replace(/^rex /, ''))).toEqual(expected);
  });

  it('that loops and jumps', () => {
    const asm = new Assembler('avx2');
    asm.setRegister(registers.r9, 3);
    const top = asm.length;
    asm.addNumber(registers.rax, 1);
    asm.countDown(registers.r9, top);
    asm.jumpBack('notZero', top);
    const jumps = (['zero', 'notLess', 'always'] as const).map((condition) => asm.jump(condition));
    for (const jump of jumps) asm.land(jump);
    const landed = asm.length;
    asm.push(registers.r12);
    asm.pop(registers.r12);
    asm.readExtendedControl();
    asm.identify();
    expect(disassemble(asm.code).map((line) => line.replace(/^rex /, ''))).toEqual([
      'mov r9,0x3',
      'add rax,0x1',
      'dec r9',
      `jne 0x${top.toString(16)}`,
      `jne 0x${top.toString(16)}`,
      `je 0x${landed.toString(16)}`,
      `jge 0x${landed.toString(16)}`,
      `jmp 0x${landed.toString(16)}`,
      'push r12',
      'pop r12',
      'mov rcx,0x0',
      'xgetbv',
      'mov DWORD PTR [rdi],eax',
      'cpuid',
      'mov DWORD PTR [rdi],eax',
      'mov DWORD PTR [rdi+0x4],ebx',
      'mov DWORD PTR [rdi+0x8],ecx',
      'mov DWORD PTR [rdi+0xc],edx',
    ]);
  });
});
