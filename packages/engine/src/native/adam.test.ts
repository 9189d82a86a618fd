import { loadKernels, Region } from '@lockstep/core';
import { describe, expect, it } from 'vitest';
import { randomStream } from '../testing/inputs.ts';
import { missing } from '../testing/processor.ts';
import { withNativeAdam } from './adam.ts';

describe.each(['avx2', 'avx512'] as const)('the update of Adam, %s', (isa) => {
  // Whole vectors, a rest, and nothing but a rest.
  it.skipIf(missing(isa) !== undefined).each([4096, 4099, 7])(
    'has the bits of the WebAssembly loop: %d values',
    (length) => {
      const region = new Region();
      const room = length + 1;
      const given = Array.from({ length: 4 }, () => region.floats(room));
      const results = Array.from({ length: 2 }, () => Array.from({ length: 3 }, () => region.floats(room)));
      const memory = region.allocate('shared');
      const floats = new Float32Array(memory.buffer);
      const random = randomStream(1);
      const [weights, first, second, gradient] = given.map((at) => {
        for (let i = 0; i < room; i++) floats[at / 4 + i] = random.normal();
        return at;
      });
      // Second moments are not negative, and some are nothing.
      for (let i = 0; i < room; i++) floats[second! / 4 + i] = i % 5 === 0 ? 0 : floats[second! / 4 + i]! ** 2;
      floats[gradient! / 4] = Number.NaN;
      const plain = loadKernels(memory);
      for (const [i, { adam }] of [plain, withNativeAdam(plain, memory, isa)].entries()) {
        const [toWeights, toFirst, toSecond] = results[i]!;
        const constants = [1 / 512, 0.0013, 0.1, 0.001, 1e-7, 0.999] as const;
        adam(toWeights!, toFirst!, toSecond!, weights!, first!, second!, gradient!, length, ...constants);
      }
      const [expected, found] = results.map((vectors) => vectors.map((at) => floats.slice(at / 4, at / 4 + room)));
      expect(found).toEqual(expected);
      expect(expected![0]!.slice(1, length).every((value) => Number.isFinite(value) && value !== 0)).toBe(true);
      // Nothing behind the end is touched.
      expect(found!.map((values) => values[length])).toEqual([0, 0, 0]);
    },
  );
});
