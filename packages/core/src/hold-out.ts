/** Which training samples are kept back for validation. */
import { purposes, RandomStream } from './random.ts';

/**
 * Draws samples by seed, stratified: of each class its share of all samples, give or take one.
 * @param labels class of each sample
 * @param count how many to draw, at most `labels.length`
 * @returns their indices, ascending
 */
export function drawHeldOut(labels: Uint8Array, count: number, seed: number): Uint32Array {
  const order = Uint32Array.from(labels, (_, i) => i);
  new RandomStream(seed, purposes.validation, 0, 0, 0).shuffle(order);
  // Sorting is stable, so samples of a class stay in random order; then every so many samples one is taken.
  order.sort((a, b) => labels[a]! - labels[b]!);
  const drawn = Uint32Array.from({ length: count }, (_, i) => order[Math.floor(((i + 0.5) * order.length) / count)]!);
  return drawn.sort();
}
