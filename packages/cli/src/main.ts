/** The command line: parses, runs a command, and turns what went wrong into a sentence and an exit code. */
import { LockstepError } from '@lockstep/core';
import { Command, CommanderError } from 'commander';
import pc from 'picocolors';
import { die, INTERRUPTED } from './signals.ts';

const FAILED = 1;
const WRONG_USAGE = 2;

/** In the order of the help. Loaded when they are needed: one does not wait for what the others stand on. */
const commands = {
  train: async () => (await import('./commands/train.ts')).trainCommand,
  join: async () => (await import('./commands/join.ts')).joinCommand,
  status: async () => (await import('./commands/status.ts')).statusCommand,
  bench: async () => (await import('./commands/bench.ts')).benchCommand,
  evaluate: async () => (await import('./commands/evaluate.ts')).evaluateCommand,
  predict: async () => (await import('./commands/predict.ts')).predictCommand,
  export: async () => (await import('./commands/export.ts')).exportCommand,
  dataset: async () => (await import('./commands/dataset.ts')).datasetCommand,
  devices: async () => (await import('./commands/devices.ts')).devicesCommand,
  setup: async () => (await import('./commands/setup.ts')).setupCommand,
} as const;

/** @param first word of the command line; when it names no command, the program knows all of them */
async function createProgram(first: string | undefined): Promise<Command> {
  const program = new Command('lockstep')
    .description('Synchronous data-parallel training whose result does not depend on who computed it.')
    .version('0.1.0')
    .exitOverride()
    // A command's flags stand behind its name: `bench` and the commands below it have some of the same.
    .enablePositionalOptions()
    .configureHelp({ sortSubcommands: false })
    .configureOutput({ outputError: () => {} });
  const wanted = Object.entries(commands).filter(([name]) => name === first);
  for (const [, load] of wanted.length > 0 ? wanted : Object.entries(commands)) (await load())(program);
  const inherit = (command: Command): void => {
    for (const child of command.commands) inherit(child.copyInheritedSettings(command));
  };
  inherit(program);
  return program;
}

/** Runs the command line. Sets the exit code: 0 done, 1 failed, 2 wrong usage, 130 interrupted. */
export async function main(argv: readonly string[]): Promise<void> {
  try {
    await (await createProgram(argv[2])).parseAsync(argv);
    process.exitCode = 0;
  } catch (error) {
    process.exitCode = report(error, argv.includes('--json'));
    // A thread is stuck, perhaps in native code: a regular exit would wait for it.
    if (error instanceof LockstepError && error.code === 'worker-timeout') die('SIGKILL');
  }
  // What is still open (a signal handler, a timer) must not keep the command alive.
  if (process.stdout.writableLength > 0) await new Promise((resolve) => process.stdout.write('', resolve));
  process.exit();
}

/** Tells people, and with --json programs, what went wrong. Returns the exit code. */
function report(error: unknown, json: boolean): number {
  if (error instanceof CommanderError) return reportUsage(error, json);
  const known = error instanceof LockstepError ? error : undefined;
  const message = known?.message ?? (error instanceof Error ? (error.stack ?? error.message) : String(error));
  const code = known?.code ?? 'internal';
  const nextStep = known?.nextStep ?? 'This is a fault of Lockstep: please report it with the lines above.';
  if (json) process.stdout.write(`${JSON.stringify({ event: 'error', fatal: true, code, message, nextStep })}\n`);
  process.stderr.write(`${pc.red(code === 'interrupted' ? 'stopped' : 'error')}   ${message}\n        ${nextStep}\n`);
  if (code === 'interrupted') return INTERRUPTED;
  return code === 'usage' ? WRONG_USAGE : FAILED;
}

function reportUsage(error: CommanderError, json: boolean): number {
  // Help and version are no errors.
  if (error.exitCode === 0) return 0;
  if (error.code === 'commander.help') return WRONG_USAGE;
  const message = error.message.replace(/^error: /, '');
  if (json)
    process.stdout.write(
      `${JSON.stringify({ event: 'error', fatal: true, code: 'usage', message, nextStep: 'See --help.' })}\n`,
    );
  process.stderr.write(`${pc.red('error')}   ${message}\n        See lockstep --help, or lockstep <command> --help.\n`);
  return WRONG_USAGE;
}
