/** The files of deploy/: held to the real command line, to each other, and to what exists. More in deploy/*.test.ts. */
import { execFile, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { commandLines, objection } from './deploy/commands.ts';
import { isInContext, lastOf, parseCopy, parseDockerfile } from './deploy/dockerfile.ts';
import { type Any, DEPLOY, filesBelow, filesOfCheckout, has, read } from './deploy/files.ts';
import { lockstep, offline, ROOT, smallDataset, temporaryFolder } from './lockstep.ts';

const run = promisify(execFile);

describe('command lines in deploy/', () => {
  const lines = commandLines();

  it('are found in every kind of file', () => {
    const places = lines.map(({ where }) => where);
    const kinds = [/^docker\/Dockerfile/, /^compose/, /^kubernetes/, /^systemd/, /^slurm.*sbatch/, /\.md$/];
    for (const kind of kinds) expect(places).toContainEqual(expect.stringMatching(kind));
  });

  it.for([
    ['train', '--no-such-flag'],
    ['train', '--epochs', 'many'],
    ['train', '--resume', 'run', '--epochs', '3'],
    ['join', 'ws://a:7070', '--no-such-flag'],
    ['join', 'a:7070'],
    ['status', '--no-such-flag'],
    ['no-such-command'],
  ])('would be refused if wrong: %j', async (args) => {
    expect(await objection({ where: '', args })).toBeDefined();
  });

  const titled = lines.map((line) => [`${line.where}: ${line.args.join(' ')}`, line] as const);
  it.for(titled)('%s', async ([, line]) => {
    expect(await objection(line)).toBeUndefined();
  });
});

describe('lockstep-coordinate', () => {
  const program = join(DEPLOY, 'bin/lockstep-coordinate');

  /** Runs it, and ends it after the first event that is as described. */
  async function start(args: readonly string[], cwd: string, until?: (event: Any) => boolean) {
    const child = spawn(program, [...args, '--json'], { cwd, env: offline(), stdio: ['ignore', 'pipe', 'ignore'] });
    const events: Any[] = [];
    let rest = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop()!;
      events.push(...lines.map((line) => JSON.parse(line)));
      // Once: a second one would end it before it has saved.
      if (until && !child.killed && events.some(until)) child.kill('SIGTERM');
    });
    const code = await new Promise((resolve) => child.once('close', resolve));
    return { code, events };
  }

  it('begins a run, goes on with it, and leaves it alone when it is finished', async () => {
    const data = ['--data-dir', smallDataset(640, 50)];
    const recipe = ['--model', 'mlp', '--optimizer', 'adam', '--epochs', '40', '--batch-size', '16'];
    const flags = ['--workers', '1', '--log-every', '1', ...data];
    const quiet = await lockstep(['train', ...recipe, ...data, '--workers', '1', '--json']);
    const cwd = temporaryFolder();
    // What a start leaves behind that was ended before it trained.
    mkdirSync(join(cwd, 'run'));
    writeFileSync(join(cwd, 'run/config.json'), '{}');
    const line = ['run', ...recipe, '--', ...flags];
    const first = await start(line, cwd, ({ event, runStep }) => event === 'step' && runStep >= 20);
    expect(first.code).toBe(130);
    const second = await start(line, cwd);
    expect(second.code).toBe(0);
    expect(second.events.find(({ event }) => event === 'resumed').runStep).toBeGreaterThanOrEqual(20);
    expect(second.events.at(-1).weightsSha256).toBe(quiet.events.at(-1).weightsSha256);
    expect(await start(line, cwd)).toEqual({ code: 0, events: [] });
  });

  it('wants a folder', async () => {
    await expect(run(program, [])).rejects.toMatchObject({ code: 2, stderr: expect.stringMatching(/^usage:/) });
  });
});

describe('images', () => {
  const files = filesOfCheckout();
  const [cpu, cuda] = ['docker/Dockerfile.cpu', 'docker/Dockerfile.cuda'].map(parseDockerfile);

  it.for([cpu!, cuda!])('copy what exists, and what .dockerignore lets through', (stages) => {
    for (const [i, stage] of stages.entries()) {
      for (const copy of stage.instructions.filter(({ name }) => name === 'COPY').map(parseCopy)) {
        if (copy.from !== undefined) {
          expect(stages.slice(0, i).map(({ name }) => name)).toContain(copy.from);
          continue;
        }
        for (const source of copy.sources) {
          const found = files.filter((path) => source === '.' || path === source || path.startsWith(`${source}/`));
          expect(found, source).not.toEqual([]);
          expect(found.some(isInContext), `${source} in the context`).toBe(true);
        }
      }
    }
  });

  it('have a context of sources alone', () => {
    const context = files.filter(isInContext);
    expect(context).toContain('packages/core/kernels/kernels.ts');
    expect(context).toContain('deploy/bin/lockstep-coordinate');
    expect(context.filter((path) => !/^(?:packages\/|deploy\/(?:bin|docker)\/|[^/]+$)/.test(path))).toEqual([]);
    for (const path of [
      '.git/config',
      'deploy/.env',
      'node_modules/ws/index.js',
      'packages/cli/dist/main.js',
      'runs/a',
    ]) {
      expect(isInContext(path), path).toBe(false);
    }
  });

  it('are built from the same, and run alike', () => {
    const built = (stages: typeof cpu) => stages!.filter(({ name }) => ['manifests', 'npm', 'build'].includes(name!));
    expect(built(cuda)).toEqual(built(cpu));
    for (const name of ['USER', 'VOLUME', 'EXPOSE', 'HEALTHCHECK', 'STOPSIGNAL', 'ENTRYPOINT', 'CMD', 'WORKDIR']) {
      expect(lastOf(cuda!.at(-1)!, name), name).toBe(lastOf(cpu!.at(-1)!, name));
    }
  });

  it.for([cpu!, cuda!])('run as nobody in particular, with an init, and name programs that exist', (stages) => {
    const last = stages.at(-1)!;
    const [user] = lastOf(last, 'USER')!.split(':');
    expect(Number(user)).toBeGreaterThan(0);
    expect(JSON.parse(lastOf(last, 'ENTRYPOINT')!)).toEqual(['tini', '--', 'lockstep']);
    const [, health] = /CMD (\[.*\])/.exec(lastOf(last, 'HEALTHCHECK')!)!;
    const text = last.instructions.map((instruction) => instruction.text).join('\n');
    const inApp = [...text.matchAll(/ln -s \/app\/(\S+)/g)].map(([, path]) => path!);
    for (const path of [...inApp, JSON.parse(health!)[1].replace('/app/', '')]) {
      expect(existsSync(join(ROOT, path)), path).toBe(true);
    }
  });
});

describe('systemd', () => {
  const units = filesBelow('systemd').filter((path) => path.endsWith('.service'));

  /** The units as they would be for this checkout, in a folder. */
  function installed(): string[] {
    const folder = temporaryFolder();
    return units.map((path) => {
      const file = join(folder, path.replace('systemd/', ''));
      writeFileSync(file, read(path).replaceAll('/opt/lockstep/', ROOT));
      return file;
    });
  }

  it('starts programs that exist, and stops them as they want to be stopped', () => {
    expect(units).toHaveLength(2);
    for (const path of units) {
      const unit = read(path);
      for (const [, file] of unit.matchAll(/\/opt\/lockstep\/(\S+)/g))
        expect(existsSync(join(ROOT, file!)), file).toBe(true);
      const setting = (name: string): string | undefined => new RegExp(`^${name}=(.*)$`, 'm').exec(unit)?.[1];
      expect(setting('KillSignal')).toBe('SIGTERM');
      expect(Number(setting('TimeoutStopSec'))).toBeGreaterThan(60);
      expect(setting('Restart')).toBe('on-failure');
      expect(setting('SuccessExitStatus')).toBe('130');
    }
  });

  it.skipIf(!has('systemd-analyze'))('passes systemd-analyze verify', async () => {
    const { stdout, stderr } = await run('systemd-analyze', ['verify', ...installed()]);
    // It also looks at units of the system that these name, which are not ours to judge.
    expect((stdout + stderr).split('\n').filter((line) => line.includes('lockstep'))).toEqual([]);
  });
});

describe('slurm', () => {
  it('is a script that bash understands', async () => {
    await run('bash', ['-n', join(DEPLOY, 'slurm/lockstep.sbatch')]);
  });

  it('explains every variable', () => {
    const asked = [...read('slurm/lockstep.sbatch').matchAll(/\$\{(LOCKSTEP_\w+)/g)].map(([, name]) => name!);
    const explained = new Set([...read('slurm/README.md').matchAll(/^\| `(\w+)`/gm)].map(([, name]) => name!));
    expect(explained).toEqual(new Set(asked));
  });
});

describe('documents', () => {
  it.for(filesBelow('.').filter((path) => path.endsWith('.md')))('%s links to what exists', (path) => {
    for (const [, link] of read(path).matchAll(/\]\(([^)#]+)(?:#[^)]*)?\)/g)) {
      if (/^https?:/.test(link!)) continue;
      expect(existsSync(join(DEPLOY, dirname(path), link!)), link).toBe(true);
    }
  });

  it('never hold a token', () => {
    for (const path of filesBelow('.').filter((path) => /\.(?:yaml|yml|example|service|sbatch)$/.test(path))) {
      expect(readFileSync(join(DEPLOY, path), 'utf8'), path).not.toMatch(/LOCKSTEP_TOKEN[=:] *[\w+/-]{8,}$/m);
    }
  });
});
