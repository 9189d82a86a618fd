import { describe, expect, it } from 'vitest';
import { philox, purposes, RandomStream } from './random.ts';

const block = (key: [number, number], counter: [number, number, number, number]): string[] => {
  const out = new Uint32Array(4);
  philox(...key, ...counter, out);
  return [...out].map((word) => word.toString(16).padStart(8, '0'));
};

describe('philox', () => {
  it('gives the known answers of the Random123 distribution', () => {
    expect(block([0, 0], [0, 0, 0, 0])).toEqual(['6627e8d5', 'e169c58d', 'bc57ac4c', '9b00dbd8']);
    const ones = 0xffffffff;
    expect(block([ones, ones], [ones, ones, ones, ones])).toEqual(['408f276d', '41c83b0e', 'a20bc7c6', '6d5451fd']);
    expect(block([0xa4093822, 0x299f31d0], [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344])).toEqual([
      'd16cfe09',
      '94fdcceb',
      '5001e420',
      '24126ea1',
    ]);
  });
});

describe('RandomStream', () => {
  const draws = (x: number, y: number, z: number, count = 5000) => {
    const stream = new RandomStream(7, purposes.dropout, x, y, z);
    return Array.from({ length: count }, () => stream.uniform());
  };

  it('depends on every coordinate and on nothing else', () => {
    expect(draws(1, 2, 3)).toEqual(draws(1, 2, 3));
    for (const other of [draws(2, 2, 3), draws(1, 3, 3), draws(1, 2, 4)]) expect(other).not.toEqual(draws(1, 2, 3));
  });

  it('is uniform and normal in its first two moments', () => {
    const uniform = draws(0, 0, 0, 20_000);
    const mean = uniform.reduce((sum, u) => sum + u, 0) / uniform.length;
    expect(mean).toBeCloseTo(0.5, 1.9);
    const stream = new RandomStream(7, purposes.initialization, 0, 0, 0);
    const normal = Array.from({ length: 20_000 }, () => stream.normal());
    expect(normal.reduce((sum, x) => sum + x, 0) / normal.length).toBeCloseTo(0, 1);
    expect(normal.reduce((sum, x) => sum + x * x, 0) / normal.length).toBeCloseTo(1, 1);
  });

  it('draws every integer below the bound and never the bound', () => {
    const stream = new RandomStream(1, purposes.shuffle, 0, 0, 0);
    const seen = new Set(Array.from({ length: 500 }, () => stream.below(7)));
    expect([...seen].sort()).toEqual([0, 1, 2, 3, 4, 5, 6]);
  });
});
