/** One run of a recipe: how accurate it became, and when. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type LoadedModel, type TrainOptions, train } from '@lockstep/coordinator';
import type { BenchContext } from './context.ts';
import type { AccuracyRun, Framework } from './report.ts';

/** Says that an epoch is over. */
export interface EpochDone {
  readonly epoch: number;
  readonly epochs: number;
  readonly accuracy: number;
}

/** What is trained. */
export interface RunPlan {
  /** Name or path of the model, as it was given. */
  readonly name: string;
  readonly model: LoadedModel;
  /** As for `train()`, with model and seed. */
  readonly options: TrainOptions;
  readonly targets: readonly number[];
}

/** Trains with Lockstep in a folder that disappears. @throws LockstepError as `train()` does */
export async function* lockstepRun(
  plan: RunPlan,
  { signal, onDownload }: BenchContext,
): AsyncGenerator<EpochDone, AccuracyRun, void> {
  const folder = await mkdtemp(join(tmpdir(), 'lockstep-bench-'));
  const run = train(
    { ...plan.options, port: 0, runDir: join(folder, 'run') },
    { ...(signal ? { signal } : {}), ...(onDownload ? { onDownload } : {}) },
  );
  try {
    let data = '';
    let seconds = 0;
    const epochs: AccuracyRun['epochs'] = [];
    for await (const event of run) {
      if (event.event === 'dataset') data = event.name;
      else if (event.event === 'epoch') {
        seconds += event.seconds;
        epochs.push({ seconds, accuracy: event.testAccuracy });
        yield { epoch: event.epoch, epochs: event.epochs, accuracy: event.testAccuracy };
      } else if (event.event === 'done') {
        const { testAccuracy: accuracy, weightsSha256 } = event;
        return { ...resultOf(plan, 'lockstep', data, epochs), accuracy, weightsSha256 };
      }
    }
  } finally {
    await run.return();
    await rm(folder, { recursive: true, force: true });
  }
  throw new Error('Broken invariant: a run ends with "done" or throws');
}

/** What follows from the epochs of a run. @param data name of the dataset */
export function resultOf(
  { name, options: { seed = 0 }, targets }: RunPlan,
  framework: Framework,
  data: string,
  epochs: AccuracyRun['epochs'],
): Omit<AccuracyRun, 'weightsSha256'> {
  const { accuracy, seconds } = epochs.at(-1)!;
  const reached = targets.map((target) => epochs.find((epoch) => epoch.accuracy >= target)?.seconds ?? null);
  return { model: name, framework, seed, data, accuracy, seconds, reached, epochs };
}
