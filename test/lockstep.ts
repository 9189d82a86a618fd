/** Runs the built command as a user would. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { syntheticDataset } from '@lockstep/dataset';

export const ROOT = fileURLToPath(new URL('..', import.meta.url));
export const COMMAND = join(ROOT, 'packages/cli/bin/lockstep.js');

export interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** Standard output as JSON lines; empty unless --json was given. */
  // biome-ignore lint/suspicious/noExplicitAny: events are checked against their schema where it matters
  readonly events: any[];
}

/** A new empty folder that the system cleans up. */
export const temporaryFolder = (): string => mkdtempSync(join(tmpdir(), 'lockstep-test-'));

/** Writes an array of bytes in the IDX format. */
function writeIdx(path: string, dims: readonly number[], values: Uint8Array): void {
  const header = new DataView(new ArrayBuffer(4 + 4 * dims.length));
  header.setUint32(0, 0x0800 + dims.length);
  for (const [i, dimension] of dims.entries()) header.setUint32(4 + 4 * i, dimension);
  writeFileSync(path, Buffer.concat([new Uint8Array(header.buffer), values]));
}

/** A folder with a small dataset, so that a test does not draw 70,000 pictures. */
export function smallDataset(numTrain = 3000, numTest = 200): string {
  const folder = temporaryFolder();
  const { train, test } = syntheticDataset({ seed: 1, numTrain, numTest });
  for (const [prefix, { images, labels, count }] of [
    ['train', train],
    ['t10k', test],
  ] as const) {
    writeIdx(join(folder, `${prefix}-images-idx3-ubyte`), [count, 28, 28], images);
    writeIdx(join(folder, `${prefix}-labels-idx1-ubyte`), [count], labels);
  }
  return folder;
}

/** An environment in which no dataset is found but the synthetic one, and nothing is downloaded. */
export const offline = (): NodeJS.ProcessEnv => ({
  ...process.env,
  LOCKSTEP_DATA_DIR: undefined,
  LOCKSTEP_CACHE_DIR: temporaryFolder(),
  LOCKSTEP_MIRRORS: 'http://127.0.0.1:9/',
  NO_COLOR: '1',
});

/** Starts the command in a folder of its own. */
export function start(
  args: readonly string[],
  env: NodeJS.ProcessEnv = offline(),
  cwd = temporaryFolder(),
): ChildProcess {
  return spawn(process.execPath, [COMMAND, ...args], { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
}

/** Waits for the end of a process and collects what it said. */
export function finished(child: ChildProcess): Promise<Finished> {
  let stdout = '';
  let stderr = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  return new Promise((resolve) => {
    child.on('close', (code) => {
      const lines = stdout.split('\n').filter((line) => line.startsWith('{'));
      resolve({ code, stdout, stderr, events: lines.map((line) => JSON.parse(line)) });
    });
  });
}

export const lockstep = (args: readonly string[], env?: NodeJS.ProcessEnv, cwd?: string): Promise<Finished> =>
  finished(start(args, env, cwd));

/** A command that is under way, and the JSON lines that it has written so far. */
export class Running {
  readonly child: ChildProcess;
  // biome-ignore lint/suspicious/noExplicitAny: as in Finished
  readonly events: any[] = [];
  readonly end: Promise<Finished>;
  /** Its words for people. */
  text = '';
  #onEvent: (() => void)[] = [];

  constructor(args: readonly string[], env?: NodeJS.ProcessEnv, cwd?: string) {
    this.child = start(args, env, cwd);
    let rest = '';
    this.child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop()!;
      this.events.push(...lines.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line)));
      for (const wake of this.#onEvent.splice(0)) wake();
    });
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.text += text;
    });
    this.end = finished(this.child);
  }

  /** Waits for the first event, from number `first` on, that is as described. */
  // biome-ignore lint/suspicious/noExplicitAny: as in Finished
  async event(matches: (event: any) => boolean, first = 0): Promise<any> {
    for (;;) {
      const found = this.events.slice(first).find(matches);
      if (found) return found;
      if (this.child.exitCode !== null || this.child.signalCode !== null)
        throw new Error(`it ended: ${(await this.end).stderr}`);
      await Promise.race([new Promise<void>((resolve) => this.#onEvent.push(resolve)), this.end]);
    }
  }

  kill(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }
}
