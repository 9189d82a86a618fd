import { expect, it } from 'vitest';
import { Curve, MAX_POINTS } from './curve.ts';

const point = (runStep: number) => ({ runStep, loss: runStep, accuracy: 0.5, samplesPerSecond: 10 });
const columns = (...steps: number[]) => ({
  runStep: steps,
  loss: steps.map((step) => -step),
  accuracy: steps.map(() => 0.5),
  samplesPerSecond: steps.map(() => 10),
});

it('takes each step once', () => {
  const curve = new Curve();
  for (const step of [1, 2, 2, 1, 3]) curve.add(point(step));
  expect(curve.columns.runStep).toEqual([1, 2, 3]);
});

it('stays bounded, and keeps its course and its end', () => {
  const curve = new Curve();
  for (let step = 1; step <= 9 * MAX_POINTS; step++) curve.add(point(step));
  const { runStep, loss } = curve.columns;
  expect(curve.length).toBeLessThanOrEqual(MAX_POINTS);
  expect(curve.length).toBeGreaterThan(MAX_POINTS / 3);
  expect(runStep.at(-1)).toBe(9 * MAX_POINTS);
  expect(runStep).toEqual(runStep.toSorted((a, b) => a - b));
  for (const [i, step] of runStep.entries()) expect(Math.abs(loss[i]! - step)).toBeLessThan(32);
});

it('takes a status, and keeps the steps that came after it', () => {
  const curve = new Curve();
  for (const step of [1, 2, 3, 4]) curve.add(point(step));
  curve.replace(columns(1, 3));
  expect(curve.columns.runStep).toEqual([1, 3, 4]);
  expect(curve.columns.loss).toEqual([-1, -3, 4]);
  curve.replace(columns(2, 4, 6));
  expect(curve.columns.runStep).toEqual([2, 4, 6]);
});

it('does not change what it was given', () => {
  const given = columns(1, 2);
  const curve = new Curve();
  curve.replace(given);
  curve.add(point(3));
  expect(given.runStep).toEqual([1, 2]);
});

it('thins what is too long', () => {
  const curve = new Curve();
  curve.replace(columns(...Array.from({ length: 5 * MAX_POINTS + 1 }, (_, i) => i)));
  expect(curve.length).toBeLessThanOrEqual(MAX_POINTS);
  expect(curve.columns.runStep.at(-1)).toBe(5 * MAX_POINTS);
});
