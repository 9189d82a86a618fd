/** `lockstep bench [engines|aggregate|accuracy]`: how fast, how well it scales, and whether that became worse. */
import {
  accuracyOptions,
  aggregateOptions,
  type BenchContext,
  type BenchEvent,
  type BenchReport,
  benchAccuracy,
  benchAggregate,
  benchEngines,
  benchOptions,
  benchTraining,
  checkFolder,
  defaultFolder,
  enginesOptions,
  writeReport,
} from '@lockstep/bench';
import { LockstepError } from '@lockstep/core';
import type { Command } from 'commander';
import pc from 'picocolors';
import type { z } from 'zod';
import { addOptions, checkOptions, JSON_LINES } from '../options.ts';
import { bar, duration, integer, Output } from '../output.ts';
import { interruptible } from '../signals.ts';
import { tokenFrom } from '../token.ts';
import { resultLines } from './bench-results.ts';
import { showDownload } from './download-progress.ts';

const FILES =
  '\nWrites bench.json, bench.md and, for training, bench.svg. Exit codes: 0 done, 1 slower than the baseline.';

export function benchCommand(program: Command): void {
  const command = program
    .command('bench')
    .description('Measure how training scales over workers, in interleaved blocks, with intervals and fitted laws.')
    .option(...JSON_LINES)
    .addHelpText('after', FILES);
  addOptions(command, benchOptions).action((flags: Flags) => run(flags, benchOptions, benchTraining));

  const engines = command
    .command('engines')
    .description('Compare the engines of this machine: gradients of one thread, by model and micro-batch.')
    .option(...JSON_LINES)
    .addHelpText('after', FILES);
  addOptions(engines, enginesOptions).action((flags: Flags) => run(flags, enginesOptions, benchEngines));

  const aggregate = command
    .command('aggregate')
    .description('Measure the coordinator alone: sum and update against memory, and gradients over loopback.')
    .option(...JSON_LINES)
    .addHelpText('after', FILES);
  addOptions(aggregate, aggregateOptions).action((flags: Flags) => run(flags, aggregateOptions, benchAggregate));

  const accuracy = command
    .command('accuracy')
    .description('Train every recipe, and measure how long it takes to reach given test accuracies.')
    .option(...JSON_LINES)
    .addHelpText('after', '\nWrites bench.json and bench.md.');
  addOptions(accuracy, accuracyOptions).action((flags: Flags) => run(flags, accuracyOptions, benchAccuracy));
}

interface Flags extends Record<string, unknown> {
  readonly json?: boolean;
  readonly token?: string;
  readonly out?: string;
}

type Measure<Options> = (options: Options, context: BenchContext) => AsyncGenerator<BenchEvent, void, void>;

async function run<Schema extends z.ZodObject>(
  { json, ...given }: Flags,
  schema: Schema,
  measure: Measure<z.input<Schema>>,
): Promise<void> {
  const output = new Output(json ?? false);
  // The flags as they were typed: the library turns them into what they mean.
  checkOptions(schema, given);
  const out = given.out ?? defaultFolder(new Date());
  await checkFolder(out);
  const token = 'token' in schema.shape ? tokenFrom(given.token) : undefined;
  const options = { ...given, ...(token === undefined ? {} : { token }) } as z.input<Schema>;
  const signal = interruptible(output, 'Stopping; nothing will be written');
  const display = new Display(output);
  const context: BenchContext = {
    signal,
    command: commandLine(process.argv.slice(2)),
    onInvitation: (command) => display.invite(command),
    onWaiting: (ready, needed) => display.wait(ready, needed),
    onDownload: showDownload(output),
  };
  let report: BenchReport | undefined;
  for await (const event of measure(options, context)) {
    display.event(event);
    if (event.event === 'report') report = event.report;
    else if (event.event !== 'progress') output.event(event);
  }
  await finish(output, report!, out);
}

/** As it was typed, without the token. */
function commandLine(words: readonly string[]): string {
  const shown = words.map((word, i) => {
    if (words[i - 1] === '--token') return '…';
    return word.startsWith('--token=') ? '--token=…' : word;
  });
  return ['lockstep', ...shown].join(' ');
}

/** Writes the report, and says what became slower. @throws LockstepError `regression` */
async function finish(output: Output, report: BenchReport, out: string): Promise<void> {
  const files = await writeReport(report, out);
  output.endProgress();
  for (const line of resultLines(report)) output.line(line);
  for (const file of files) output.line(`${pc.green('saved')}   ${file}`);
  const { comparison } = report;
  const slower = comparison?.points.filter(({ verdict }) => verdict === 'slower') ?? [];
  output.event({ event: 'done', files, slower: slower.map(({ subject }) => subject), report });
  if (!comparison || slower.length === 0) return;
  const list = slower.map(({ subject, ratio }) => `${subject} (${ratio.median.toFixed(2)} times as fast)`);
  throw new LockstepError(
    'regression',
    `${slower.length} of ${comparison.points.length} are slower than in ${comparison.baseline}, beyond noise: ${list.join('; ')}.`,
    comparison.differences.length > 0
      ? `Not all of it need be the program's doing: ${comparison.differences.join(' ')}`
      : 'Measure again on a quiet machine; if it stays, look at the phases in bench.md.',
  );
}

/** Says in words what a benchmark does. */
class Display {
  readonly #output: Output;

  constructor(output: Output) {
    this.#output = output;
  }

  /** @param command joins the run from another machine; may hold a token that was made for it */
  invite(command: string): void {
    this.#output.line(`${pc.bold('join')}    ${command}`);
  }

  wait(ready: number, needed: number): void {
    this.#output.line(`${pc.bold('wait')}    ${ready} of ${needed} workers are ready`);
    this.#output.event({ event: 'waiting', ready, needed });
  }

  event(event: BenchEvent): void {
    const output = this.#output;
    switch (event.event) {
      case 'bench': {
        const { cpu, cores, memoryBytes, node } = event.machine;
        const memory = `${(memoryBytes / 2 ** 30).toFixed(0)} GiB`;
        output.line(`${pc.bold('machine')} ${cpu}, ${cores} cores, ${memory}, Node.js ${node}`);
        if (event.load.warning !== null) output.notice(`The machine is busy: ${event.load.warning}`);
        return;
      }
      case 'dataset':
        output.endProgress();
        output.line(`${pc.bold('data')}    ${event.name} (${event.source})`);
        return;
      case 'skipped':
        output.line(`${pc.yellow('skip')}    ${event.what}: ${event.reason}`);
        return;
      case 'subject':
        output.line(pc.dim(`ready   ${event.subject}`));
        return;
      case 'block':
        return;
      case 'progress': {
        const { fraction, etaSeconds, doing } = event;
        const percent = `${Math.floor(fraction * 100)} %`.padStart(5);
        output.progress(`${bar(fraction)} ${percent}  ${duration(etaSeconds)} left  ${doing}`);
        return;
      }
      case 'report':
        output.endProgress();
        output.line(`${pc.green('done')}    after ${integer(event.report.seconds)} s`);
        return;
      default:
        event satisfies never;
    }
  }
}
