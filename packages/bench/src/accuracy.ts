/** `lockstep bench accuracy`: how long each recipe takes to reach given accuracies, and where it ends. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadModel, type TrainOptions } from '@lockstep/coordinator';
import { loadDataset } from '@lockstep/dataset';
import { subjectName } from './accuracy-rows.ts';
import { type EpochDone, lockstepRun } from './accuracy-runs.ts';
import { type BenchContext, begin } from './context.ts';
import { writeData } from './data.ts';
import { type BenchEvent, Progress } from './events.ts';
import { type AccuracyConfig, type AccuracyOptions, resolveAccuracy } from './options.ts';
import type { AccuracyReport, AccuracyRun, Framework, Skipped } from './report.ts';
import { findTorch } from './torch-python.ts';
import { TorchSide } from './torch-side.ts';
import { throwIfInterrupted } from './within.ts';

type AccuracyEvent = BenchEvent<AccuracyReport>;

/** A guess of a recipe's length, until one has been seen. */
const GUESS_SECONDS = 120;

/**
 * Trains every model once per seed, as its recipe says, with Lockstep and, where it is there, with PyTorch, in turns. Yields
 * what happens; the last event has the report. The clock runs from the beginning of the first epoch, evaluations included;
 * opening data and engines is not counted. When PyTorch cannot train a model, it is left out, and the report says why.
 * @throws LockstepError with a code and a next step; `interrupted` when aborted
 */
export async function* benchAccuracy(
  options: AccuracyOptions = {},
  context: BenchContext = {},
): AsyncGenerator<AccuracyEvent, void, void> {
  const config = resolveAccuracy(options);
  const { targets, seeds } = config;
  const found = await findTorch(config.pytorch, context.env ?? process.env, context.signal);
  const models = await Promise.all(config.models.map(async (name) => ({ name, model: await loadModel(name) })));
  const { found: observed, header } = await begin(context, { rounds: seeds, seconds: 0 });
  yield { event: 'bench', kind: 'accuracy', ...observed };
  const skipped: Skipped[] = [];
  const runs: AccuracyRun[] = [];
  const folder = await mkdtemp(join(tmpdir(), 'lockstep-bench-'));
  try {
    let torch: TorchSide | undefined;
    if (found?.python !== undefined) torch = new TorchSide(found, await writtenData(folder, config, context));
    else if (found) yield skip(skipped, { what: 'PyTorch', reason: found.reason });
    const frameworks: readonly Framework[] = torch ? ['lockstep', 'pytorch'] : ['lockstep'];
    const progress = new Progress(0, models.length * seeds * frameworks.length, GUESS_SECONDS);
    // Seeds in the outer loop, so that a slow spell of the machine does not fall on one model alone.
    for (let seed = 0; seed < seeds; seed++) {
      for (const { name, model } of models) {
        const plan = { name, model, options: trainOptionsOf(config, name, seed), targets };
        // Whoever comes second may find the machine warmer.
        for (const framework of seed % 2 === 0 ? frameworks : frameworks.toReversed()) {
          if (framework === 'pytorch' && torch?.hasFailed(name)) continue;
          const subject = `${subjectName(name, framework)}, seed ${seed}`;
          yield { event: 'subject', subject };
          const run = framework === 'pytorch' ? torch!.run(plan, context.signal) : lockstepRun(plan, context);
          const outcome = yield* told(run, subject, progress);
          if ('reason' in outcome) yield skip(skipped, outcome);
          else runs.push(outcome);
          progress.measured();
        }
      }
    }
    const pytorch = torch?.description ?? null;
    yield {
      event: 'report',
      report: { ...header(), kind: 'accuracy', targets, runs, pytorch, skipped, comparison: null },
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function skip(skipped: Skipped[], what: Skipped): AccuracyEvent {
  skipped.push(what);
  return { event: 'skipped', ...what };
}

/** Hands epochs on as progress. */
async function* told<Outcome>(
  run: AsyncGenerator<EpochDone, Outcome, void>,
  subject: string,
  progress: Progress,
): AsyncGenerator<AccuracyEvent, Outcome, void> {
  try {
    for (;;) {
      const { value, done } = await run.next();
      if (done) return value;
      yield progress.event(`${subject}: epoch ${value.epoch} of ${value.epochs}, ${value.accuracy}`);
    }
  } finally {
    await run.return(undefined as never);
  }
}

function trainOptionsOf(
  { epochs, workers, dataset, dataDir, limitTrain, limitTest }: AccuracyConfig,
  model: string,
  seed: number,
): TrainOptions {
  const given = Object.entries({ epochs, workers, dataDir, limitTrain, limitTest });
  return { model, seed, dataset, ...Object.fromEntries(given.filter(([, value]) => value !== undefined)) };
}

/** The pictures that Lockstep trains on, as plain files: others need not know where they came from. */
async function writtenData(folder: string, { dataset, dataDir }: AccuracyConfig, context: BenchContext) {
  const { signal, env = process.env, onDownload } = context;
  const data = await loadDataset({ dataset, dataDir, env, onProgress: onDownload, signal });
  await writeData(data, folder);
  throwIfInterrupted(signal);
  return { folder, name: data.name, numTrain: data.train.count };
}
