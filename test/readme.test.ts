/** The README's example runs as it stands. */
import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, describe, expect, it } from 'vitest';
import { lockstep, offline, ROOT, smallDataset, temporaryFolder } from './lockstep.ts';

const readme = readFileSync(join(ROOT, 'README.md'), 'utf8');
// Inside the repository, so that the packages are found as by a user of the workspace.
const folder = join(ROOT, 'test', '.readme-example');
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('README', () => {
  it('has an example that trains', async () => {
    const [, example] = readme.match(/```ts\n([\s\S]*?)```/)!;
    mkdirSync(folder, { recursive: true });
    // No type annotations in it: Node runs it as it is.
    writeFileSync(join(folder, 'example.mjs'), example!);
    const env = { ...offline(), LOCKSTEP_DATA_DIR: smallDataset(2000, 100) };
    const { stdout } = await promisify(execFile)(process.execPath, [join(folder, 'example.mjs')], {
      cwd: temporaryFolder(),
      env,
    });
    const [first, second, hash] = stdout.trim().split('\n');
    expect(first).toMatch(/^1 0\.\d+$/);
    expect(second).toMatch(/^2 0\.\d+$/);
    expect(hash).toMatch(/^[0-9a-f]{64}$/);
  });

  it('names only commands and flags that exist', async () => {
    const commands = [...readme.matchAll(/npx lockstep (\w+(?: (?:fetch|verify|show|tensorflow))?)([^\n`#|;]*)/g)];
    const helps = new Map<string, string>();
    for (const [, command, rest] of commands) {
      if (!helps.has(command!)) {
        const { code, stdout } = await lockstep([...command!.split(' '), '--help']);
        expect(code).toBe(0);
        helps.set(command!, stdout);
      }
      for (const [flag] of rest!.matchAll(/--[a-z-]+/g)) expect(helps.get(command!), command).toContain(flag);
    }
    expect(helps.size).toBeGreaterThan(8);
  });
});
