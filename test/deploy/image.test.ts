/**
 * Goes through the steps of Dockerfile.cpu in folders instead of layers, as far as they can be done without a container engine,
 * and trains with what would be in the image. Takes minutes and the network, so it is asked for by LOCKSTEP_CHECK_IMAGE=1.
 */
import { execFile } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, statSync, symlinkSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { offline, ROOT, temporaryFolder } from '../lockstep.ts';
import { isInContext, parseCopy, parseDockerfile, type Stage } from './dockerfile.ts';
import { filesOfCheckout } from './files.ts';

const run = promisify(execFile);

/** The root folder of each stage, and what was left out. */
class Layers {
  readonly folders = new Map<string, string>();
  readonly leftOut: string[] = [];
  readonly #context: string;

  constructor(context: string) {
    this.#context = context;
  }

  /** Does what a stage says. @returns its root folder */
  async build(stage: Stage): Promise<string> {
    const root = join(temporaryFolder(), 'root');
    const before = this.folders.get(stage.base);
    if (before) cpSync(before, root, { recursive: true, verbatimSymlinks: true });
    mkdirSync(join(root, 'app'), { recursive: true });
    for (const instruction of stage.instructions) {
      if (instruction.name === 'COPY') this.#copy(root, parseCopy(instruction));
      if (instruction.name === 'RUN') await this.#run(root, instruction.text);
    }
    if (stage.name) this.folders.set(stage.name, root);
    return root;
  }

  #copy(root: string, { from, sources, target }: ReturnType<typeof parseCopy>): void {
    const origin = from === undefined ? this.#context : this.folders.get(from)!;
    const place = join(root, target.startsWith('/') ? target : join('app', target));
    for (const source of sources) {
      const path = join(origin, source);
      // A folder's content goes into the target, a file stays one.
      const to = statSync(path).isDirectory() ? place : join(place, basename(path));
      mkdirSync(dirname(to), { recursive: true });
      cpSync(path, to, { recursive: true, verbatimSymlinks: true });
    }
  }

  async #run(root: string, command: string): Promise<void> {
    // They change the system of the image.
    if (/apt-get|ln -s/.test(command)) {
      this.leftOut.push(command);
      return;
    }
    const env = { ...process.env, npm_config_prefix: join(root, 'usr'), NODE_ENV: undefined };
    await run('sh', ['-ec', command], { cwd: join(root, 'app'), env, maxBuffer: 2 ** 26 });
  }
}

it.skipIf(!process.env.LOCKSTEP_CHECK_IMAGE)('Dockerfile.cpu makes what trains', { timeout: 900_000 }, async () => {
  const context = temporaryFolder();
  for (const path of filesOfCheckout().filter((path) => isInContext(path) && existsSync(join(ROOT, path)))) {
    cpSync(join(ROOT, path), join(context, path));
  }
  const layers = new Layers(context);
  let root = '';
  for (const stage of parseDockerfile('docker/Dockerfile.cpu')) root = await layers.build(stage);
  expect(existsSync(join(root, 'app/packages/web/dist/index.html'))).toBe(true);
  // What the image adds to a bare system, and nothing of the build.
  expect(layers.leftOut).toHaveLength(2);
  for (const absent of ['src', 'node_modules/typescript', 'node_modules/@tensorflow/tfjs-node-gpu']) {
    expect(existsSync(join(root, 'app', absent)), absent).toBe(false);
  }
  expect(existsSync(join(root, 'app/packages/core/src'))).toBe(false);

  // As in the image, the command is a link on the path.
  mkdirSync(join(root, 'bin'));
  symlinkSync('../app/packages/cli/bin/lockstep.js', join(root, 'bin/lockstep'));
  const env = { ...offline(), NODE_ENV: 'production', PATH: `${join(root, 'bin')}:${process.env.PATH}` };
  const line = ['train', '--dataset', 'synthetic', '--epochs', '1', '--limit-train', '6000', '--json'];
  const { stdout } = await run('lockstep', line, { cwd: temporaryFolder(), env });
  expect(JSON.parse(stdout.trim().split('\n').at(-1)!)).toMatchObject({ event: 'done', samples: 6000 });
});
