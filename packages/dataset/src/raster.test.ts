import { describe, expect, it } from 'vitest';
import { Canvas } from './raster.ts';

/** A canvas on which garment coordinates are pixels. */
function canvas(slant = 0): Canvas {
  const blank = new Canvas();
  blank.restart(0, 0, 1, 1, slant);
  return blank;
}
const area = (c: Canvas): number => c.shades.reduce((sum, shade) => sum + shade, 0);

describe('Canvas', () => {
  it('covers pixels by their exact share', () => {
    const c = canvas();
    c.box(2.25, 3.5, 5, 6).fill(1);
    expect(c.shades[4 * 28 + 2]).toBeCloseTo(0.75);
    expect(c.shades[3 * 28 + 3]).toBeCloseTo(0.5);
    expect(c.shades[4 * 28 + 4]).toBe(1);
    expect(c.shades[4 * 28 + 5]).toBe(0);
    expect(area(c)).toBeCloseTo(2.75 * 2.5);
  });

  it('covers the area of any outline, whichever way it runs', () => {
    const triangle = canvas();
    triangle.from(1.3, 2.1).to(22.7, 9.4).to(6.2, 25.9).fill(1);
    expect(area(triangle)).toBeCloseTo(0.5 * Math.abs((22.7 - 1.3) * (25.9 - 2.1) - (6.2 - 1.3) * (9.4 - 2.1)), 3);
    const reversed = canvas();
    reversed.from(6.2, 25.9).to(22.7, 9.4).to(1.3, 2.1).fill(1);
    expect(area(reversed)).toBeCloseTo(area(triangle), 4);
  });

  it('cuts off what lies outside, on every side', () => {
    const c = canvas();
    c.box(-50, -50, 80, 80).fill(0.5);
    expect(c.shades.every((shade) => shade === 0.5)).toBe(true);
    const beside = canvas();
    beside.box(40, 2, 60, 9).fill(1);
    beside.box(-9, 2, -2, 9).fill(1);
    beside.box(2, 30, 9, 40).fill(1);
    expect(area(beside)).toBe(0);
  });

  it('keeps the area when slanted, tints what lies beneath, and starts over', () => {
    const c = canvas(0.4);
    c.box(2, 2, 8, 12).fill(1);
    expect(area(c)).toBeCloseTo(60, 3);
    c.box(2, 2, 8, 12).tint(0.5);
    expect(area(c)).toBeGreaterThan(29);
    expect(area(c)).toBeLessThan(33);
    c.restart(0, 0, 1, 1, 0);
    expect(area(c)).toBe(0);
  });
});
