/** Samples side by side in one row, untouched: for pages that show them one by one. */
import type { Split } from './dataset.ts';
import { IMAGE_SHAPE } from './fashion-mnist.ts';

const [HEIGHT, WIDTH] = IMAGE_SHAPE;

/** A PNG of 28 x 28 pixels per picture, of the first `count` samples. */
export async function pictureStrip({ images, count: available }: Split, count: number): Promise<Buffer> {
  const { createCanvas } = await import('@napi-rs/canvas');
  const number = Math.min(count, available);
  const canvas = createCanvas(WIDTH * number, HEIGHT);
  const ink = canvas.getContext('2d');
  const pixels = ink.createImageData(WIDTH * number, HEIGHT);
  for (let picture = 0; picture < number; picture++) {
    for (let y = 0; y < HEIGHT; y++) {
      for (let x = 0; x < WIDTH; x++) {
        const value = images[(picture * HEIGHT + y) * WIDTH + x]!;
        pixels.data.set([value, value, value, 255], 4 * (y * WIDTH * number + picture * WIDTH + x));
      }
    }
  }
  ink.putImageData(pixels, 0, 0);
  return canvas.encode('png');
}
