/** Engines on one core and one thread: forward and backward of one micro-batch, nothing else. */

import { median } from '@lockstep/bench';
import { networkFile } from './networks.js';
import { alternate, alternateAfresh, closeAll, fastest, rateText, ratio, startAll } from './rounds.js';
import { canPin, Subject } from './subject.js';

const PINNED = { pinned: true };
const LOCKSTEP = 'Lockstep';
const GROUPED = 'Lockstep, eight micro-batches a call';
const PYTORCH = ['PyTorch, contiguous', 'PyTorch, channels_last'];
const TENSORFLOW = 'TensorFlow, tf.function';

/** The ratios that Lockstep is to reach. */
const wanted = {
  pytorch: { mlp: 1.5, cnn: 1.5, resnet: 1.5 },
  tensorflow: { mlp: 1, cnn: 0.8, resnet: 0.8 },
};

/** The best rate of a large matrix product on the core by any library here, in GFLOP/s. */
async function gemmPeak({ python, versions, rounds, seconds }) {
  const libraries = ['numpy', 'torch'].filter((name) => versions[name]);
  const subjects = await startAll(
    [
      () => new Subject('ONNX Runtime', [process.execPath, new URL('./gemm.js', import.meta.url)], PINNED),
      ...libraries.map(
        (name) => () => new Subject(name, [python, new URL('./gemm.py', import.meta.url), name], PINNED),
      ),
    ],
    { seconds },
  );
  const rates = await alternate(subjects, Math.min(rounds, 5), { seconds });
  await closeAll(subjects);
  const peaks = [...rates].map(([name, list]) => ({ name, gflops: Math.max(...list) }));
  return peaks.reduce((best, next) => (next.gflops > best.gflops ? next : best));
}

function starters(model, { python, versions, batch }) {
  const lockstep = (name, group) => () =>
    new Subject(
      name,
      [
        process.execPath,
        new URL('./lockstep-engine.js', import.meta.url),
        '--model',
        model,
        '--batch',
        batch,
        '--group',
        group,
      ],
      PINNED,
    );
  const network = networkFile(model);
  const peer = (name, program, ...flags) => {
    return () => new Subject(name, [python, program, '--network', network, '--batch', batch, ...flags], PINNED);
  };
  const list = [lockstep(LOCKSTEP, 1)];
  // As training does with dense nets; of a net with convolutions the engine takes one at a time.
  if (model === 'mlp') list.push(lockstep(GROUPED, 8));
  if (versions.torch) {
    list.push(
      peer(PYTORCH[0], new URL('./torch_engine.py', import.meta.url)),
      peer(PYTORCH[1], new URL('./torch_engine.py', import.meta.url), '--channels-last'),
    );
  }
  if (versions.tensorflow) list.push(peer(TENSORFLOW, new URL('./tensorflow_engine.py', import.meta.url)));
  return list;
}

/** Ratios to the better of PyTorch's layouts and to TensorFlow; the like-for-like ones have a target. */
function ratios(model, rates) {
  const peers = [
    { peer: fastest(rates, PYTORCH), atLeast: wanted.pytorch[model] },
    { peer: fastest(rates, [TENSORFLOW]), atLeast: wanted.tensorflow[model] },
  ];
  return peers
    .filter(({ peer }) => peer)
    .flatMap(({ peer, atLeast }) => [
      { ...ratio(rates, LOCKSTEP, peer), wanted: atLeast },
      ...(rates.has(GROUPED) ? [ratio(rates, GROUPED, peer)] : []),
    ]);
}

/** What is compared must be the same model. */
function checkParameters(subjects, expected) {
  for (const { name, hello } of subjects) {
    if (hello.parameters !== expected) throw new Error(`${name} has ${hello.parameters} parameters, not ${expected}.`);
  }
}

async function compareModel(model, peak, settings) {
  const { seconds, batch } = settings;
  let flopsPerSample = 0;
  const rates = await alternateAfresh(starters(model, settings), settings, { seconds }, (subjects) => {
    const lockstep = subjects.find(({ name }) => name === LOCKSTEP);
    if (!lockstep) return;
    checkParameters(subjects, lockstep.hello.parameters);
    flopsPerSample = lockstep.hello.flopsPerSample;
  });
  if (!rates.has(LOCKSTEP)) return undefined;
  const share = (rate) => `${((rate * flopsPerSample) / (peak.gflops * 1e7)).toFixed(0)} %`;
  const rows = [...rates].map(([name, list]) => [name, rateText(median(list)), share(median(list))]);
  return {
    title: `${model}: engine, one core, micro-batch ${batch}`,
    table: [['', 'samples/s', 'of the peak'], ...rows],
    ratios: ratios(model, rates),
    raw: { flopsPerSample, peak, samplesPerSecond: Object.fromEntries(rates) },
  };
}

export async function compareEngines(settings) {
  const { versions, models, report, note } = settings;
  if (!versions.torch && !versions.tensorflow) {
    note('engine: skipped, there is nothing to compare with.');
    return;
  }
  const peak = await gemmPeak(settings);
  note(`The peak is that of a matrix product of 1024 on the core, by ${peak.name}: ${peak.gflops.toFixed(0)} GFLOP/s.`);
  if (!canPin) note('Nothing is pinned to a core: there is no taskset here.');
  for (const model of models) report(await compareModel(model, peak, settings));
}
