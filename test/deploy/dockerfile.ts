/** Takes Dockerfiles and the list of ignored files apart. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../lockstep.ts';
import { read } from './files.ts';

export interface Instruction {
  readonly name: string;
  readonly text: string;
}

export interface Stage {
  readonly name: string | undefined;
  readonly base: string;
  readonly instructions: readonly Instruction[];
}

export interface Copy {
  /** Stage to copy from; undefined for the build context. */
  readonly from: string | undefined;
  readonly sources: readonly string[];
  readonly target: string;
}

/** The stages of a Dockerfile; what stands before the first is left out. */
export function parseDockerfile(path: string): Stage[] {
  const text = read(path)
    .replaceAll(/^\s*#.*\n/gm, '')
    .replaceAll(/\\\n\s*/g, ' ');
  const stages: { name: string | undefined; base: string; instructions: Instruction[] }[] = [];
  for (const line of text.split('\n').filter((line) => line.trim() !== '')) {
    const [, name, rest] = /^(\w+)\s+(.*)$/.exec(line)!;
    const from = /^(\S+)(?:\s+AS\s+(\S+))?$/i.exec(rest!);
    if (name === 'FROM') stages.push({ base: from![1]!, name: from![2], instructions: [] });
    else stages.at(-1)?.instructions.push({ name: name!, text: rest! });
  }
  return stages;
}

export function parseCopy({ text }: Instruction): Copy {
  const flags = [...text.matchAll(/--(\w+)=(\S+)/g)];
  const paths = text
    .replaceAll(/--\w+=\S+/g, '')
    .trim()
    .split(/\s+/);
  return {
    from: flags.find(([, name]) => name === 'from')?.[2],
    sources: paths.slice(0, -1),
    target: paths.at(-1)!,
  };
}

/** The last instruction of a name. */
export const lastOf = (stage: Stage, name: string): string | undefined =>
  stage.instructions.findLast((instruction) => instruction.name === name)?.text;

/** A pattern of .dockerignore as a regular expression: `**` is any number of folders, `*` anything within a name. */
const globOf = (pattern: string): RegExp =>
  new RegExp(
    `^${pattern
      .replaceAll('.', '\\.')
      .replaceAll('**/', '(?:<any>/)?')
      .replaceAll('*', '[^/]*')
      .replaceAll('<any>', '.*')}$`,
  );

/** Whether a path gets into the build context: the last pattern that matches it, or a folder above it, decides. */
export function isInContext(path: string): boolean {
  const patterns = readFileSync(join(ROOT, '.dockerignore'), 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'));
  const folders = path.split('/').map((_, i, parts) => parts.slice(0, i + 1).join('/'));
  return patterns.reduce((isIn, pattern) => {
    const bare = pattern.replace(/^!/, '');
    return folders.some((folder) => globOf(bare).test(folder)) ? pattern.startsWith('!') : isIn;
  }, true);
}
