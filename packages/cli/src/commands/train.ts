/** `lockstep train`: start a coordinator with local workers and train. */
import { type TrainOptions, train, trainOptions } from '@lockstep/coordinator';
import { describeViews } from '@lockstep/engine';
import type { DoneEvent, EpochEvent, ProgressEvent, RunStatus, TrainEvent, WorkerEvent } from '@lockstep/protocol';
import type { Command } from 'commander';
import pc from 'picocolors';
import { livePage } from '../live-page.ts';
import { addOptions, checkOptions, JSON_LINES } from '../options.ts';
import { bar, duration, integer, Output, percent } from '../output.ts';
import { interruptible } from '../signals.ts';
import { tokenFrom } from '../token.ts';
import { costlyUpdate, runView } from '../view.ts';
import { showDownload } from './download-progress.ts';

export function trainCommand(program: Command): void {
  const command = program
    .command('train')
    .description('Train a model with the workers of this machine. Without flags: the 784-256-10 net on Fashion-MNIST.')
    .option(...JSON_LINES)
    .addHelpText('after', '\nFlags that are not given follow the recipe of the model. Ctrl-C stops the run cleanly.');
  addOptions(command, trainOptions).action(async ({ json, ...flags }: { json?: boolean; token?: string }) => {
    checkOptions(trainOptions, flags);
    // Defaults are left to `train`: a resumed run has its own.
    const given = Object.entries(flags).filter(([name]) => command.getOptionValueSource(name) === 'cli');
    const token = tokenFrom(flags.token);
    await run(new Output(json ?? false), { ...Object.fromEntries(given), ...(token === undefined ? {} : { token }) });
  });
}

async function run(output: Output, options: TrainOptions): Promise<void> {
  const signal = interruptible(output);
  const show = new Display(output);
  const pages = livePage();
  const context = {
    signal,
    ...(pages === undefined ? {} : { pages }),
    onDownload: showDownload(output),
    onInvitation: (command: string) => show.invite(command),
    onStart: (status: () => RunStatus) => show.start(status),
  };
  for await (const event of train(options, context)) {
    show.event(event);
    if (event.event !== 'progress') output.event(event);
  }
}

/** What is shown of the progress changes at most so often. */
const VIEW_INTERVAL_MS = 250;

/** Says in words what a run does. */
class Display {
  readonly #output: Output;
  readonly #started = performance.now();
  #status: (() => RunStatus) | undefined;
  #viewedAt = 0;
  #hasTable = false;
  #hasWarned = false;
  #views: string | undefined;

  constructor(output: Output) {
    this.#output = output;
  }

  /** @param status tells how the run stands */
  start(status: () => RunStatus): void {
    this.#status = status;
  }

  /** A compact view on a terminal, a line elsewhere. */
  #progress(event: ProgressEvent): void {
    const now = performance.now();
    if (now - this.#viewedAt < VIEW_INTERVAL_MS) return;
    this.#viewedAt = now;
    const output = this.#output;
    const status = this.#status?.();
    const warning = status && !this.#hasWarned ? costlyUpdate(status) : undefined;
    if (warning !== undefined) {
      this.#hasWarned = true;
      output.notice(warning);
    }
    if (output.isLive && status) {
      output.progress(runView(status, output.width).join('\n'));
      return;
    }
    const what = event.phase === 'evaluate' ? 'evaluating' : `step ${event.step}/${event.stepsPerEpoch}`;
    const etaSeconds = status?.etaSeconds;
    output.progress(
      `${bar(event.fraction)} epoch ${event.epoch}/${event.epochs} ${what}  loss ${event.trainLoss.toFixed(4)}  ` +
        `${integer(event.samplesPerSecond)} samples/s  ${etaSeconds === undefined ? '' : `${duration(etaSeconds)} left`}`,
    );
  }

  /** @param command joins the run from another machine; may hold a token that was made for it */
  invite(command: string): void {
    this.#output.line(`${pc.bold('join')}    ${command}`);
  }

  event(event: TrainEvent): void {
    const output = this.#output;
    switch (event.event) {
      // The invitation says it already.
      case 'listening':
        return;
      case 'waiting':
        output.line(`${pc.bold('wait')}    ${event.ready} of ${event.needed} workers are ready`);
        return;
      case 'reassigned':
        // What is given out twice to be safe is no news.
        if (event.cause !== 'speculated') {
          output.line(pc.dim(`  step ${event.runStep}: ${event.worker} computes ${shards(event)} (${event.cause})`));
        }
        return;
      case 'dataset': {
        output.endProgress();
        const { trainSamples, validationSamples, testSamples } = event;
        const heldOut = validationSamples === undefined ? '' : `, ${integer(validationSamples)} validation`;
        const samples = `${integer(trainSamples)} training${heldOut} and ${integer(testSamples)} test pictures`;
        output.line(`${pc.bold('data')}    ${event.name}, ${samples}: ${event.reason} (${event.source})`);
        if (event.notice) output.notice(event.notice);
        return;
      }
      case 'worker':
        output.line(workerLine(event));
        return;
      case 'model':
        this.#views = describeViews({ flip: event.testFlip ?? false, shift: event.testShift ?? 0 });
        output.line(
          `${pc.bold('model')}   ${event.name}, ${integer(event.numParameters)} parameters; ${event.optimizer}, ` +
            `learning rate ${Number(event.learningRate.toPrecision(3))} (${event.schedule}), ${event.epochs} ${event.epochs === 1 ? 'epoch' : 'epochs'} of ${event.stepsPerEpoch} steps ` +
            `of ${event.batchSize} in ${event.shards} shards, seed ${event.seed}` +
            (event.wire === undefined ? '' : `, wire ${event.wire}`),
        );
        return;
      case 'wire':
        output.line(`${pc.bold('wire')}    ${event.format} from step ${event.runStep + 1} on: ${event.reason}`);
        return;
      case 'progress':
        this.#progress(event);
        return;
      case 'step':
        output.line(
          pc.dim(
            `  step ${event.runStep}  loss ${event.loss.toFixed(4)}  learning rate ${event.learningRate.toPrecision(3)}`,
          ),
        );
        return;
      case 'epoch':
        // Not sooner: until the first epoch is over, workers may come and go.
        if (!this.#hasTable) {
          output.line();
          const measured = `${lossName(event).padStart(10)}  accuracy`;
          const how = this.#views === undefined ? '' : `  (last epoch: the mean over ${this.#views})`;
          output.line(pc.dim(`epoch   train loss  accuracy  ${measured}   samples/s   time${how}`));
        }
        this.#hasTable = true;
        output.line(epochLine(event));
        return;
      case 'resumed':
        output.line(`${pc.bold('resume')}  epoch ${event.epoch} after ${event.step} steps, from ${event.runDir}`);
        return;
      case 'error':
        output.notice(`${event.message} ${event.nextStep ?? ''}`);
        return;
      case 'done':
        output.endProgress();
        output.line();
        output.line(
          `${pc.green('done')}    test accuracy ${pc.bold(percent(event.testAccuracy))}, loss ${event.testLoss.toFixed(4)}, ` +
            `after ${duration((performance.now() - this.#started) / 1000)}`,
        );
        if (event.targetReached !== undefined) output.line(targetLine(event));
        output.line(`        saved in ${event.runDir}`);
        output.line(`        weights sha256 ${event.weightsSha256}`);
        return;
      default:
        event satisfies never;
    }
  }
}

function targetLine({ targetReached, secondsToTarget = 0 }: DoneEvent): string {
  return targetReached
    ? `        ${pc.green('target reached')} after ${secondsToTarget.toFixed(1)} s of training and evaluation`
    : `        ${pc.yellow('target NOT reached')}: more --epochs may help`;
}

function workerLine({ id, name, state, threads, engine, device, reason }: WorkerEvent): string {
  const who = name === undefined ? '' : `${id} (${name}) `;
  const what = state === 'ready' ? `${threads} threads, engine ${engine} on ${device}: ` : `${state}: `;
  return `${pc.bold('worker')}  ${who}${what}${reason}`;
}

const shards = ({ from, to }: { readonly from: number; readonly to: number }): string =>
  to === from + 1 ? `shard ${from}` : `shards ${from} to ${to - 1}`;

/** Heading of its column. */
const lossName = ({ evaluatedOn }: EpochEvent): string => `${evaluatedOn ?? 'test'} loss`;

function epochLine(event: EpochEvent): string {
  const epoch = `${event.epoch}/${event.epochs}`.padEnd(8);
  const columns = [
    event.trainLoss.toFixed(4).padStart(10),
    percent(event.trainAccuracy).padStart(8),
    event.testLoss.toFixed(4).padStart(Math.max(10, lossName(event).length)),
    percent(event.testAccuracy).padStart(8),
    integer(event.samplesPerSecond).padStart(10),
    `${event.seconds.toFixed(1)} s`.padStart(7),
  ];
  return `${epoch}${columns.join('  ')}`;
}
