import { expect, it } from 'vitest';
import { weigh } from './weigh.ts';

const gpus = [
  { device: 'webgpu', rate: 12_000 },
  { device: 'cuda', rate: 45_678 },
];

it('takes the fastest GPU when it is faster than all threads of the CPU', () => {
  expect(weigh(gpus, 4_000, 8)).toEqual({
    device: 'cuda',
    reason: 'cuda computes 46,000 samples/s of this model, 8 threads of the CPU at most 32,000',
  });
});

it('stays with the CPU when a GPU is no faster, or hardly', () => {
  expect(weigh(gpus, 20_000, 8).device).toBeUndefined();
  expect(weigh(gpus, 45_000, 1)).toMatchObject({ device: undefined, reason: expect.stringContaining('one thread') });
});
