/** What engines are measured with. */
import type { Samples } from '../engine.ts';
import { type Network, numElements } from '../topology/network.ts';

/**
 * Pictures of noise whose left half is black: half of Fashion-MNIST's pixels are, and an engine may leave out zeros.
 * The same ones every time, with labels of all classes.
 */
export function noiseSamples({ inputShape, numClasses }: Network, count: number): Samples {
  const [, width, channels] = inputShape;
  const size = numElements(inputShape);
  const isBlack = (i: number): boolean => 2 * (Math.floor(i / channels!) % width!) < width!;
  return {
    count,
    images: Uint8Array.from({ length: count * size }, (_, i) => (isBlack(i) ? 0 : Math.imul(i, 2_654_435_761) >>> 24)),
    labels: Uint8Array.from({ length: count }, (_, i) => i % numClasses),
  };
}
