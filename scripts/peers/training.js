/** Whole training with Adam on all cores: gather, forward, backward, exchange of gradients, update. */

import { median } from '@lockstep/bench';
import { networkFile } from './networks.js';
import { alternate, alternateAfresh, closeAll, fastest, rateText, ratio, startAll } from './rounds.js';
import { Subject } from './subject.js';

const BATCH = 512;
/** Of a block, which is an epoch, in whole batches. */
const samplesPerBlock = { mlp: 117 * BATCH, cnn: 24 * BATCH, resnet: 8 * BATCH };
/** So that everybody's turn takes a second or more: what is cold after the others' should not count. */
const blocksPerTurn = { mlp: 4, cnn: 1, resnet: 1 };
/** tf.js in plain JavaScript takes up to seconds for one picture of a net with convolutions. */
const samplesOfTfjs = { mlp: 4 * BATCH, cnn: 32, resnet: 8 };
/** Rounds in which the variants of one peer are tried. */
const TRIAL_ROUNDS = 3;

const LOCKSTEP = 'Lockstep, a worker thread per core';
const DDP = 'PyTorch DDP over gloo, a process per core';
const RAY = 'Ray Train, a worker per core';
const TFJS = 'tf.js model.fit, plain JavaScript, timed once';

/** The ratios to DDP that Lockstep is to reach. */
const wanted = { mlp: 3, cnn: 1.5, resnet: 1.3 };

/** Of several ways to set up a peer the one that is fastest here, in a short trial. */
async function bestOf(starters) {
  if (starters.length === 1) return starters;
  const started = [];
  // What each of the subjects comes from.
  const noting = starters.map((start) => () => {
    const subject = start();
    started.push([subject.name, start]);
    return subject;
  });
  const subjects = await startAll(noting, {});
  const rates = await alternate(subjects, TRIAL_ROUNDS, {});
  await closeAll(subjects);
  const best = fastest(rates, [...rates.keys()]);
  return started.filter(([name]) => name === best).map(([, start]) => start);
}

function starters(model, { python, versions, dataDir }) {
  const common = ['--samples', samplesPerBlock[model], '--data-dir', dataDir, '--batch', BATCH];
  const network = networkFile(model);
  const peer = (name, program, ...flags) => {
    return () => new Subject(name, [python, program, '--network', network, ...common, ...flags]);
  };
  /** A dense net has no layout of pictures. */
  const layouts = (name, program) => [
    peer(name, program),
    ...(model === 'mlp' ? [] : [peer(`${name}, channels_last`, program, '--channels-last')]),
  ];
  return {
    lockstep: () =>
      new Subject(LOCKSTEP, [
        process.execPath,
        new URL('./lockstep-train.js', import.meta.url),
        '--model',
        model,
        ...common,
      ]),
    // Each list is one peer in several ways.
    peers: [
      ...(versions.torch
        ? [
            layouts('PyTorch, one process', new URL('./torch_train.py', import.meta.url)),
            layouts(DDP, new URL('./torch_ddp.py', import.meta.url)),
          ]
        : []),
      ...(versions.tensorflow
        ? [
            [
              peer('Keras fit', new URL('./keras_train.py', import.meta.url)),
              peer('Keras fit, XLA', new URL('./keras_train.py', import.meta.url), '--xla'),
            ],
          ]
        : []),
    ],
    ray: versions.torch && versions.ray ? layouts(RAY, new URL('./ray_train.py', import.meta.url)) : [],
    tfjs: () => {
      const samples = samplesOfTfjs[model];
      const size = ['--model', model, '--samples', samples, '--batch', Math.min(BATCH, samples)];
      return new Subject(TFJS, [
        process.execPath,
        new URL('./tfjs-train.js', import.meta.url),
        ...size,
        '--data-dir',
        dataDir,
      ]);
    },
  };
}

/** Lockstep beside peers in turns. @returns rates by name; empty when Lockstep itself could not start */
async function turns(lockstep, peers, settings) {
  const chosen = [];
  for (const variants of peers) chosen.push(...(await bestOf(variants)));
  const rates = await alternateAfresh([lockstep, ...chosen], settings, {});
  return rates.has(LOCKSTEP) ? rates : new Map();
}

const ratios = (rates, model) =>
  [...rates.keys()]
    .filter((name) => name !== LOCKSTEP)
    .map((name) => ({
      ...ratio(rates, LOCKSTEP, name),
      ...(name.startsWith(DDP) ? { wanted: wanted[model] } : {}),
    }));

/** @returns samples per second; undefined when it could not start */
async function once(start) {
  const [subject] = await startAll([start], {});
  if (!subject) return undefined;
  const { rate } = await subject.block();
  await subject.close();
  return rate;
}

async function compareModel(model, settings) {
  const { lockstep, peers, ray, tfjs } = starters(model, settings);
  const inTurns = { ...settings, numBlocks: blocksPerTurn[model] };
  const together = await turns(lockstep, peers, inTurns);
  // By itself, since Ray keeps several processes busy even while it rests.
  const withRay = ray.length > 0 ? await turns(lockstep, [ray], inTurns) : new Map();
  const slow = await once(tfjs);
  const own = together.get(LOCKSTEP) ?? withRay.get(LOCKSTEP);
  const others = [...together, ...withRay].filter(([name]) => name !== LOCKSTEP);
  const rates = [...(own ? [[LOCKSTEP, own]] : []), ...others, ...(slow ? [[TFJS, [slow]]] : [])];
  return {
    title: `${model}: training with Adam on all cores, global batch ${BATCH}`,
    table: [['', 'samples/s'], ...rates.map(([name, list]) => [name, rateText(median(list))])],
    ratios: [
      ...ratios(together, model),
      ...ratios(withRay, model),
      ...(own && slow ? [{ of: LOCKSTEP, to: TFJS, median: median(own) / slow }] : []),
    ],
    raw: { together: Object.fromEntries(together), withRay: Object.fromEntries(withRay), tfjs: slow },
  };
}

export async function compareTraining(settings) {
  const { dataDir, models, report, note } = settings;
  if (!dataDir) {
    note('training: skipped, it needs Fashion-MNIST: --data-dir or LOCKSTEP_DATA_DIR.');
    return;
  }
  for (const model of models) report(await compareModel(model, settings));
}
