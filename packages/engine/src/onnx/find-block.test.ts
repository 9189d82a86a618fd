import { expect, it } from 'vitest';
import { findBlock } from './find-block.ts';

it.runIf(process.arch === 'x64')('finds the blocks of this processor: as wide as a vector of float32', async () => {
  expect([8, 16]).toContain(await findBlock({ executionProviders: ['cpu'], intraOpNumThreads: 1 }));
});

it('finds none where the session cannot be opened', async () => {
  expect(await findBlock({ executionProviders: ['no such provider'] })).toBeUndefined();
});
