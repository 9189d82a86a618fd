/** Carries out a planned reduction block by block, so that intermediate sums stay in the processor's cache. */
import type { KernelFunctions } from './kernels.ts';
import type { Reduction } from './tree.ts';
import type { Rounding } from './wire.ts';

/** float32 values per block: 16 KiB, so that a handful of blocks fit into a first-level cache. */
export const BLOCK_LENGTH = 4096;

/**
 * Runs a reduction over elements [from, to) of its sources and hands each finished block to `use`. Blocks start at
 * multiples of {@link BLOCK_LENGTH} (apart from `from` itself), whatever the slice; where there is nothing to add, all
 * comes as one.
 *
 * @param sources byte offsets of the partial sums, in the order the reduction was planned with
 * @param scratch byte offset of `reduction.numRegisters` blocks that this call may overwrite
 * @param rounding of each sum that is formed; the sources are rounded already
 * @param use receives the byte offset of the summed block and the elements [start, start + length) that it holds
 */
export function reduceBlocks(
  kernels: KernelFunctions,
  reduction: Reduction,
  sources: readonly number[],
  scratch: number,
  from: number,
  to: number,
  rounding: Rounding | undefined,
  use: (block: number, start: number, length: number) => void,
): void {
  const place = (operand: Reduction['result'], start: number): number =>
    operand.kind === 'source' ? sources[operand.index]! + start * 4 : scratch + operand.index * BLOCK_LENGTH * 4;
  if (reduction.additions.length === 0) {
    if (from < to) use(place(reduction.result, from), from, to - from);
    return;
  }
  for (let start = from; start < to; ) {
    const end = Math.min(to, (Math.floor(start / BLOCK_LENGTH) + 1) * BLOCK_LENGTH);
    for (const { node, into, left, right } of reduction.additions) {
      const sum = scratch + into * BLOCK_LENGTH * 4;
      kernels.add(sum, place(left, start), place(right, start), end - start);
      rounding?.round(node, sum, start, end - start);
    }
    use(place(reduction.result, start), start, end - start);
    start = end;
  }
}
