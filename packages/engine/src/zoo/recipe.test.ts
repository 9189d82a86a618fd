import type { OptimizerName } from '@lockstep/core';
import { describe, expect, it } from 'vitest';
import { defaultRecipe, learningRateFor } from './recipe.ts';
import { recipeNames, recipes, zooNames } from './recipes.ts';

describe('learningRateFor', () => {
  const { batchSize, learningRate } = defaultRecipe;

  it("is the recipe's at its own batch size", () => {
    expect(learningRateFor(defaultRecipe, 'adam', batchSize)).toBe(learningRate);
    expect(learningRateFor({ ...defaultRecipe, optimizer: 'sgd' }, 'sgd', batchSize)).toBe(learningRate);
  });

  it('grows in proportion for sgd, by the square root for the others', () => {
    const rate = (optimizer: OptimizerName, factor: number): number =>
      learningRateFor(defaultRecipe, optimizer, batchSize * factor) /
      learningRateFor(defaultRecipe, optimizer, batchSize);
    expect(rate('sgd', 16)).toBeCloseTo(16, 12);
    expect(rate('adam', 16)).toBeCloseTo(4, 12);
    expect(rate('adamw', 1 / 4)).toBeCloseTo(1 / 2, 12);
  });

  it('is far higher for sgd than a recipe for another optimizer has it', () => {
    expect(learningRateFor(defaultRecipe, 'muon', batchSize)).toBe(learningRate);
    expect(learningRateFor(defaultRecipe, 'sgd', batchSize)).toBeGreaterThan(10 * learningRate);
  });
});

describe('recipes', () => {
  it('have one for each model, under its name', () => {
    expect(recipeNames).toEqual(expect.arrayContaining(zooNames));
    expect(zooNames.map((name) => recipes[name].model)).toEqual(zooNames);
  });
});
