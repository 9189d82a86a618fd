import { describe, expect, it } from 'vitest';
import { drawHeldOut } from './hold-out.ts';

/** Classes of 500, 300, 150 and 50 samples, in a fixed disorder. */
const labels = Uint8Array.from({ length: 1000 }, (_, i) => {
  const place = (i * 387) % 1000;
  return place < 500 ? 0 : place < 800 ? 1 : place < 950 ? 2 : 3;
});

describe('drawHeldOut', () => {
  it('draws each sample once at most, and of each class its share', () => {
    const drawn = drawHeldOut(labels, 100, 1);
    expect(new Set(drawn).size).toBe(100);
    expect([...drawn].every((sample, i) => i === 0 || sample > drawn[i - 1]!)).toBe(true);
    const counts = [50, 30, 15, 5].map((share, label) => {
      return [...drawn].filter((sample) => labels[sample] === label).length - share;
    });
    expect(Math.max(...counts.map(Math.abs))).toBeLessThanOrEqual(1);
  });

  it('depends on the seed, and on nothing else', () => {
    expect(drawHeldOut(labels, 100, 1)).toEqual(drawHeldOut(labels, 100, 1));
    const [one, other] = [drawHeldOut(labels, 100, 1), new Set(drawHeldOut(labels, 100, 2))];
    expect([...one].filter((sample) => other.has(sample)).length).toBeLessThan(30);
  });

  it('draws all, or nothing', () => {
    expect(drawHeldOut(labels, 1000, 1)).toEqual(Uint32Array.from(labels, (_, i) => i));
    expect(drawHeldOut(labels, 0, 1)).toEqual(new Uint32Array(0));
  });
});
