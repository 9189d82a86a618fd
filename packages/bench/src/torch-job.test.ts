import { loadModel } from '@lockstep/coordinator';
import { learningRateAt } from '@lockstep/core';
import { defaultRecipe, zoo } from '@lockstep/engine';
import { expect, it } from 'vitest';
import { torchJob } from './torch-job.ts';

const data = { folder: 'somewhere', numTrain: 1000 };

it('is the recipe, with what was said in its place', async () => {
  const model = await loadModel('cnn');
  const { recipe } = zoo.cnn;
  const job = torchJob(model, { model: 'cnn', seed: 3, epochs: 2, limitTest: 50 }, data);
  const { optimizer, learningRates, network, ...rest } = job;
  const { batchSize, labelSmoothing, flip, shift, erase, ema, testFlip, testShift } = recipe;
  expect(rest).toEqual({
    dataDir: 'somewhere',
    limitTrain: null,
    limitTest: 50,
    seed: 3,
    epochs: 2,
    batchSize,
    labelSmoothing,
    flip,
    shift,
    erase,
    ema,
    testFlip,
    testShift,
  });
  expect(optimizer).toMatchObject({ name: recipe.optimizer, weightDecay: recipe.weightDecay });
  expect(network.parameters).toHaveLength(model.network.layout.parameters.length);
});

it('knows every field of a recipe: one that it does not would be left out in silence', async () => {
  // Those that the learning rates and the optimizer are made of, beside those of the job.
  const known = new Set(['learningRate', 'schedule', 'warmupSteps', 'momentum', 'weightDecay']);
  const job = torchJob(await loadModel('mlp'), { model: 'mlp' }, data);
  for (const field of Object.keys(job)) known.add(field);
  expect(job.optimizer.momentum).toBe(zoo.mlp.recipe.momentum);
  expect(Object.keys(defaultRecipe).filter((field) => !known.has(field))).toEqual([]);
});

it('has the learning rate of every step, the last and smaller one of an epoch too', async () => {
  const model = await loadModel('mlp');
  const options = { model: 'mlp', batchSize: 128, limitTrain: 300, epochs: 2, warmupSteps: 2 };
  const schedule = { schedule: 'cosine', learningRate: 0.1 } as const;
  const { learningRates } = torchJob(model, { ...options, ...schedule }, data);
  const plan = { name: 'cosine', learningRate: 0.1, warmupSteps: 2, totalSteps: 6 } as const;
  expect(learningRates).toEqual([0, 1, 2, 3, 4, 5].map((step) => learningRateAt(plan, step)));
});

it('is plain data', async () => {
  const job = torchJob(await loadModel('resnet'), { model: 'resnet' }, data);
  const again = JSON.parse(JSON.stringify(job));
  // Fields that are undefined are absent, and nothing else changes.
  expect(again).toEqual(job);
});
