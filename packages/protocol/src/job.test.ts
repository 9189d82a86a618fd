import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { describeJob, type JobDescription, type JobText, layoutHash, parseJob } from './job.ts';
import { PROTOCOL_VERSION } from './version.ts';

const digest = 'ab'.repeat(32);
const job: Omit<JobDescription, 'protocol'> = {
  topology: { class_name: 'Sequential', config: { name: 'größe 👗', layers: [] } },
  labelSmoothing: 0.1,
  augmentation: { flip: true, shift: 2, erase: 0.25 },
  reduction: 'fast',
  seed: 2 ** 32 - 1,
  numSamples: 1000,
  numShards: 2,
  batchSize: 64,
  partitions: [digest, digest],
};

const sha256 = (text: string): string => createHash('sha256').update(text, 'utf8').digest('hex');
/** A job whose hash is right, whatever its text. */
const hashed = (text: string): JobText => ({ text, hash: sha256(text) });
const changed = (change: object): JobText => hashed(JSON.stringify({ protocol: PROTOCOL_VERSION, ...job, ...change }));

describe('the text of a job', () => {
  it('comes back as the job it describes', () => {
    expect(parseJob(describeJob(job))).toEqual({ protocol: PROTOCOL_VERSION, ...job });
  });

  it('may do without what it does not use', () => {
    const { augmentation: _, reduction: __, ...plain } = job;
    expect(parseJob(describeJob(plain))).toEqual({ protocol: PROTOCOL_VERSION, ...plain, reduction: 'exact' });
  });

  it('has the SHA-256 of its UTF-8 as its hash, always the same', () => {
    const { text, hash } = describeJob(job);
    expect(hash).toBe(sha256(text));
    expect(describeJob(structuredClone(job))).toEqual({ text, hash });
  });

  it('may be written in any way, as long as the hash is that of the text', () => {
    const spacious = JSON.stringify({ ...job, protocol: PROTOCOL_VERSION, later: true }, undefined, 2);
    expect(parseJob(hashed(spacious))).toEqual({ protocol: PROTOCOL_VERSION, ...job });
  });

  it('is refused when it, or its hash, was tampered with', () => {
    const { text, hash } = describeJob(job);
    expect(() => parseJob({ text: text.replace('1000', '1001'), hash })).toThrow('does not match its hash');
    expect(() => parseJob({ text: `${text} `, hash })).toThrow('does not match its hash');
    expect(() => parseJob({ text, hash: hash.replace(/^./, (digit) => (digit === '0' ? '1' : '0')) })).toThrow(
      'does not match its hash',
    );
  });

  it.each(['', '{', 'job', '{"protocol":1,}'])('is refused with a reason when it is no JSON: %j', (text) => {
    expect(() => parseJob(hashed(text))).toThrow(/^the job is not JSON: .+/);
  });

  it.each([
    ['another version', { protocol: PROTOCOL_VERSION + 1 }, 'protocol'],
    ['no topology', { topology: undefined }, 'topology'],
    ['no seed', { seed: undefined }, 'seed'],
    ['a seed of 33 bits', { seed: 2 ** 32 }, 'seed'],
    ['no samples', { numSamples: 0 }, 'numSamples'],
    ['labels smoothed away', { labelSmoothing: 1 }, 'labelSmoothing'],
    ['half an augmentation', { augmentation: { flip: true } }, 'augmentation.shift'],
    ['more than everything erased', { augmentation: { flip: true, shift: 0, erase: 1.5 } }, 'augmentation.erase'],
    ['a number of shards that is no power of two', { numShards: 3, partitions: Array(3).fill(digest) }, 'numShards'],
    ['too many shards', { numShards: 8192, batchSize: 8192, partitions: Array(8192).fill(digest) }, 'numShards'],
    ['fewer samples a step than shards', { batchSize: 1 }, 'batchSize'],
    ['a partition too few', { partitions: [digest] }, 'partitions'],
    ['a partition too many', { partitions: [digest, digest, digest] }, 'partitions'],
    ['a partition without a SHA-256', { partitions: [digest, 'abc'] }, 'partitions'],
  ])('is refused with a reason when it has %s', (_, change, field) => {
    expect(() => parseJob(changed(change))).toThrow(new RegExp(`^the job is not valid: [^]*→ at ${field}`));
  });

  it.each(['null', '[]', '"job"', '1'])('is refused with a reason when it is %s', (text) => {
    expect(() => parseJob(hashed(text))).toThrow('the job is not valid');
  });
});

describe('the hash of a layout', () => {
  const kernel = { name: 'dense/kernel', shape: [3, 2], kind: 'weight' };
  const bias = { name: 'dense/bias', shape: [2], kind: 'weight' };
  const mean = { name: 'norm/moving_mean', shape: [2], kind: 'statistic' };
  const layout = [kernel, bias, mean];

  it('is the SHA-256 of the names, shapes and kinds as JSON', () => {
    expect(layoutHash(layout)).toBe(
      sha256('[["dense/kernel",[3,2],"weight"],["dense/bias",[2],"weight"],["norm/moving_mean",[2],"statistic"]]'),
    );
  });

  it('does not depend on anything else of a parameter', () => {
    expect(layoutHash(layout.map((parameter, i) => ({ ...parameter, offset: i, decays: true })))).toBe(
      layoutHash(layout),
    );
  });

  it('differs with every change of name, shape, kind, order and number', () => {
    const others = [
      [{ ...kernel, name: 'dense_1/kernel' }, bias, mean],
      [{ ...kernel, shape: [2, 3] }, bias, mean],
      [{ ...kernel, shape: [6] }, bias, mean],
      [{ ...kernel, shape: [3, 2, 1] }, bias, mean],
      [kernel, { ...bias, kind: 'statistic' }, mean],
      [bias, kernel, mean],
      [kernel, mean, bias],
      [kernel, bias],
      [kernel, bias, mean, mean],
      [],
    ];
    const hashes = [layout, ...others].map(layoutHash);
    expect(new Set(hashes).size).toBe(hashes.length);
  });
});
