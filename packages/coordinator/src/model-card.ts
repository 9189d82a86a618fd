/** The model card of a finished run, `README.md` in its folder: what was trained, on what, how well, and how to do it again. */
import { cpus } from 'node:os';
import { describeViews, type EngineChoice, type EngineKind } from '@lockstep/engine';
import type { DoneEvent, EpochEvent } from '@lockstep/protocol';
import { type TrainConfig, viewsOf, withoutAccess } from './config.ts';
import type { RunData } from './hold-out.ts';
import type { LoadedModel } from './model.ts';
import { reproductionCommand, shellQuoted } from './reproduce.ts';
import type { RunFolder } from './run-folder.ts';
import { type ScoreReport, scorePredictions } from './scores.ts';
import { VERSION } from './version.ts';
import { isTopk } from './wire-choice.ts';

interface CardParts {
  readonly folder: RunFolder;
  readonly config: TrainConfig;
  readonly model: LoadedModel;
  readonly dataset: RunData;
  readonly engine: EngineChoice;
}

const integer = (value: number): string => value.toLocaleString('en-US');
const percent = (share: number): string => `${(share * 100).toFixed(2)} %`;

/** Keeps names from files out of the way of Markdown. */
const plain = (text: string): string => text.replaceAll(/[|\\`*_<>[\]]/g, '\\$&').replaceAll(/\s+/g, ' ');

/** @param alignment one letter per column: l or r */
function table(alignment: string, head: readonly string[], rows: readonly (readonly string[])[]): string {
  const rule = [...alignment].map((side) => (side === 'r' ? '---:' : '---'));
  return [head, rule, ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

export class ModelCard {
  readonly #parts: CardParts;
  #predictions: Uint8Array | undefined;

  constructor(parts: CardParts) {
    this.#parts = parts;
  }

  /** What the model says about the test pictures, in their order; the latest counts. */
  evaluated(predictions: Uint8Array): void {
    this.#predictions = predictions;
  }

  /** @throws LockstepError `output-unwritable` */
  async write(done: DoneEvent): Promise<void> {
    const { folder, model } = this.#parts;
    const events = await folder.readEvents();
    // A resumed run may have done an epoch twice.
    const epochs = new Map(events.flatMap((event) => (event.event === 'epoch' ? [[event.epoch, event] as const] : [])));
    const sections = [
      `# ${plain(model.name)} on ${this.#parts.dataset.name}: ${percent(done.testAccuracy)}`,
      `Trained with Lockstep ${VERSION}; finished on ${new Date().toISOString().slice(0, 16).replace('T', ' at ')} UTC.`,
      this.#result(
        done,
        [...epochs.values()].sort((a, b) => a.epoch - b.epoch),
      ),
      this.#again(done),
      this.#model(),
      this.#data(),
      this.#recipe(done),
      this.#machine(),
    ];
    await folder.writeCard(`${sections.join('\n\n')}\n`);
  }

  #result(done: DoneEvent, epochs: readonly EpochEvent[]): string {
    const { config, dataset } = this.#parts;
    const rows = epochs.map(({ epoch, trainLoss, trainAccuracy, testLoss, testAccuracy }) => [
      String(epoch),
      trainLoss.toFixed(4),
      percent(trainAccuracy),
      testLoss.toFixed(4),
      percent(testAccuracy),
    ]);
    const scores = this.#predictions
      ? [scoreTable(scorePredictions(dataset.test.labels, this.#predictions, dataset.classNames))]
      : [];
    const { testAccuracy, testLoss, validationAccuracy } = done;
    const on = validationAccuracy === undefined ? 'test' : 'validation';
    const views = describeViews(viewsOf(config));
    const averaged =
      views === undefined
        ? ''
        : ` Probabilities are the mean over ${views}; \`evaluate\` and \`predict\` do the same, an exported model does not by itself.`;
    const heldOut =
      validationAccuracy === undefined
        ? ''
        : ` They were looked at once, at the end. Accuracy on the pictures held out of the training set: ${percent(validationAccuracy)}.`;
    return [
      '## Result',
      `Accuracy ${percent(testAccuracy)}, mean cross-entropy ${testLoss.toFixed(4)}, on ${integer(dataset.test.count)} test pictures.${averaged}${heldOut}`,
      ...scores,
      table('rrrrr', ['epoch', 'train loss', 'train accuracy', `${on} loss`, `${on} accuracy`], rows),
    ].join('\n\n');
  }

  #again({ weightsSha256, engines = [] }: DoneEvent): string {
    const { config, dataset, engine, folder } = this.#parts;
    const command = reproductionCommand({
      config: withoutAccess(config),
      dataset,
      engine: engine.kind,
      runDir: folder.path,
    });
    const path = shellQuoted(folder.path);
    return [
      '## Again',
      `\`\`\`sh\n${command}\n\`\`\``,
      `${
        isExact(config, engines)
          ? `trains the same weights, whatever the number of workers and machines, ${scopeOf(engine.kind)}.`
          : 'trains like this, but to weights with other last bits: see "reduction" below.'
      } Their SHA-256, as little-endian float32 in the order of the layout, is\n\n\`\`\`\n${weightsSha256}\n\`\`\``,
      `To use them as they are:\n\n\`\`\`sh\nnpx lockstep evaluate ${path}\nnpx lockstep predict --run ${path} picture.jpg\nnpx lockstep export ${path} --format onnx\n\`\`\``,
    ].join('\n\n');
  }

  #model(): string {
    const { name, network } = this.#parts.model;
    const { layout, inputShape, numClasses } = network;
    const rows = layout.parameters.map(({ name, shape, size, kind }) => [
      plain(name),
      shape.join(' x '),
      integer(size),
      kind === 'weight' ? 'trained' : 'moving statistic',
    ]);
    return [
      '## Model',
      `${plain(name)}: ${integer(layout.numParameters)} parameters, ${integer(layout.numWeights)} of them trained by gradient. Takes pictures of ${inputShape.join(' x ')}, whose pixels are divided by 255, and tells ${numClasses} classes apart. The topology is in \`model.json\`, the weights are in \`weights.safetensors\`.`,
      table('lrrl', ['parameter', 'shape', 'values', ''], rows),
    ].join('\n\n');
  }

  #data(): string {
    const { name, sha256, checksums, train, validation, test, classNames } = this.#parts.dataset;
    const held = validation?.count ?? 0;
    const files = {
      match: 'The files are the published ones.',
      differ: 'The files are **not** the published ones.',
      generated:
        'The pictures are **synthetic**: drawn by Lockstep itself, and no measure of how well real ones are told apart.',
    };
    return [
      '## Data',
      `${name}: the first ${integer(train.count + held)} training and ${integer(test.count)} test pictures of the classes ${classNames.map(plain).join(', ')}.${validation ? ` Of the training pictures ${integer(held)} were held out for validation, drawn by seed and of each class its share.` : ''} ${files[checksums ?? 'generated']} SHA-256 over the pixels and labels of the whole dataset, training before test:`,
      `\`\`\`\n${sha256}\n\`\`\``,
    ].join('\n\n');
  }

  #recipe({ samples, targetReached, secondsToTarget = 0, engines = [] }: DoneEvent): string {
    const { config } = this.#parts;
    const { optimizer } = config;
    const settings: [string, unknown][] = [
      ['epochs', config.epochs],
      ...(targetReached === undefined
        ? []
        : [
            [
              `stop at an accuracy of ${percent(config.targetAccuracy ?? 0)}`,
              targetReached ? `reached after ${secondsToTarget.toFixed(1)} s` : 'not reached',
            ] as [string, unknown],
          ]),
      ['samples per step, in all shards', config.batchSize],
      ['shards', config.shards],
      ['optimizer', optimizer.name],
      ['learning rate', `${config.learningRate}, ${config.schedule}, ${config.warmupSteps} steps of warm-up`],
      ...(optimizer.momentum > 0 ? [['momentum', optimizer.momentum] as [string, unknown]] : []),
      ['weight decay', optimizer.weightDecay],
      ['label smoothing', config.labelSmoothing],
      ['changes of training pictures', augmentationOf(config)],
      ['moving average of the weights', config.ema > 0 ? `decay ${config.ema}; it is the result` : 'none'],
      ['largest norm of the gradient', config.clipNorm ?? 'not bounded'],
      ['seed', config.seed],
      ...(engines.length > 0 ? [['gradients computed by', engines.join(', ')] as [string, unknown]] : []),
      ['reduction', reductionOf(config, engines)],
      ['training samples, over all epochs', integer(samples)],
    ];
    const rows = settings.map(([name, value]) => [name, String(value)]);
    return `## Recipe\n\n${table('lr', ['setting', 'value'], rows)}`;
  }

  #machine(): string {
    const { kind, device } = this.#parts.engine;
    const processors = cpus();
    const platform = `${process.platform}-${process.arch}`;
    const processor = plain(processors[0]?.model.trim() || 'an unknown processor');
    return [
      '## Computed by',
      `engine ${kind} on ${device}; the coordinator ran on ${processor} (${processors.length} logical cores), ${platform}, Node.js ${process.version}. Which workers took part is in \`metrics.jsonl\`.`,
    ].join('\n\n');
  }
}

/** Where an engine gives the same bits: others round differently. */
const scopeOf = (engine: EngineKind): string =>
  engine === 'native'
    ? 'with this engine on any x86-64 processor that has AVX2'
    : 'on this kind of processor and engine (another rounds differently)';

/** Whether the same command ends with the same bits. */
const isExact = ({ reduction, wire }: TrainConfig, engines: readonly string[]): boolean =>
  reduction === 'exact' && wire !== 'auto' && engines.length <= 1;

/** What the last bits of the weights depend on. */
function reductionOf({ reduction, wire }: TrainConfig, engines: readonly string[]): string {
  const format = formatOf(wire);
  if (reduction === 'fast') return `fast: the last bits depend on who computed what${format}`;
  if (engines.length > 1)
    return `exact, but engines of several kinds took part: the last bits depend on who computed what${format}`;
  return `exact: the same bits whoever computes them, with one kind of engine${format}`;
}

function formatOf(wire: TrainConfig['wire']): string {
  if (wire === 'fp32') return '';
  if (wire === 'auto') return '; gradients rounded (auto: the format was chosen by speed)';
  return isTopk(wire) ? `; remote gradients sent in part (${wire})` : `; gradients rounded (${wire})`;
}

function augmentationOf({ flip, shift, erase }: TrainConfig): string {
  const changes = [
    ...(flip ? ['mirrored in every other epoch'] : []),
    ...(shift > 0 ? [`moved by up to ${shift} pixels`] : []),
    ...(erase > 0 ? [`a rectangle erased in ${percent(erase)}`] : []),
  ];
  return changes.join(', ') || 'none';
}

/** Per class, and the means over the classes. */
function scoreTable({ classes, macro }: ScoreReport): string {
  const shares = ({ precision, recall, f1 }: ScoreReport['macro']): string[] =>
    [precision, recall, f1].map((share) => share.toFixed(3));
  const rows = classes.map((scores) => [plain(scores.name), ...shares(scores), integer(scores.support)]);
  const total = integer(classes.reduce((sum, { support }) => sum + support, 0));
  const all = [...rows, ['mean', ...shares(macro), total]];
  return table('lrrrr', ['class', 'precision', 'recall', 'F1', 'pictures'], all);
}
