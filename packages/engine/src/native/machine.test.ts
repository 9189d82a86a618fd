import { existsSync, readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { findPageAdvice } from '../accelerate.ts';
import { noMachineCode } from '../testing/processor.ts';
import { addressOf } from './machine.ts';

const missing =
  noMachineCode ??
  (existsSync('/sys/kernel/mm/transparent_hugepage/enabled') ? undefined : 'the kernel has no transparent huge pages');

/** Flags of the mapping that an address is in (proc_pid_smaps(5)). */
function flagsAt(address: number): string[] {
  let isInside = false;
  for (const line of readFileSync('/proc/self/smaps', 'utf8').split('\n')) {
    const range = /^([0-9a-f]+)-([0-9a-f]+) /.exec(line);
    if (range) isInside = Number.parseInt(range[1]!, 16) <= address && address < Number.parseInt(range[2]!, 16);
    else if (isInside && line.startsWith('VmFlags:')) return line.slice('VmFlags:'.length).trim().split(' ');
  }
  return [];
}

it.skipIf(missing !== undefined)(
  `large pages are asked for, for memory that threads share${missing === undefined ? '' : ` (skipped: ${missing})`}`,
  async () => {
    const memory = new WebAssembly.Memory({ initial: 256, maximum: 1024, shared: true });
    const advise = await findPageAdvice('native');
    const address = addressOf(new Uint8Array(memory.buffer));
    expect(flagsAt(address)).not.toContain('hg');
    advise!(memory);
    expect(flagsAt(address)).toContain('hg');
    expect(await findPageAdvice('onnx')).toBeUndefined();
  },
);
