/** Finds every command line of lockstep in deploy/, with stand-ins for what is only known where it runs. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { lockstep, offline, smallDataset, temporaryFolder } from '../lockstep.ts';
import { lastOf, parseDockerfile } from './dockerfile.ts';
import { type Any, filesBelow, read, words, yaml } from './files.ts';

/** What follows `lockstep`, and where it stands. */
export interface CommandLine {
  readonly where: string;
  readonly args: readonly string[];
}

/** `lockstep-coordinate RUN_DIR recipe… -- flags…` begins a run or goes on with it: two command lines. */
function coordinate(where: string, [run, ...rest]: readonly string[]): CommandLine[] {
  const end = rest.includes('--') ? rest.indexOf('--') : rest.length;
  const [recipe, flags] = [rest.slice(0, end), rest.slice(end + 1)];
  return [
    { where: `${where}, a new run`, args: ['train', '--run-dir', run!, ...recipe, ...flags] },
    { where: `${where}, resumed`, args: ['train', '--resume', run!, ...flags] },
  ];
}

/** A command line of either of the two programs, by the words of it. */
function commandOf(where: string, line: readonly string[]): CommandLine[] {
  const at = line.findIndex((word) => /(?:^|\/)lockstep(?:-coordinate|\.js|\.sbatch|:\w+)?$/.test(word));
  // A namespace of that name.
  if (at < 0 || ['-n', 'namespace'].includes(line[at - 1]!)) return [];
  const args = line.slice(at + 1);
  if (line[at]!.endsWith('lockstep-coordinate')) return coordinate(where, args);
  if (line[at]!.endsWith('lockstep.sbatch')) return [{ where, args: ['train', ...args] }];
  // An image with another program in it.
  if (args[0] === '--') return commandOf(where, args);
  return args.length === 0 ? [] : [{ where, args }];
}

const fromDockerfiles = (): CommandLine[] =>
  ['docker/Dockerfile.cpu', 'docker/Dockerfile.cuda'].flatMap((path) => {
    const last = parseDockerfile(path).at(-1)!;
    const line = [...JSON.parse(lastOf(last, 'ENTRYPOINT')!), ...JSON.parse(lastOf(last, 'CMD')!)];
    return commandOf(path, line);
  });

/** `${NAME:-default}` as its default, else a word. */
export const interpolate = (text: string): string =>
  text.replaceAll(/\$\{\w+(?::([-?])([^}]*))?\}/g, (_, kind, value) => (kind === '-' ? value : 'word'));

const fromCompose = (): CommandLine[] => {
  const [{ services }] = yaml('compose.yaml');
  const entrypoint = JSON.parse(lastOf(parseDockerfile('docker/Dockerfile.cpu').at(-1)!, 'ENTRYPOINT')!);
  return Object.entries<Any>(services).flatMap(([name, service]) => {
    if (!/^lockstep\b/.test(service.image)) return [];
    const command = typeof service.command === 'string' ? words(interpolate(service.command)) : service.command;
    return commandOf(`compose.yaml: ${name}`, [...(service.entrypoint ?? entrypoint), ...command.map(interpolate)]);
  });
};

const fromKubernetes = (): CommandLine[] =>
  filesBelow('kubernetes')
    .filter((path) => path.endsWith('.yaml') && !path.endsWith('kustomization.yaml'))
    .flatMap((path) => yaml(path).map((document) => ({ path, document })))
    .flatMap(({ path, document }) => {
      const containers: Any[] = document?.spec?.template?.spec?.containers ?? [];
      return containers
        .filter(({ args }) => args !== undefined)
        .flatMap(({ command = ['lockstep'], args }) =>
          commandOf(
            path,
            [...command, ...args].map((word: string) => word.replaceAll(/\$\(\w+\)/g, '2')),
          ),
        );
    });

/** A unit's command with the values that the unit itself gives its variables. */
const fromUnits = (): CommandLine[] =>
  filesBelow('systemd')
    .filter((path) => path.endsWith('.service'))
    .flatMap((path) => {
      const unit = read(path);
      const values = new Map([['LOCKSTEP_URL', 'ws://192.168.1.5:7070']]);
      for (const [, quoted, plain] of unit.matchAll(/^Environment=(?:"([^"]*)"|(.*))$/gm)) {
        for (const [, name, value] of (quoted ?? plain)!.matchAll(quoted ? /(\w+)=(.*)/g : /(\w+)=(\S*)/g)) {
          values.set(name!, value!);
        }
      }
      const [, line] = /^ExecStart=(.*)$/m.exec(unit)!;
      const expanded = line!.replaceAll(/\$\{?(\w+)\}?/g, (_, name) => values.get(name) ?? 'missing');
      return commandOf(path, words(expanded.replaceAll('%H', 'host').replaceAll('%i', '0')));
    });

/** The script's own lines, with values for its variables. */
const fromSlurm = (): CommandLine[] => {
  const path = 'slurm/lockstep.sbatch';
  const values: Readonly<Record<string, string>> = {
    lockstep: 'lockstep.js',
    run: 'run',
    me: '1_2',
    host: '127.0.0.1',
    port: '7070',
    home: '.',
    'flags[@]': '--workers 1 --device cpu',
    '@': '--model cnn',
  };
  const lines = read(path)
    .replaceAll(/\\\n\s*/g, ' ')
    .split('\n');
  return lines
    .filter((line) => /attend .*lockstep/.test(line))
    .flatMap((line) => {
      const expanded = line.replaceAll(/"?\$\{?([\w@[\]]+)\}?"?(?=[ "/:]|$)/g, (_, name) => values[name] ?? 'missing');
      return commandOf(path, words(expanded.replaceAll('"', '').replace(/^.*attend /, '')));
    });
};

/** Examples in documents, between backticks or in blocks, and in comments. */
const fromProse = (): CommandLine[] =>
  filesBelow('.')
    .filter((path) => /\.(?:md|yaml|yml|sbatch|cpu|cuda|example)$/.test(path))
    .flatMap((path) => {
      const text = read(path).replaceAll(/\\\n#?\s*/g, ' ');
      const inBlocks = [...text.matchAll(/^```sh\n([\s\S]*?)^```/gm)].flatMap(([, block]) => block!.split('\n'));
      const inline = [...text.matchAll(/`([^`\n]+)`/g)].map(([, code]) => code!);
      const inComments = [...text.matchAll(/^#\s{2,}(.*)$/gm)].map(([, comment]) => comment!);
      return (
        [...inBlocks, ...inline, ...inComments]
          .filter((line) => /\b(?:lockstep(?::\w+)? (?:-- )?[a-z]|lockstep-coordinate |lockstep\.sbatch )/.test(line))
          .flatMap((line) => commandOf(path, words(line.replaceAll(/<[^>]*>|…/g, 'word'))))
          // The name of a command, in a sentence.
          .filter(({ args }) => args.length > 1)
      );
    });

export function commandLines(): CommandLine[] {
  const all = [fromDockerfiles, fromCompose, fromKubernetes, fromUnits, fromSlurm, fromProse].flatMap((find) => find());
  return [...new Map(all.map((line) => [line.args.join(' '), line])).values()];
}

const COMMAND = /^(?:train|join|evaluate|status|predict|export|bench|dataset)$/;

let unfinished: Promise<string> | undefined;

/** The folder of a run that can be resumed. */
async function unfinishedRun(): Promise<string> {
  const folder = temporaryFolder();
  const small = ['--model', 'mlp', '--epochs', '1', '--batch-size', '8', '--data-dir', smallDataset(16, 8)];
  await lockstep(['train', ...small, '--workers', '1', '--run-dir', join(folder, 'run')]);
  rmSync(join(folder, 'run/weights.safetensors'));
  return join(folder, 'run');
}

/**
 * Lets the real command read a command line, so far that flags, values and their combination have been checked, but no
 * farther: training finds no data, and joining nobody.
 * @returns what is wrong with it; undefined when nothing is
 */
export async function objection({ args }: CommandLine): Promise<string | undefined> {
  const [command, ...rest] = args;
  if (!COMMAND.test(command!)) return `${command} is no command`;
  if (command === 'train') return objectionToTraining(rest);
  if (command === 'join') {
    const [url, ...flags] = rest;
    if (!/^wss?:\/\/[\w.-]+(?::\d+)?$/.test(url!)) return `${url} is no URL of a coordinator`;
    // Nobody listens there, and it does not wait for somebody to come.
    const line = ['join', 'ws://127.0.0.1:9', ...flags, '--patience', '0', '--json'];
    return unless('coordinator-unreachable', line);
  }
  const [subcommand] = command === 'dataset' ? rest : [];
  const { stdout } = await lockstep([command!, ...(subcommand ? [subcommand] : []), '--help']);
  const flags = rest.filter((word) => word.startsWith('--'));
  return flags.find((flag) => !stdout.includes(flag.replace(/=.*/, '')));
}

async function objectionToTraining(rest: readonly string[]): Promise<string | undefined> {
  const at = rest.indexOf('--resume');
  const line = ['train', ...rest];
  if (at >= 0) {
    unfinished ??= unfinishedRun();
    line[at + 2] = await unfinished;
    return unless('dataset-not-found', [...line, '--data-dir', '/nowhere', '--json']);
  }
  return unless('dataset-not-found', [...line, '--dataset', 'fashion-mnist', '--data-dir', '/nowhere', '--json']);
}

async function unless(code: string, line: readonly string[]): Promise<string | undefined> {
  const { events, stdout, stderr } = await lockstep(line, { ...offline(), LOCKSTEP_TOKEN: undefined });
  const last = events.at(-1);
  return last?.code === code ? undefined : `${line.join(' ')}: ${last?.message ?? stdout + stderr}`;
}
