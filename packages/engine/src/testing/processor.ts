/** Which machine code can run here, so that tests of the rest say what is missing. */
import type { Isa } from '../native/assembler.ts';
import { findIsa } from '../native/machine.ts';

function widest(): Isa | string {
  try {
    return findIsa();
  } catch (error) {
    return (error as Error).message;
  }
}

const found = widest();

export const here: readonly Isa[] = found === 'avx512' ? ['avx2', 'avx512'] : found === 'avx2' ? ['avx2'] : [];

/** Why there is no machine code at all; undefined where there is. */
export const noMachineCode = here.length > 0 ? undefined : found;

/** Why code for these vectors cannot run; undefined where it can. */
export const missing = (isa: Isa): string | undefined =>
  here.includes(isa) ? undefined : (noMachineCode ?? `this processor has no ${isa}`);
