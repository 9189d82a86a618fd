import { describe, expect, it } from 'vitest';
import { casesOf } from './cases.ts';
import { defaultWorkers, resolveAggregate, resolveBench, resolveEngines } from './options.ts';

describe('defaultWorkers', () => {
  it.each([
    [1, [1]],
    [2, [1, 2]],
    [6, [1, 2, 4, 6]],
    [8, [1, 2, 4, 8]],
    [64, [1, 2, 4, 8]],
  ])('of %i cores', (cores, expected) => {
    expect(defaultWorkers(cores)).toEqual(expected);
  });
});

describe('resolveBench', () => {
  it('reads lists, sorts and leaves out what is there twice', () => {
    const config = resolveBench({
      workers: '4, 1,2,2',
      remote: '0',
      models: 'mlp',
      batchSizes: '64,128',
      wire: 'int8,topk:0.01',
    });
    expect(config).toMatchObject({ workers: [1, 2, 4], remote: [], models: ['mlp'], batchSizes: [64, 128] });
    expect(config.wire).toEqual(['int8', 'topk:0.01']);
  });

  it('is shorter with --quick, but for what was said', () => {
    expect(resolveBench({ quick: true })).toMatchObject({ rounds: 6, seconds: 0.4, scaling: 'strong' });
    expect(resolveBench({ quick: true, rounds: 3, scaling: 'both' })).toMatchObject({ rounds: 3, scaling: 'both' });
    expect(resolveBench({})).toMatchObject({ rounds: 12, seconds: 1, scaling: 'both', remote: [1], engines: ['auto'] });
  });

  it('has a shard for every worker', () => {
    expect(resolveBench({ workers: '1,2' }).shards).toBe(8);
    expect(resolveBench({ workers: '1,12' }).shards).toBe(16);
  });

  it('measures with those who join and nobody else', () => {
    expect(resolveBench({ joined: 3 })).toMatchObject({ workers: [], remote: [], scaling: 'strong' });
  });

  it.each([
    [{ workers: 'two' }, 'workers: "two" is not a whole number from 0 to 256'],
    [{ workers: '' }, 'workers: "" is not'],
    [{ batchSizes: '0' }, 'batchSizes: "0" is not a whole number from 1'],
    [{ remote: '300' }, 'remote: "300"'],
    [{ engines: 'gpu' }, 'engines: "gpu" is none of auto, native, onnx, tensorflow, tfjs'],
    [{ wire: 'fp8' }, 'wire: "fp8" is no format: give fp32, fp16, int8'],
    [{ wire: 'fp32,auto' }, 'wire: "auto" is a choice of format'],
    [{ rounds: 0 }, 'rounds'],
    [{ workers: '0', remote: '0' }, 'nothing to measure'],
    [{ joined: 2, workers: '1' }, '--joined'],
    [{ joined: 2, scaling: 'both' as const }, '--scaling both'],
  ])('refuses %j', (options, message) => {
    expect(() => resolveBench(options)).toThrow(
      expect.objectContaining({ code: 'usage', message: expect.stringContaining(message) }),
    );
  });
});

describe('resolveEngines and resolveAggregate', () => {
  it('have defaults of their own', () => {
    expect(resolveEngines({})).toMatchObject({
      engines: ['native', 'onnx', 'tensorflow', 'tfjs'],
      microBatches: [16, 64, 256],
    });
    expect(resolveEngines({ quick: true }).microBatches).toEqual([64]);
    expect(resolveAggregate({})).toMatchObject({ synthetic: 8, parameters: 1_000_000, rounds: 12 });
  });
});

describe('casesOf', () => {
  const config = { workers: [1, 2, 3], remote: [1], joined: undefined, scaling: 'both', shards: 8 } as const;

  it('grows batch and shards with the workers for weak scaling, and measures one worker once', () => {
    const cases = casesOf(config, 512);
    expect(
      cases.map(({ place, workers, scaling, batchSize, shards }) => [place, workers, scaling, batchSize, shards]),
    ).toEqual([
      ['local', 1, 'strong', 512, 8],
      ['local', 2, 'strong', 512, 8],
      ['local', 2, 'weak', 1024, 16],
      ['local', 3, 'strong', 512, 8],
      ['local', 3, 'weak', 1536, 32],
      ['remote', 1, 'strong', 512, 8],
    ]);
  });

  it('needs the joined workers once', () => {
    const joined = casesOf({ ...config, workers: [], remote: [], joined: 2, scaling: 'weak' }, 512);
    expect(joined).toEqual([{ place: 'joined', workers: 2, scaling: 'weak', batchSize: 1024, shards: 16 }]);
  });
});
