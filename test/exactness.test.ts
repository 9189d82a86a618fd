/** Same bits whoever computes them: real processes, every model of the zoo, awkward sizes. */
import { describe, expect, it } from 'vitest';
import { lockstep, smallDataset } from './lockstep.ts';

const runs: [what: string, args: string[]][] = [
  ['mlp', ['--model', 'mlp', '--limit-train', '3000', '--batch-size', '256']],
  ['mlp with a partial last batch', ['--model', 'mlp', '--limit-train', '3000', '--batch-size', '200']],
  [
    'mlp with shards of unequal size',
    ['--model', 'mlp', '--optimizer', 'adamw', '--limit-train', '1003', '--batch-size', '37', '--clip-norm', '0.5'],
  ],
  [
    'mlp with empty micro-batches',
    ['--model', 'mlp', '--limit-train', '65', '--batch-size', '60', '--optimizer', 'sgd'],
  ],
  ['mlp with many shards', ['--model', 'mlp', '--limit-train', '3000', '--shards', '64', '--batch-size', '512']],
  ['cnn with dropout', ['--model', 'cnn', '--limit-train', '600', '--batch-size', '100']],
  ['resnet with batch normalization', ['--model', 'resnet', '--limit-train', '200', '--batch-size', '64']],
];

const dataDir = smallDataset();

describe('weightsSha256', () => {
  it.each(runs)('is the same for 1, 2, 3 and 5 workers: %s', async (_, args) => {
    const hashes: string[] = [];
    for (const workers of [1, 2, 3, 5]) {
      const fixed = ['--data-dir', dataDir, '--epochs', '2', '--json', '--run-dir', 'run'];
      const { code, events, stderr } = await lockstep(['train', ...args, ...fixed, '--workers', String(workers)]);
      expect(code, stderr).toBe(0);
      hashes.push(events.at(-1).weightsSha256);
    }
    expect(hashes[0]).toMatch(/^[0-9a-f]{64}$/);
    expect(new Set(hashes).size).toBe(1);
  });

  it('depends on the seed', async () => {
    const args = ['train', '--data-dir', dataDir, '--limit-train', '500', '--epochs', '1', '--json'];
    const [first, second] = await Promise.all([0, 1].map((seed) => lockstep([...args, '--seed', String(seed)])));
    expect(first!.events.at(-1).weightsSha256).not.toBe(second!.events.at(-1).weightsSha256);
  });
});
