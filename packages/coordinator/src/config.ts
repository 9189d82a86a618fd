/** Every setting of a training run, once: the schema gives its type, its default, its check and its line of help. */
import { LockstepError, optimizerDefaults, optimizerNames, scheduleNames } from '@lockstep/core';
import { defaultRecipe, learningRateFor, type Recipe, recipeNames, recipes, type Views } from '@lockstep/engine';
import { engineOptions } from '@lockstep/worker';
import { z } from 'zod';
import { checkWire, wireSetting } from './wire-choice.ts';

const positive = z.int().positive();
const rate = z.number().positive();

/** Settings about where samples come from; shared by several commands. */
export const dataOptions = {
  dataset: z
    .enum(['auto', 'fashion-mnist', 'synthetic'])
    .default('auto')
    .describe('which data; auto takes Fashion-MNIST, or the synthetic stand-in when it cannot be had'),
  dataDir: z.string().min(1).optional().describe('folder with the four Fashion-MNIST files (.gz or plain)'),
};

/** Which saved run; shared by the commands that use one. */
export const runOption = z.string().min(1).default('latest').describe('folder of a run, or latest');

const testShift = z.int().min(0).max(27, 'a picture of 28 pixels can be moved by 27 at most').optional();

/** Shared by the commands that use a run: by default as it was evaluated when it was trained. */
export const viewOptions = {
  testFlip: z
    .boolean()
    .optional()
    .describe('mean over each picture and its mirror image (default: as the run was evaluated when it was trained)'),
  testShift: testShift.describe('mean over these in place and moved by so many pixels, diagonally (default: likewise)'),
};

/** Settings about other machines that take part. */
const remoteOptions = {
  minWorkers: positive.max(4096).default(1).describe('workers without which no step begins; the local one counts'),
  joinTimeout: z.number().positive().default(900).describe('seconds to wait for them before the run ends'),
  host: z.string().min(1).default('127.0.0.1').describe('address to listen on; 0.0.0.0: reachable from other machines'),
  port: z
    .int()
    .min(0)
    .max(65_535)
    .optional()
    .describe('port to listen on (default: 7070, or a free one; 0: a free one)'),
  token: z
    .string()
    .optional()
    .describe('secret that workers show (or LOCKSTEP_TOKEN; beyond loopback one is made when none is given)'),
  tlsCert: z.string().min(1).optional().describe('certificate in PEM: workers then join by wss'),
  tlsKey: z.string().min(1).optional().describe('its private key in PEM'),
};

export const trainOptions = z.strictObject({
  model: z
    .string()
    .min(1)
    .optional()
    .describe(
      'mlp, cnn, resnet, resnet-fine, or the path of a Keras or tf.js model.json (default: that of --recipe, or mlp)',
    ),
  recipe: z
    .enum(recipeNames)
    .optional()
    .describe('settings by name: those of mlp, cnn, resnet or resnet-fine; quick: mlp in 2 epochs; best: resnet-fine'),
  ...dataOptions,
  epochs: positive.optional().describe('passes over the training set'),
  batchSize: positive.optional().describe('samples per step, over all shards'),
  shards: positive
    .max(4096)
    .default(8)
    .describe('shards of the data, a power of two; part of the result, unlike workers'),
  optimizer: z
    .enum(optimizerNames)
    .optional()
    .describe('update rule; muon takes as long for small batches as for large'),
  learningRate: rate
    .optional()
    .describe("peak learning rate (default: the recipe's, adapted to the batch size; sgd has its own)"),
  schedule: z.enum(scheduleNames).optional().describe('how the learning rate goes on from its peak'),
  warmupSteps: z.int().nonnegative().optional().describe('steps over which the learning rate rises to its peak'),
  momentum: z
    .number()
    .min(0)
    .lt(1)
    .optional()
    .describe("momentum of sgd and muon (default: the recipe's, or 0.9; Nesterov)"),
  weightDecay: z.number().nonnegative().optional().describe('decoupled weight decay on kernels'),
  clipNorm: rate.optional().describe('upper bound for the norm of the gradient'),
  labelSmoothing: z.number().min(0).lt(1).optional().describe('share of the target spread over all classes'),
  flip: z.boolean().optional().describe('mirror training pictures left to right, every other epoch'),
  shift: z
    .int()
    .min(0)
    .max(27, 'a picture of 28 pixels can be moved by 27 at most')
    .optional()
    .describe('move training pictures at random by up to so many pixels in each direction'),
  erase: z
    .number()
    .min(0)
    .max(1, 'a probability is at most 1')
    .optional()
    .describe('probability with which a random rectangle of a training picture is overwritten with noise'),
  ema: z
    .number()
    .min(0)
    .lt(1, 'a decay is below 1; 0.999 averages over about the last thousand steps')
    .optional()
    .describe('decay of a moving average of the weights, which is then the result (0: none)'),
  testFlip: z
    .boolean()
    .optional()
    .describe('evaluate on the mean over each picture and its mirror image, now and whenever the run is used'),
  testShift: testShift.describe('and over these in place and moved by so many pixels up-left and down-right (0: not)'),
  targetAccuracy: z
    .number()
    .gt(0, 'a share above 0, such as 0.9')
    .max(1, 'a share of at most 1, such as 0.9')
    .optional()
    .describe(
      'stop after the first epoch with this test (or validation) accuracy; schedules are laid out for --epochs all the same',
    ),
  validation: z
    .int()
    .nonnegative()
    .default(0)
    .describe(
      'training pictures to hold out and evaluate in place of the test pictures, which then come once, at the end',
    ),
  seed: z
    .int()
    .min(0)
    .max(2 ** 32 - 1)
    .default(0)
    .describe('seed of everything random'),
  wire: wireSetting
    .default('fp32')
    .describe(
      'how gradients and changes of the weights are rounded for the way: fp32, fp16 or int8; part of the result, like the seed; auto tries these with the remote workers and keeps the fastest; topk:0.01, with --reduction fast: a worker sends the largest hundredth of its gradients, keeps the rest for later steps, and what it keeps is lost when it leaves',
    )
    .meta({ placeholder: 'format' }),
  reduction: z
    .enum(['exact', 'fast'])
    .default('exact')
    .describe(
      'fast: a worker computes its shards together, for big GPUs; the last bits then depend on who computed what',
    ),
  workers: z
    .int()
    .min(0)
    .max(256)
    .optional()
    .describe('local worker threads (default: one per core; 0: only remote workers compute gradients)'),
  ...engineOptions,
  ...remoteOptions,
  limitTrain: positive.optional().describe('train on the first N samples only'),
  limitTest: positive.optional().describe('evaluate on the first N samples only'),
  logEvery: z.int().nonnegative().default(0).describe('report every Nth step (0: none)'),
  trace: z
    .string()
    .min(1)
    .optional()
    .describe('write a Chrome trace of every step on every worker (ui.perfetto.dev shows it)'),
  runDir: z.string().min(1).optional().describe('where to save the run (default: runs/<time>-<model>)'),
  checkpointEvery: z
    .int()
    .nonnegative()
    .default(0)
    .describe('save a checkpoint every Nth step too, not only after epochs, of short ones once a second (0: no)'),
  keepCheckpoints: positive.default(3).describe('how many checkpoints to keep'),
  resume: z
    .string()
    .min(1)
    .optional()
    .describe('go on with an unfinished run: its folder, or latest; the recipe is the one it began with'),
});

/** What a caller may say. */
export type TrainOptions = z.input<typeof trainOptions>;

/** Checked options, with the model's recipe where nothing was said. */
export type TrainConfig = ReturnType<typeof resolveConfig>;

/**
 * What may differ between the two parts of a resumed run, since the result does not depend on it (but for the kind of
 * engine, which the checkpoints hold it to).
 */
export const RESUMABLE: readonly (keyof TrainOptions)[] = [
  'workers',
  ...(Object.keys(engineOptions) as (keyof typeof engineOptions)[]),
  ...(Object.keys(remoteOptions) as (keyof typeof remoteOptions)[]),
  'dataDir',
  'trace',
  'logEvery',
  'checkpointEvery',
  'keepCheckpoints',
];

/**
 * The configuration of a resumed run: the saved one, with the given options where they do not matter to the result.
 * @param saved as {@link resolveConfig} made it
 * @throws LockstepError `usage` when an option is given that does matter
 */
export function resumeConfig(options: TrainOptions, saved: TrainConfig): TrainConfig {
  const { resume: _, ...given } = options;
  const fixed = Object.keys(given).filter((key) => !RESUMABLE.includes(key as keyof TrainOptions));
  if (fixed.length > 0) {
    throw new LockstepError(
      'usage',
      `With --resume the run keeps its own ${fixed.join(', ')}.`,
      `Leave that out; what may be given is ${RESUMABLE.join(', ')}.`,
    );
  }
  const checked = checkOptions(given);
  const chosen = Object.keys(given).map((key) => [key, checked[key as keyof typeof checked]]);
  // Defaults first: a run of an earlier version did not save every option.
  return { ...resolveConfig(checked, defaultRecipe), ...saved, ...Object.fromEntries(chosen) };
}

/** Turns the first issues of a failed check into one sentence each. */
function explain(error: z.ZodError): string {
  return error.issues.map((issue) => `${issue.path.join('.') || 'options'}: ${issue.message}`).join('; ');
}

/** @param command whose options they are @throws LockstepError `usage` that names the option */
export function checkAgainst<Schema extends z.ZodType>(
  schema: Schema,
  options: z.input<Schema>,
  command: string,
): z.output<Schema> {
  const parsed = schema.safeParse(options);
  if (!parsed.success) {
    throw new LockstepError('usage', `Invalid options: ${explain(parsed.error)}.`, `See lockstep ${command} --help.`);
  }
  return parsed.data;
}

/** @throws LockstepError `usage` that names the option */
export function checkOptions(options: TrainOptions): z.output<typeof trainOptions> {
  const checked = checkAgainst(trainOptions, options, 'train');
  checkWire(checked);
  return checked;
}

/** A configuration but for how to reach the run, which is kept apart from it and not for everybody's eyes. */
export const withoutAccess = ({ token: _, port: __, ...config }: TrainConfig): Omit<TrainConfig, 'token' | 'port'> =>
  config;

/** The model that options ask for. */
export const modelOf = ({ model, recipe = 'mlp' }: Pick<TrainOptions, 'model' | 'recipe'>): string =>
  model ?? recipes[recipe].model;

/** The settings that options ask for. @param own the model's */
export const recipeOf = ({ recipe }: Pick<TrainOptions, 'recipe'>, own: Recipe): Recipe =>
  recipe === undefined ? own : recipes[recipe].recipe;

/** What evaluation looks at. */
export const viewsOf = ({ testFlip, testShift }: Pick<TrainConfig, 'testFlip' | 'testShift'>): Views => ({
  flip: testFlip,
  shift: testShift,
});

/** Fills in what the recipe decides. @param own the model's, unless another one is asked for */
export function resolveConfig(options: z.output<typeof trainOptions>, own: Recipe) {
  const recipe = recipeOf(options, own);
  const optimizer = options.optimizer ?? recipe.optimizer;
  const defaults = optimizerDefaults[optimizer];
  const suited = optimizer === recipe.optimizer ? recipe : undefined;
  const batchSize = options.batchSize ?? recipe.batchSize;
  return {
    ...options,
    model: modelOf(options),
    epochs: options.epochs ?? recipe.epochs,
    batchSize,
    learningRate: options.learningRate ?? learningRateFor(recipe, optimizer, batchSize),
    schedule: options.schedule ?? recipe.schedule,
    warmupSteps: options.warmupSteps ?? recipe.warmupSteps,
    labelSmoothing: options.labelSmoothing ?? recipe.labelSmoothing,
    flip: options.flip ?? recipe.flip,
    shift: options.shift ?? recipe.shift,
    erase: options.erase ?? recipe.erase,
    ema: options.ema ?? recipe.ema,
    testFlip: options.testFlip ?? recipe.testFlip,
    testShift: options.testShift ?? recipe.testShift,
    optimizer: {
      ...defaults,
      momentum: options.momentum ?? suited?.momentum ?? defaults.momentum,
      weightDecay: options.weightDecay ?? suited?.weightDecay ?? defaults.weightDecay,
    },
  };
}
