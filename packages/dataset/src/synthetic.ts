/**
 * The stand-in for machines without Fashion-MNIST: ten classes of drawn garments in the same shapes.
 *
 * Image `i` of a split is a function of (seed, split, i) alone, so a smaller split is a prefix of a larger one and
 * every machine generates the same bytes.
 */

import { LockstepError } from '@lockstep/core';
import { contentsSha256, type ImageDataset, type Split } from './dataset.ts';
import { CLASS_NAMES, IMAGE_SHAPE } from './fashion-mnist.ts';
import { DRAWINGS } from './garments.ts';
import { Draws } from './random.ts';
import { Canvas } from './raster.ts';

const SIZE = 28;
const PIXELS = SIZE * SIZE;

/** What to generate. The sizes of Fashion-MNIST itself are the defaults. */
export interface SyntheticOptions {
  readonly seed: number;
  readonly numTrain: number;
  readonly numTest: number;
}

export const DEFAULT_SYNTHETIC: SyntheticOptions = { seed: 0, numTrain: 60_000, numTest: 10_000 };

/** Generates the stand-in; all 70,000 images take about a second. `reason` says why it was chosen. */
export function syntheticDataset(
  options: SyntheticOptions = DEFAULT_SYNTHETIC,
  reason = 'asked for',
  notice: string | undefined = undefined,
): ImageDataset {
  const { seed, numTrain, numTest } = options;
  for (const count of [numTrain, numTest]) {
    if (!Number.isSafeInteger(count) || count < 1) {
      throw new LockstepError('usage', `A split of ${count} images cannot be generated`, 'Ask for at least one image.');
    }
  }
  const train = generate(seed, 0, numTrain);
  const test = generate(seed, 1, numTest);
  return {
    name: 'synthetic',
    source: 'generated',
    reason,
    notice,
    checksums: undefined,
    sha256: contentsSha256(train, test),
    imageShape: IMAGE_SHAPE,
    classNames: CLASS_NAMES,
    train,
    test,
  };
}

function generate(seed: number, split: number, count: number): Split {
  const images = new Uint8Array(new SharedArrayBuffer(count * PIXELS));
  const labels = new Uint8Array(new SharedArrayBuffer(count));
  const draws = new Draws();
  const canvas = new Canvas();
  const order = new Uint8Array(10);
  for (let i = 0; i < count; i++) {
    // Every ten images in a row hold each class once, in an order of their own.
    if (i % 10 === 0) shuffle(order, draws, seed, split + 2, i);
    const label = order[i % 10]!;
    labels[i] = label;
    draws.restart(seed, split, i);
    place(canvas, draws, label);
    DRAWINGS[label]!(canvas, draws, draws.chance(0.2) ? draws.between(0.12, 0.4) : draws.between(0.4, 0.95));
    finish(canvas.shades, draws, images, i * PIXELS);
  }
  return { images, labels, count };
}

function shuffle(order: Uint8Array, draws: Draws, seed: number, stream: number, index: number): void {
  draws.restart(seed, stream, index);
  for (let i = 0; i < 10; i++) order[i] = i;
  for (let i = 9; i > 0; i--) {
    const j = draws.below(i + 1);
    const kept = order[i]!;
    order[i] = order[j]!;
    order[j] = kept;
  }
}

/** Size, position, slant and, for what is worn on a foot, sometimes the other foot. */
function place(canvas: Canvas, draws: Draws, label: number): void {
  const footwear = label === 5 || label === 7 || label === 9;
  const scaleY = draws.between(11, 13.6) * (footwear ? draws.between(0.85, 1) : 1);
  const scaleX = draws.between(11, 13.6) * (footwear || label === 8 ? 1 : draws.between(0.8, 1.05));
  const flip = footwear && draws.chance(0.3) ? -1 : 1;
  const slant = draws.around(0, 0.16);
  canvas.restart(14 + draws.around(0, 2.6), 14 + draws.around(0, 2.4), flip * scaleX, scaleY, slant);
}

const rowTone = new Float64Array(SIZE);
const columnTone = new Float64Array(SIZE);

/** Lays pattern, folds, light and noise over a drawn garment and stores it as bytes; the background stays 0. */
function finish(shades: Float32Array, draws: Draws, images: Uint8Array, at: number): void {
  const light = draws.around(0, 0.012);
  for (let i = 0; i < SIZE; i++) {
    rowTone[i] = 1 + light * (i - 14);
    const off = (i - 13.5) / 14;
    columnTone[i] = 1.04 - 0.25 * off * off;
  }
  const pattern = draws.below(10);
  if (pattern === 0 || pattern === 2) stripe(rowTone, draws);
  if (pattern === 1 || pattern === 2) stripe(columnTone, draws);
  const grain = draws.between(0.05, 0.22);
  let noise = 0;
  for (let y = 0, pixel = 0; y < SIZE; y++) {
    const tone = 255 * rowTone[y]!;
    for (let x = 0; x < SIZE; x++, pixel++) {
      const shade = shades[pixel]!;
      if (shade < 0.01) continue;
      noise = noise > 255 ? noise >>> 8 : draws.bits();
      const value = shade * tone * columnTone[x]! * (1 + ((noise & 255) / 255 - 0.5) * grain);
      images[at + pixel] = value < 1 ? 1 : Math.min(value, 255);
    }
  }
}

function stripe(tones: Float64Array, draws: Draws): void {
  const period = draws.between(2, 7);
  const phase = draws.between(0, period);
  const duty = draws.between(0.3, 0.7) * period;
  const tone = draws.between(0.4, 0.85);
  for (let i = 0; i < SIZE; i++) {
    if ((i + phase) % period < duty) tones[i]! *= tone;
  }
}
