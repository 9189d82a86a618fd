/** Numbers and sentences as people read them. */
import type { EpochEvent, ModelEvent, RunStatus } from '@lockstep/protocol';
import { describe, expect, it } from 'vitest';
import { bytes, duration, milliseconds, percent, plural, rate } from './format.ts';
import * as sentences from './sentences.ts';

const plain = (text: string | undefined): string | undefined => text?.replaceAll('\u00a0', ' ');

it.each([
  [percent(0.88224), '88.22 %'],
  [rate(141_930.7), '141,931'],
  [rate(3.456), '3.46'],
  [plural(1, 'thread'), '1 thread'],
  [plural(1200, 'thread'), '1,200 threads'],
  [duration(0.4), '0 s'],
  [duration(59.6), '1 min 00 s'],
  [duration(125), '2 min 05 s'],
  [duration(3 * 3600 + 12 * 60 + 50), '3 h 12 min'],
  [duration(2 * 86_400 + 3 * 3600), '2 d 3 h'],
  [milliseconds(0), '0 ms'],
  [milliseconds(1.234), '1.23 ms'],
  [milliseconds(12.34), '12.3 ms'],
  [milliseconds(123.4), '123 ms'],
  [milliseconds(1234), '1.23 s'],
  [milliseconds(75_000), '1 min 15 s'],
  [bytes(0), '0 B'],
  [bytes(1999), '2 kB'],
  [bytes(1_620_000_000), '1.62 GB'],
])('writes %s', (written, expected) => expect(plain(written)).toBe(expected));

describe('where a run is', () => {
  const model = { epochs: 10, stepsPerEpoch: 118 } as ModelEvent;
  const at = (runStep: number, epoch: number): string | undefined =>
    plain(sentences.position({ model, runStep, epoch, totalSteps: 1180 } as RunStatus));
  it.each([
    [at(0, 0), 'epoch 1 of 10, step 0 of 118'],
    [at(118, 1), 'epoch 1 of 10, step 118 of 118'],
    [at(119, 2), 'epoch 2 of 10, step 1 of 118'],
    [at(1180, 10), 'all 10 epochs done'],
  ])('%s', (said, expected) => expect(said).toBe(expected));
});

describe('latestAccuracy', () => {
  it('is of the last epoch, and in the end of the test pictures', () => {
    const epoch = { epoch: 7, testLoss: 0.33, testAccuracy: 0.88 } as EpochEvent;
    const held = { ...epoch, evaluatedOn: 'validation' } as const;
    const result = { testLoss: 0.3, testAccuracy: 0.9 };
    expect(sentences.latestAccuracy({ epochs: [] })).toBe(undefined);
    expect(sentences.latestAccuracy({ epochs: [epoch] })).toEqual({ split: 'test', accuracy: 0.88 });
    expect(sentences.latestAccuracy({ epochs: [held] })).toEqual({ split: 'validation', accuracy: 0.88 });
    expect(sentences.latestAccuracy({ epochs: [held], result })).toEqual({ split: 'test', accuracy: 0.9 });
  });
});

describe('what a picture says', () => {
  const epochs = [{ epoch: 7, testLoss: 0.33, testAccuracy: 0.882 } as EpochEvent];
  const falling = Array.from({ length: 100 }, (_, i) => 1 - i / 200);

  it('of curves', () => {
    expect(sentences.lossSentence([], [])).toBe('No step yet.');
    expect(sentences.lossSentence(falling, epochs)).toMatch(
      /^Training loss 0\.5\d+, falling; test loss 0\.3300 after epoch 7\.$/,
    );
    expect(plain(sentences.accuracySentence([0.5], epochs))).toBe(
      'Training accuracy 50.0 %; test accuracy 88.20 % after epoch 7.',
    );
    expect(sentences.throughputSentence([0, 100, 120, 140])).toBe('140 samples per second; so far mostly 100 to 120.');
  });

  it('of predictions', () => {
    const confusion = [
      [8, 2],
      [1, 9],
    ];
    const before = { epoch: 1, confusion, pictures: [{ label: 0, predicted: 1 }] };
    const now = { epoch: 2, confusion, pictures: [{ label: 0, predicted: 0 }] };
    expect(sentences.confusionSentence(now, ['Shirt', 'Coat'])).toBe(
      '17 of 20 pictures are named right after epoch 2. The most frequent mistake: Shirt taken for Coat (2 times).',
    );
    expect(sentences.picturesSentence(now, undefined)).toBe('1 of 1 right after epoch 2.');
    expect(sentences.picturesSentence(now, before)).toBe(
      '1 of 1 right after epoch 2, 1 named otherwise than after epoch 1.',
    );
  });

  it('of views, where only the last epoch has them', () => {
    const [epoch] = epochs as [EpochEvent];
    expect(sentences.viewsSentence([epoch, epoch])).toBe(undefined);
    expect(sentences.viewsSentence([{ ...epoch, plain: true }, epoch])).toMatch(
      /^The last epoch is measured by the mean/,
    );
  });

  it('of reasons, known or not', () => {
    expect(sentences.refusalWords('version')).toBe('other version of the protocol');
    expect(sentences.refusalWords('not-found yetHere')).toBe('not found yet here');
    expect(sentences.reassignmentWords('late')).toBe('no answer in time');
  });
});
