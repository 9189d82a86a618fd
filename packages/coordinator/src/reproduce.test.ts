import { optimizerDefaults } from '@lockstep/core';
import { zoo } from '@lockstep/engine';
import { describe, expect, it } from 'vitest';
import { checkOptions, modelOf, resolveConfig, type TrainOptions } from './config.ts';
import { type ReproducibleRun, reproductionCommand, shellQuoted } from './reproduce.ts';

const published = { name: 'fashion-mnist', source: '/data/fashion', checksums: 'match' } as const;

function commandFor(options: TrainOptions, run: Partial<ReproducibleRun> = {}): string {
  const model = modelOf(options) as keyof typeof zoo;
  const config = resolveConfig(checkOptions(options), (zoo[model] ?? zoo.mlp).recipe);
  return reproductionCommand({ config, dataset: published, engine: 'onnx', runDir: '/runs/a b', ...run });
}
const usual = 'npx lockstep train --model mlp --dataset fashion-mnist --engine onnx';

describe('reproductionCommand', () => {
  it('leaves out what is usual for the model, also when it was said', () => {
    expect(commandFor({})).toBe(usual);
    const { epochs, learningRate, schedule } = zoo.mlp.recipe;
    expect(commandFor({ epochs, learningRate, schedule, seed: 0, shards: 8 })).toBe(usual);
    expect(commandFor({ model: 'cnn', learningRate: zoo.cnn.recipe.learningRate })).not.toContain('--learning-rate');
    expect(commandFor({ model: 'cnn', learningRate: 0.001 })).toContain('--learning-rate 0.001');
    expect(commandFor({ batchSize: 500 })).toBe(`${usual} --batch-size 500`);
    expect(commandFor({ batchSize: 500, learningRate })).toBe(
      `${usual} --batch-size 500 --learning-rate ${learningRate}`,
    );
  });

  it("names a recipe that is not the model's own, and what differs from it", () => {
    const other = `${usual} --recipe cnn`;
    expect(commandFor({ model: 'mlp', recipe: 'cnn' })).toBe(other);
    expect(commandFor({ model: 'mlp', recipe: 'cnn', epochs: zoo.mlp.recipe.epochs })).toBe(`${other} --epochs 10`);
    expect(commandFor({ recipe: 'cnn' })).toBe(`${usual.replace('mlp', 'cnn')} --recipe cnn`);
    expect(commandFor({ recipe: 'quick' })).toBe(`${usual} --recipe quick`);
    expect(commandFor({ recipe: 'quick', epochs: 1 })).toBe(`${usual} --recipe quick --epochs 1`);
    expect(commandFor({ model: 'cnn', recipe: 'quick' })).toBe(`${usual.replace('mlp', 'cnn')} --recipe quick`);
  });

  it('names all that the result depends on', () => {
    const options: TrainOptions = {
      ...{ epochs: 3, batchSize: 100, shards: 16, learningRate: 0.1, schedule: 'constant', warmupSteps: 5, seed: 7 },
      ...{ optimizer: 'sgd', momentum: 0.5, weightDecay: 1e-7, clipNorm: 1, labelSmoothing: 0.1 },
      ...{ shift: 2, erase: 0.25, ema: 0.99, targetAccuracy: 0.75, validation: 100 },
      ...{ limitTrain: 1000, limitTest: 50, device: 'cpu', wire: 'int8', reduction: 'fast' },
    };
    const command = commandFor(options);
    for (const [name, value] of Object.entries(options)) {
      const flag = `--${name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
      expect(command).toContain(` ${flag} ${value}`);
    }
  });

  it('says what is on or off in one word', () => {
    expect(commandFor({ flip: true })).toBe(`${usual} --flip`);
    expect(commandFor({ flip: false })).toBe(usual);
    expect(commandFor({ testFlip: true })).toBe(`${usual} --test-flip`);
  });

  it('leaves out who computes, and where it is seen and kept', () => {
    const options: TrainOptions = {
      ...{ workers: 3, minWorkers: 1, host: '0.0.0.0', port: 7071, token: 'secret-of-this-run', joinTimeout: 5 },
      ...{ logEvery: 9, runDir: 'out', checkpointEvery: 5, keepCheckpoints: 1 },
    };
    expect(commandFor(options)).toBe(usual);
  });

  it('compares with the defaults of the optimizer that it names', () => {
    expect(commandFor({ optimizer: 'sgd' })).toBe(`${usual} --optimizer sgd`);
    expect(commandFor({ optimizer: 'sgd', momentum: 0.9 })).toBe(`${usual} --optimizer sgd`);
    expect(commandFor({ optimizer: 'sgd', momentum: 0 })).toBe(`${usual} --optimizer sgd --momentum 0`);
    expect(commandFor({ optimizer: 'adam' })).toBe(`${usual} --optimizer adam`);
    const { weightDecay } = optimizerDefaults.adam;
    expect(commandFor({ optimizer: 'adam', weightDecay })).toBe(`${usual} --optimizer adam`);
    expect(commandFor({ optimizer: 'adam', weightDecay: 0.1 })).toContain('--weight-decay 0.1');
  });

  it('says where the data is when it is not the published, or was named', () => {
    const named = commandFor({ dataDir: 'x' }, { dataset: { ...published, source: '/my data' } });
    expect(named).toContain("--dataset fashion-mnist --data-dir '/my data' ");
    const other = commandFor({}, { dataset: { ...published, checksums: 'differ' } });
    expect(other).toContain('--data-dir /data/fashion');
    const drawn = commandFor({}, { dataset: { name: 'synthetic', source: 'generated', checksums: undefined } });
    expect(drawn).toBe(usual.replace('fashion-mnist', 'synthetic'));
  });

  it('takes a model of the user from the folder of the run', () => {
    expect(commandFor({ model: 'mine.json' })).toContain("--model '/runs/a b/model.json'");
  });
});

describe('shellQuoted', () => {
  it('quotes what a shell would take apart', () => {
    expect(shellQuoted('/a/b-c_1.json')).toBe('/a/b-c_1.json');
    expect(shellQuoted("it's $HOME `x`")).toBe("'it'\\''s $HOME `x`'");
    expect(shellQuoted('')).toBe("''");
    expect(shellQuoted('~/x')).toBe("'~/x'");
  });
});
