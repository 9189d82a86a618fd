import { loadKernels, Region } from '@lockstep/core';
import { describe, expect, it } from 'vitest';
import { randomStream } from '../testing/inputs.ts';
import { missing } from '../testing/processor.ts';
import { withNativeRounding } from './rounding.ts';

const BLOCK = 256;
const numBlocks = 40;
const room = numBlocks * BLOCK + 77 + 1;

/** Blocks of all kinds: small and large, with values far below the greatest, with zeros, and with what is not finite. */
function fill(values: Float32Array): void {
  const random = randomStream(5);
  for (let block = 0; block * BLOCK < room; block++) {
    const spread = [0, 1, 4, 12][block % 4]!;
    const scale = 2 ** [0, -20, 60, -88, -91, -120, 118, 121, 126, -140][block % 10]!;
    for (let i = block * BLOCK; i < Math.min(room, (block + 1) * BLOCK); i++) {
      values[i] = random.normal() * scale * 10 ** (spread * Math.min(0, random.normal()));
      if (i % 7 === 0) values[i] = i % 2 === 0 ? 0 : -0;
    }
  }
  // As great as a block may be, and powers of two, where rounding changes its step.
  for (let i = 0; i < BLOCK; i++) values[20 * BLOCK + i] = (i % 2 === 0 ? 1 : -1) * 2 ** -(i % 40);
  for (let i = 0; i < BLOCK; i++) values[21 * BLOCK + i] = (i % 2 === 0 ? 1 : -1) * 1.9999;
  values.fill(0, 22 * BLOCK, 23 * BLOCK);
  values[23 * BLOCK + 9] = Number.NaN;
  values[24 * BLOCK + 255] = Number.NEGATIVE_INFINITY;
  values[25 * BLOCK] = Number.POSITIVE_INFINITY;
}

describe.each(['avx2', 'avx512'] as const)('rounding, %s', (isa) => {
  describe.each(['round16', 'round8'] as const)('%s', (round) => {
    // Whole blocks, a rest, and nothing but a rest.
    it.skipIf(missing(isa) !== undefined).each([
      { length: numBlocks * BLOCK, first: 0 },
      { length: numBlocks * BLOCK + 77, first: 4096 },
      { length: 77, first: 2 ** 30 },
    ])('has the bits of the WebAssembly loop: %o', ({ length, first }) => {
      const region = new Region();
      const given = region.floats(room);
      const memory = region.allocate('shared');
      const values = new Float32Array(memory.buffer, given, room);
      const plain = loadKernels(memory);
      const [expected, found] = [plain, withNativeRounding(plain, memory, isa)].map((kernels) => {
        fill(values);
        // Keys as hashes are: the upper half of the numbers, too.
        kernels[round](given, length, first, 0xdeadbeef, 0x9abcdef1);
        return new Uint32Array(values.slice().buffer);
      });
      expect(found).toEqual(expected);
      // Nothing behind the end is touched, and something before it was.
      fill(values);
      const untouched = new Uint32Array(values.slice().buffer);
      expect(found!.subarray(length)).toEqual(untouched.subarray(length));
      expect(found!.subarray(0, 77)).not.toEqual(untouched.subarray(0, 77));
    });
  });
});
