/** Every setting of a benchmark, once: the schema gives its type, its default, its check and its line of help. */
import { availableParallelism } from 'node:os';
import { dataOptions, trainOptions, wireSetting } from '@lockstep/coordinator';
import { LockstepError } from '@lockstep/core';
import { engineKinds, isDeviceName } from '@lockstep/engine';
import { z } from 'zod';

/** Most workers that are measured unless asked for. */
const MAX_DEFAULT_WORKERS = 8;
const MAX_WORKERS = 256;

const commaList = <Output>(item: z.ZodType<Output, string>) =>
  z
    .string()
    .transform((text) => text.split(',').map((part) => part.trim()))
    .pipe(z.array(item).min(1))
    .transform((items) => [...new Set(items)]);

const integerIn = (least: number, most: number) =>
  z.string().transform((text, context): number => {
    const value = Number(text);
    if (text !== '' && Number.isInteger(value) && value >= least && value <= most) return value;
    context.addIssue({ code: 'custom', message: `"${text}" is not a whole number from ${least} to ${most}` });
    return z.NEVER;
  });

/** Numbers of workers, ascending; 0 stands for none and leaves an empty list. */
const workerCounts = commaList(integerIn(0, MAX_WORKERS)).transform((counts) =>
  counts.filter((count) => count > 0).sort((a, b) => a - b),
);

const models = commaList(z.string().min(1, 'a name is missing'));
const batchSizes = commaList(integerIn(1, 1e6));
const oneOf = <Name extends string>(...names: readonly Name[]) =>
  z.string().transform((text, context): Name => {
    const found = names.find((name) => name === text);
    if (found !== undefined) return found;
    context.addIssue({ code: 'custom', message: `"${text}" is none of ${names.join(', ')}` });
    return z.NEVER;
  });

/** How a list is shown in the help. */
const LIST = { placeholder: 'list' };

/** Settings that all benchmarks have. */
const common = {
  rounds: z.int().min(1).max(1000).optional().describe('timed blocks of each subject (default: 12; with --quick 6)'),
  seconds: z
    .number()
    .positive()
    .max(600)
    .optional()
    .describe('wanted length of a block (default: 1; with --quick 0.4)'),
  quick: z.boolean().default(false).describe('fewer and shorter blocks: less than a minute'),
  baseline: z
    .string()
    .min(1)
    .optional()
    .describe('compare with the bench.json of an earlier run; exit 1 when something became slower beyond noise')
    .meta({ placeholder: 'file' }),
  tolerance: z
    .number()
    .min(0)
    .lt(1)
    .default(0.05)
    .describe('with --baseline: slower by less than this share, beyond the intervals, is no regression'),
  out: z
    .string()
    .min(1)
    .optional()
    .describe('folder to write; must not exist (default: bench-<time>)')
    .meta({ placeholder: 'folder' }),
};

const { host, port, token, joinTimeout } = trainOptions.shape;

export const benchOptions = z.strictObject({
  models: models.optional().describe('models or model.json files, separated by commas (default: mlp,cnn)').meta(LIST),
  workers: workerCounts
    .optional()
    .describe(
      `numbers of local threads (default: powers of two up to the cores, at most ${MAX_DEFAULT_WORKERS}; 0: none)`,
    )
    .meta(LIST),
  remote: workerCounts
    .optional()
    .describe('numbers of worker processes on loopback, one thread each (default: 1; 0: none)')
    .meta(LIST),
  joined: z
    .int()
    .positive()
    .max(4096)
    .optional()
    .describe('measure with so many workers that join from elsewhere, and with these only'),
  batchSizes: batchSizes.optional().describe('samples per step with one worker (default: 512)').meta(LIST),
  engines: commaList(oneOf('auto', ...engineKinds))
    .optional()
    .describe('engines, separated by commas (default: auto)')
    .meta(LIST),
  wire: commaList(wireSetting.refine((format) => format !== 'auto', '"auto" is a choice of format, and none'))
    .optional()
    .describe(
      'formats in which gradients travel, separated by commas: fp32, fp16, int8, and topk:0.01, which trains with --reduction fast (default: fp32)',
    )
    .meta(LIST),
  scaling: z
    .enum(['strong', 'weak', 'both'])
    .optional()
    .describe('fixed batch, or one that grows with the workers (default: both; with --quick strong)'),
  shards: z
    .int()
    .positive()
    .max(4096)
    .optional()
    .describe('shards of a step with one worker (default: 8, or more with more workers)'),
  predict: workerCounts
    .optional()
    .describe('numbers of machines to predict the rate for (default: 1,2,4,8,16,32; 0: none)')
    .meta(LIST),
  bandwidth: z
    .number()
    .positive()
    .optional()
    .describe("gigabits per second of the coordinator's link in the prediction (default: several links)"),
  latency: z.number().nonnegative().optional().describe('round trip over it in milliseconds (default: 0.2)'),
  ...dataOptions,
  ...common,
  host: host.describe('with --joined: address to listen on; 0.0.0.0: reachable from other machines'),
  port: port.describe('with --joined: port to listen on (default: 7070, or a free one)'),
  token,
  joinTimeout: joinTimeout.describe('with --joined: seconds to wait for the workers'),
});

export const enginesOptions = z.strictObject({
  models: models.optional().describe('models or model.json files, separated by commas (default: mlp,cnn)').meta(LIST),
  engines: commaList(oneOf(...engineKinds))
    .optional()
    .describe(`engines, separated by commas (default: ${engineKinds.join()})`)
    .meta(LIST),
  device: z
    .string()
    .refine((name) => name !== 'auto' && isDeviceName(name), 'not a device: see lockstep devices')
    .default('cpu')
    .describe('what the engine onnx runs on; lockstep devices lists what works here'),
  batchSizes: batchSizes
    .optional()
    .describe('samples of a micro-batch, separated by commas (default: 16,64,256; with --quick 64)')
    .meta(LIST),
  ...common,
});

export const aggregateOptions = z.strictObject({
  synthetic: z.int().min(1).max(256).default(8).describe('workers that send gradients and compute none'),
  parameters: z.int().min(10_000).max(50_000_000).default(1_000_000).describe('size of the model, about'),
  ...common,
});

const fractionOf = z.string().transform((text, context): number => {
  const value = Number(text);
  if (text !== '' && value > 0 && value <= 1) return value;
  context.addIssue({ code: 'custom', message: `"${text}" is not an accuracy: a number above 0, at most 1` });
  return z.NEVER;
});

const { epochs, workers, limitTrain, limitTest } = trainOptions.shape;

export const accuracyOptions = z.strictObject({
  models: models
    .optional()
    .describe('models or model.json files, separated by commas (default: mlp,cnn,resnet)')
    .meta(LIST),
  targets: commaList(fractionOf)
    .optional()
    .describe('test accuracies to reach, separated by commas (default: 0.88,0.92,0.94)')
    .meta(LIST),
  seeds: z.int().min(1).max(100).default(1).describe('runs of each model, with seeds 0, 1, …'),
  pytorch: z
    .string()
    .min(1)
    .optional()
    .describe(
      'Python interpreter with PyTorch, which then trains the same recipes in turns with Lockstep; none: without it (default: LOCKSTEP_PEERS_PYTHON or python3, where that has PyTorch)',
    )
    .meta({ placeholder: 'python' }),
  epochs,
  workers,
  limitTrain,
  limitTest,
  ...dataOptions,
  out: common.out,
});

/** What a caller may say. */
export type BenchOptions = z.input<typeof benchOptions>;
export type EnginesOptions = z.input<typeof enginesOptions>;
export type AggregateOptions = z.input<typeof aggregateOptions>;
export type AccuracyOptions = z.input<typeof accuracyOptions>;

/** Checked, with defaults where nothing was said. */
export type BenchConfig = ReturnType<typeof resolveBench>;
export type EnginesConfig = ReturnType<typeof resolveEngines>;
export type AggregateConfig = ReturnType<typeof resolveAggregate>;
export type AccuracyConfig = ReturnType<typeof resolveAccuracy>;

/** @throws LockstepError `usage` that names the option */
function check<Schema extends z.ZodObject>(schema: Schema, options: z.input<Schema>): z.output<Schema> {
  const parsed = schema.safeParse(options);
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map(({ path, message }) => `${String(path[0] ?? 'options')}: ${message}`);
  throw new LockstepError('usage', `Invalid options: ${problems.join('; ')}.`, 'See lockstep bench --help.');
}

const timing = ({
  rounds,
  seconds,
  quick,
}: {
  rounds?: number | undefined;
  seconds?: number | undefined;
  quick: boolean;
}) => ({
  rounds: rounds ?? (quick ? 6 : 12),
  seconds: seconds ?? (quick ? 0.4 : 1),
});

/** 1, 2, 4, … and the number of cores itself. */
export function defaultWorkers(cores: number): number[] {
  const most = Math.min(cores, MAX_DEFAULT_WORKERS);
  const powers = Array.from({ length: Math.floor(Math.log2(most)) + 1 }, (_, i) => 2 ** i);
  return [...new Set([...powers, most])];
}

const nextPowerOfTwo = (value: number): number => 2 ** Math.ceil(Math.log2(value));

/** @throws LockstepError `usage` that names the option */
export function resolveBench(options: BenchOptions) {
  const checked = check(benchOptions, options);
  const { joined, quick } = checked;
  const workers = joined === undefined ? (checked.workers ?? defaultWorkers(availableParallelism())) : [];
  const remote = joined === undefined ? (checked.remote ?? [1]) : [];
  if (joined !== undefined && (checked.workers?.length || checked.remote?.length)) {
    throw new LockstepError(
      'usage',
      '--joined measures with the workers that join, so there are no --workers and no --remote beside it.',
      'Leave those out, or run lockstep bench once with and once without --joined.',
    );
  }
  if (joined !== undefined && checked.scaling === 'both') {
    throw new LockstepError(
      'usage',
      '--scaling both needs two runs at a time, and the workers that join can be in one.',
      'Measure with --scaling strong and with --scaling weak, one after the other.',
    );
  }
  const most = Math.max(...workers, ...remote, joined ?? 0);
  if (most <= 0) {
    throw new LockstepError('usage', 'There is nothing to measure: no --workers and no --remote.', 'Give one of them.');
  }
  return {
    ...checked,
    ...timing(checked),
    models: checked.models ?? ['mlp', 'cnn'],
    wire: checked.wire ?? (['fp32'] as const),
    batchSizes: checked.batchSizes ?? [512],
    engines: checked.engines ?? (['auto'] as const),
    workers,
    remote,
    scaling: checked.scaling ?? (quick || joined !== undefined ? 'strong' : 'both'),
    shards: checked.shards ?? Math.max(8, nextPowerOfTwo(most)),
    predict: checked.predict ?? [1, 2, 4, 8, 16, 32],
  };
}

/** @throws LockstepError `usage` that names the option */
export function resolveEngines(options: EnginesOptions) {
  const checked = check(enginesOptions, options);
  return {
    ...checked,
    ...timing(checked),
    models: checked.models ?? ['mlp', 'cnn'],
    engines: checked.engines ?? [...engineKinds],
    microBatches: checked.batchSizes ?? (checked.quick ? [64] : [16, 64, 256]),
  };
}

/** @throws LockstepError `usage` that names the option */
export function resolveAggregate(options: AggregateOptions) {
  const checked = check(aggregateOptions, options);
  return { ...checked, ...timing(checked) };
}

/** @throws LockstepError `usage` that names the option */
export function resolveAccuracy(options: AccuracyOptions) {
  const checked = check(accuracyOptions, options);
  return {
    ...checked,
    models: checked.models ?? ['mlp', 'cnn', 'resnet'],
    targets: (checked.targets ?? [0.88, 0.92, 0.94]).sort((a, b) => a - b),
  };
}
