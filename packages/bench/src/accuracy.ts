/** `lockstep bench accuracy`: how long each recipe takes to reach given accuracies, and where it ends. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { train } from '@lockstep/coordinator';
import { type BenchContext, begin } from './context.ts';
import { type BenchEvent, Progress } from './events.ts';
import { type AccuracyConfig, type AccuracyOptions, resolveAccuracy } from './options.ts';
import type { AccuracyReport, AccuracyRun } from './report.ts';

type AccuracyEvent = BenchEvent<AccuracyReport>;

/** A guess of a recipe's length, until one has been seen. */
const GUESS_SECONDS = 120;

/**
 * Trains every model once per seed, as its recipe says, and yields what happens; the last event has the report. The
 * clock runs from the beginning of the first epoch, evaluations included; opening data and engines is not counted.
 * @throws LockstepError with a code and a next step; `interrupted` when aborted
 */
export async function* benchAccuracy(
  options: AccuracyOptions = {},
  context: BenchContext = {},
): AsyncGenerator<AccuracyEvent, void, void> {
  const config = resolveAccuracy(options);
  const seeds = Array.from({ length: config.seeds }, (_, i) => i);
  const { found, header } = await begin(context, { rounds: config.seeds, seconds: 0 });
  yield { event: 'bench', kind: 'accuracy', ...found };
  const progress = new Progress(0, config.models.length * config.seeds, GUESS_SECONDS);
  const runs: AccuracyRun[] = [];
  // Seeds in the outer loop, so that a slow spell of the machine does not fall on one model alone.
  for (const seed of seeds) {
    for (const model of config.models) {
      const subject = `${model}, seed ${seed}`;
      yield { event: 'subject', subject };
      runs.push(yield* oneRun(subject, model, seed, config, context, progress));
      progress.measured();
    }
  }
  const { targets } = config;
  yield { event: 'report', report: { ...header(), kind: 'accuracy', targets, runs, comparison: null } };
}

async function* oneRun(
  subject: string,
  model: string,
  seed: number,
  { targets, epochs, workers, dataset, dataDir, limitTrain, limitTest }: AccuracyConfig,
  { signal, onDownload }: BenchContext,
  progress: Progress,
): AsyncGenerator<AccuracyEvent, AccuracyRun, void> {
  const folder = await mkdtemp(join(tmpdir(), 'lockstep-bench-'));
  const given = { epochs, workers, dataDir, limitTrain, limitTest };
  const settings = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  const run = train(
    { model, seed, dataset, port: 0, runDir: join(folder, 'run'), ...settings },
    { ...(signal ? { signal } : {}), ...(onDownload ? { onDownload } : {}) },
  );
  try {
    let data = '';
    let seconds = 0;
    const epochsDone: AccuracyRun['epochs'] = [];
    for await (const event of run) {
      if (event.event === 'dataset') data = event.name;
      else if (event.event === 'epoch') {
        seconds += event.seconds;
        epochsDone.push({ seconds, accuracy: event.testAccuracy });
        yield progress.event(`${subject}: epoch ${event.epoch} of ${event.epochs}, ${event.testAccuracy}`);
      } else if (event.event === 'done') {
        const { testAccuracy: accuracy, weightsSha256 } = event;
        const reached = targets.map((target) => epochsDone.find((epoch) => epoch.accuracy >= target)?.seconds ?? null);
        return { model, seed, data, accuracy, seconds, weightsSha256, reached, epochs: epochsDone };
      }
    }
  } finally {
    await run.return();
    await rm(folder, { recursive: true, force: true });
  }
  throw new Error('Broken invariant: a run ends with "done" or throws');
}
