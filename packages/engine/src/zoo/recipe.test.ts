import { describe, expect, it } from 'vitest';
import { defaultRecipe, learningRateFor } from './recipe.ts';
import { recipeNames, recipes, zooNames } from './recipes.ts';

describe('learningRateFor', () => {
  const { batchSize, learningRate } = defaultRecipe;

  it("is the recipe's at its own batch size", () => {
    expect(learningRateFor(defaultRecipe, 'adam', batchSize)).toBe(learningRate);
    expect(learningRateFor(defaultRecipe, 'sgd', batchSize)).toBe(learningRate);
  });

  it('grows in proportion for sgd, by the square root for the others', () => {
    expect(learningRateFor(defaultRecipe, 'sgd', batchSize * 16)).toBeCloseTo(learningRate * 16, 12);
    expect(learningRateFor(defaultRecipe, 'adam', batchSize * 16)).toBeCloseTo(learningRate * 4, 12);
    expect(learningRateFor(defaultRecipe, 'adamw', batchSize / 4)).toBeCloseTo(learningRate / 2, 12);
  });
});

describe('recipes', () => {
  it('have one for each model, under its name', () => {
    expect(recipeNames).toEqual(expect.arrayContaining(zooNames));
    expect(zooNames.map((name) => recipes[name].model)).toEqual(zooNames);
  });
});
