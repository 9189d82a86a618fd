import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createCanvas, loadImage } from '@napi-rs/canvas';
import { describe, expect, it } from 'vitest';
import { writeConfusionMap } from './confusion-map.ts';
import { temporaryFolder } from './testing/files.ts';

const CELL = 62;
const classNames = ['Sneaker', 'Bag', 'Coat'];

async function draw(confusion: number[][], names = classNames) {
  const path = join(await temporaryFolder(), 'a', 'map.png');
  expect(await writeConfusionMap(path, { confusion, classNames: names, title: 'mlp on nothing' })).toBe(path);
  const image = await loadImage(await readFile(path));
  const ink = createCanvas(image.width, image.height).getContext('2d');
  ink.drawImage(image, 0, 0);
  const { data } = ink.getImageData(0, 0, image.width, image.height);
  const at = (x: number, y: number): number[] => [
    ...data.subarray(4 * (y * image.width + x), 4 * (y * image.width + x) + 3),
  ];
  /** Colour of a cell, beside its number. */
  const cell = (row: number, column: number): number[] =>
    at(
      Math.round(image.width - 32 - (names.length - column) * CELL + 6),
      Math.round(image.height - 32 - (names.length - row) * CELL + 6),
    );
  return { width: image.width, height: image.height, at, cell };
}

describe('writeConfusionMap', () => {
  it('has a row for each true and a column for each predicted class', async () => {
    const { cell, at } = await draw([
      [90, 10, 0],
      [0, 50, 50],
      [0, 0, 0],
    ]);
    const white = [255, 255, 255];
    expect(at(2, 2)).toEqual(white);
    for (const [row, column] of [
      [0, 2],
      [1, 0],
      [2, 0],
      [2, 1],
      [2, 2],
    ] as const) {
      expect(cell(row, column)).toEqual(white);
    }
    const [red, , blue] = cell(0, 0) as [number, number, number];
    expect(blue).toBeGreaterThan(red + 80);
    const error = cell(1, 2) as [number, number, number];
    expect(error[0]).toBeGreaterThan(error[2] + 80);
  });

  it('shows larger shares darker, whatever the size of the class', async () => {
    const { cell } = await draw([
      [900, 90, 10],
      [1, 9, 0],
      [30, 30, 40],
    ]);
    const light = (row: number, column: number): number => cell(row, column).reduce((sum, value) => sum + value, 0);
    expect(light(0, 0)).toBe(light(1, 1));
    expect(light(0, 0)).toBeLessThan(light(2, 2));
    expect(light(0, 1)).toBeLessThan(light(0, 2));
    expect(light(0, 2)).toBeLessThan(3 * 255 - 20);
  });

  it('makes room for names', async () => {
    const matrix = [
      [1, 0, 0],
      [0, 1, 0],
      [0, 0, 1],
    ];
    const short = await draw(matrix);
    const long = await draw(matrix, ['a rather long name of a garment', 'b', 'c']);
    expect(long.width).toBeGreaterThan(short.width + 100);
    expect(long.height).toBeGreaterThan(short.height + 100);
  });
});
