import { loadKernels, Region } from '@lockstep/core';
import { describe, expect, it } from 'vitest';
import { randomStream } from '../testing/inputs.ts';
import { missing } from '../testing/processor.ts';
import { withNativeGather } from './gather.ts';

/** Pictures, records of whole vectors and of one and a bit, and shorter ones; one group and several. */
const cases = [
  { size: 784, count: 64 },
  { size: 784, count: 131 },
  { size: 128, count: 1 },
  { size: 65, count: 5 },
  { size: 9, count: 5 },
  { size: 784, count: 0 },
];

describe.each(['avx2', 'avx512'] as const)('gathering, %s', (isa) => {
  it.skipIf(missing(isa) !== undefined).each(cases)(
    'copies what the WebAssembly loop copies: %o',
    ({ size, count }) => {
      const numRecords = 200;
      const region = new Region();
      const [from, indices] = [region.bytes(numRecords * size), region.bytes(4 * count)];
      const results = [region.bytes(count * size + 64), region.bytes(count * size + 64)] as const;
      const memory = region.allocate('shared');
      const random = randomStream(1);
      const records = new Uint8Array(memory.buffer, from, numRecords * size);
      for (let i = 0; i < records.length; i++) records[i] = random.below(256);
      // The last record is among them.
      for (let i = 0; i < count; i++)
        new Uint32Array(memory.buffer, indices, count)[i] = i === 0 ? numRecords - 1 : random.below(numRecords);
      const plain = loadKernels(memory);
      for (const [i, { gather }] of [plain, withNativeGather(plain, memory, isa)].entries())
        gather(results[i]!, from, indices, count, size);
      const [expected, found] = results.map((at) => new Uint8Array(memory.buffer, at, count * size + 64).slice());
      expect(found).toEqual(expected);
      expect(expected!.some((byte) => byte !== 0)).toBe(count > 0);
    },
  );
});
