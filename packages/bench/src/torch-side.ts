/** PyTorch's part of `lockstep bench accuracy`: the same recipes, in processes of its own. */
import type { LoadedModel } from '@lockstep/coordinator';
import { invariant, LockstepError } from '@lockstep/core';
import { type EpochDone, type RunPlan, resultOf } from './accuracy-runs.ts';
import type { AccuracyReport, AccuracyRun, Skipped } from './report.ts';
import { type TorchData, torchJob } from './torch-job.ts';
import { type TorchEvent, trainWithTorch } from './torch-run.ts';

/** What PyTorch said of itself before it began. */
type Ready = Extract<TorchEvent, { event: 'ready' }>;

export class TorchSide {
  readonly #place: { readonly python: string; readonly version: string };
  readonly #data: TorchData & { readonly name: string };
  readonly #failed = new Set<string>();
  readonly #layouts: { [model: string]: string[] } = {};
  #threads = 0;

  /** @param place interpreter that has PyTorch, and its version @param data with the dataset's name */
  constructor(
    place: { readonly python: string; readonly version: string },
    data: TorchData & { readonly name: string },
  ) {
    this.#place = place;
    this.#data = data;
  }

  /** For the report; undefined as long as nothing was trained. */
  get description(): AccuracyReport['pytorch'] | undefined {
    if (this.#threads === 0) return undefined;
    return { version: this.#place.version, threads: this.#threads, layouts: this.#layouts };
  }

  /** Whether it could not train a model; with another seed it could not either. */
  hasFailed(name: string): boolean {
    return this.#failed.has(name);
  }

  /**
   * Trains by the same recipe as Lockstep.
   * @returns the run, or why there is none
   * @throws LockstepError `interrupted`
   */
  async *run(plan: RunPlan, signal: AbortSignal | undefined): AsyncGenerator<EpochDone, AccuracyRun | Skipped, void> {
    try {
      return yield* this.#train(plan, signal);
    } catch (error) {
      if (!(error instanceof LockstepError) || error.code === 'interrupted') throw error;
      this.#failed.add(plan.name);
      return { what: `${plan.name} in PyTorch`, reason: error.message };
    }
  }

  async *#train(plan: RunPlan, signal: AbortSignal | undefined): AsyncGenerator<EpochDone, AccuracyRun, void> {
    const { name, model, options } = plan;
    const job = torchJob(model, options, this.#data);
    const epochs: AccuracyRun['epochs'] = [];
    for await (const event of trainWithTorch(this.#place.python, job, signal)) {
      if (event.event === 'ready') this.#note(event, name, model);
      else {
        const { epoch, seconds, accuracy } = event;
        epochs.push({ seconds, accuracy });
        yield { epoch, epochs: job.epochs, accuracy };
      }
    }
    return { ...resultOf(plan, 'pytorch', this.#data.name, epochs), weightsSha256: null };
  }

  #note({ threads, layout, parameters }: Ready, name: string, { network }: LoadedModel): void {
    const { numParameters } = network.layout;
    // What is compared must be the same model.
    invariant(parameters === numParameters, `PyTorch's ${name} has ${parameters} parameters, not ${numParameters}`);
    this.#threads = threads;
    this.#layouts[name] = [...new Set([...(this.#layouts[name] ?? []), layout])];
  }
}
