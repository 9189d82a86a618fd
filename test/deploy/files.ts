/** The files of deploy/, read and taken apart. */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { ROOT } from '../lockstep.ts';

// biome-ignore lint/suspicious/noExplicitAny: what others define, and what the tests are about
export type Any = any;

export const DEPLOY = join(ROOT, 'deploy');

export const read = (path: string): string => readFileSync(join(DEPLOY, path), 'utf8');

/** Every document of a YAML file. @throws Error when it is not YAML */
export function yaml(path: string): Any[] {
  return parseAllDocuments(read(path), { merge: true }).map((document) => {
    if (document.errors.length > 0) throw document.errors[0];
    return document.toJS();
  });
}

/** Files below a folder of deploy/, relative to deploy/. */
export function filesBelow(folder: string): string[] {
  const entries = readdirSync(join(DEPLOY, folder), { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  return files.map(({ parentPath, name }) => relative(DEPLOY, join(parentPath, name))).sort();
}

/** What a checkout holds: no build output, nothing that git ignores. Relative to the root. */
export function filesOfCheckout(): string[] {
  const list = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], { cwd: ROOT });
  return list
    .toString()
    .split('\0')
    .filter((path) => path !== '');
}

/** The words of a command line, as a shell takes them apart, up to the first operator or comment. */
export function words(line: string): string[] {
  const result: string[] = [];
  for (const [word] of line.matchAll(/(?:"[^"]*"|'[^']*'|[^\s"'])+/g)) {
    if (/^(?:[|;#>]|&&|\\$)/.test(word)) break;
    const bare = word.replace(/[;)]$/, '');
    result.push(bare.replaceAll(/"([^"]*)"|'([^']*)'/g, (_, double, single) => double ?? single));
    if (bare !== word) break;
  }
  return result;
}

/** Whether a program can be run here. */
export function has(program: string, argument = '--version'): boolean {
  try {
    execFileSync(program, [argument], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
