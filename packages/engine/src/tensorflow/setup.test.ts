/** What may go wrong while TensorFlow is set up, each with something that really fails; `test/tensorflow.test.ts` has the success. */
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type WheelOptions, wheel } from '../testing/wheels.ts';
import { compileBinding, findToolchain } from './compile.ts';
import { listInstalled, requireRoom, unpack, writing } from './files.ts';
import { installationFolder, layout, manifestText, readManifest } from './installation.ts';
import type { SetupOptions } from './obtain.ts';
import { findInstalled } from './python.ts';
import { setUpTensorflow } from './setup.ts';

const temporary = (): string => mkdtempSync(join(tmpdir(), 'lockstep-setup-'));
const works = (command: string, ...args: string[]): boolean => spawnSync(command, args).status === 0;
const withoutCompiler = works('g++', '--version') ? undefined : 'no g++';
const withoutPip = works('python3', '-m', 'pip', '--version') ? undefined : 'no python3 with pip';
const withoutVenv = works('python3', '-m', 'venv', '--help') ? undefined : 'no python3 with venv';
/** A test that is skipped for the first of these reasons that holds. */
function itUnless(reasons: readonly (string | undefined)[], what: string, body: () => Promise<void>): void {
  const reason = reasons.find((each) => each !== undefined);
  it.skipIf(reason !== undefined)(reason === undefined ? what : `${what} (skipped: ${reason})`, body);
}

/** A wheel in a folder of its own. */
function wheelFile(options?: WheelOptions, bytes?: number): string {
  const path = join(temporary(), 'tensorflow.whl');
  writeFileSync(path, wheel(options).subarray(0, bytes));
  return path;
}

/** Sets up into a new folder. */
function setUp(options: Partial<SetupOptions> = {}) {
  const folder = join(temporary(), 'cache', 'tensorflow');
  const defaults = { flavour: 'cpu', wheel: undefined, force: false, env: process.env, signal: undefined } as const;
  return { folder, result: setUpTensorflow({ ...defaults, folder, ...options }) };
}

/** An environment in which only these programs are found. */
function only(...programs: string[]): NodeJS.ProcessEnv {
  const folder = temporary();
  for (const program of programs) {
    const path = spawnSync('sh', ['-c', `command -v ${program}`], { encoding: 'utf8' }).stdout.trim();
    writeFileSync(join(folder, program), `#!/bin/sh\nexec ${path} "$@"\n`);
    chmodSync(join(folder, program), 0o755);
  }
  return { ...process.env, PATH: folder, CXX: undefined };
}

/** A pip that looks for packages nowhere else. */
const pip = (settings: NodeJS.ProcessEnv): NodeJS.ProcessEnv => ({
  ...process.env,
  ...{ PIP_CONFIG_FILE: '/dev/null', PIP_EXTRA_INDEX_URL: '', PIP_FIND_LINKS: '' },
  ...settings,
});

describe('setUpTensorflow', () => {
  it('says which wheels do not fit, before it does anything', async () => {
    const refused = async (path: string, problem: string, flavour: SetupOptions['flavour'] = 'cpu') => {
      const { folder, result } = setUp({ wheel: path, flavour });
      await expect(result).rejects.toMatchObject({ code: 'usage', message: expect.stringContaining(problem) });
      expect(existsSync(join(folder, '..'))).toBe(false);
    };
    await refused('/nonexistent/tensorflow.whl', '/nonexistent/tensorflow.whl does not exist');
    await refused(wheelFile({}, 700), 'only the beginning of one');
    await refused(wheelFile({ platform: 'win_amd64' }), 'is for win_amd64');
    await refused(wheelFile({ name: 'numpy' }), 'is the wheel of numpy, not of TensorFlow');
    await refused(wheelFile({ version: '2.9.1' }), 'is TensorFlow 2.9.1, which does not fit');
    await refused(wheelFile({ files: {} }), 'lacks libtensorflow_cc.so.2');
    await refused(wheelFile(), 'is a build of TensorFlow for CPUs, and --gpu was given', 'gpu');
  });

  itUnless([withoutCompiler], 'tells what the compiler says, and leaves nothing behind', async () => {
    const { folder, result } = setUp({ wheel: wheelFile() });
    await expect(result).rejects.toMatchObject({
      code: 'engine-unavailable',
      message: expect.stringMatching(
        /^The binding to TensorFlow cannot be compiled: g\+\+ ended with code 1\.\n.*error/s,
      ),
      nextStep: expect.stringContaining('--wheel'),
    });
    expect(readdirSync(join(folder, '..'))).toEqual([]);
  });

  it('says that there is no compiler', async () => {
    await expect(setUp({ env: only('python3') }).result).rejects.toMatchObject({
      message: 'The binding to TensorFlow cannot be compiled: there is no C++ compiler (looked for g++, clang++, c++).',
      nextStep: expect.stringContaining('apt-get install g++'),
    });
    await expect(setUp({ env: { ...process.env, CXX: 'no-such-compiler' } }).result).rejects.toMatchObject({
      message: expect.stringContaining('CXX is no-such-compiler'),
    });
  });

  itUnless([withoutCompiler], "says that Node's headers are missing", async () => {
    const options = { env: process.env, signal: undefined };
    await expect(findToolchain(options, '/nonexistent/bin/node')).rejects.toMatchObject({
      message: expect.stringContaining('there is no node_api.h (looked in /nonexistent/include/node'),
      nextStep: expect.stringContaining('libnode-dev'),
    });
  });

  itUnless([withoutCompiler], 'says that there is no Python', async () => {
    await expect(setUp({ env: only('g++') }).result).rejects.toMatchObject({
      code: 'engine-unavailable',
      message: 'TensorFlow cannot be downloaded: there is no Python here.',
      nextStep: expect.stringContaining('--wheel'),
    });
  });

  itUnless([withoutCompiler, withoutVenv], 'says that Python has no pip', async () => {
    const venv = temporary();
    expect(works('python3', '-m', 'venv', '--without-pip', venv)).toBe(true);
    const env = { ...process.env, PATH: `${venv}/bin:${process.env.PATH}` };
    await expect(setUp({ env }).result).rejects.toMatchObject({
      message: expect.stringContaining('cannot be downloaded: this Python has no pip.'),
      nextStep: expect.stringContaining('python3-pip'),
    });
  });

  itUnless([withoutCompiler, withoutPip], 'says that pip does not get at TensorFlow, and why', async () => {
    const failure = async (env: NodeJS.ProcessEnv, downloadDeadlineMs?: number) => {
      const { folder, result } = setUp({ env, downloadDeadlineMs });
      const error = await result.catch((reason: unknown) => reason);
      expect(readdirSync(join(folder, '..'))).toEqual([]);
      return error;
    };
    // Nobody listens there.
    expect(await failure(pip({ PIP_INDEX_URL: 'http://127.0.0.1:9/simple' }))).toMatchObject({
      code: 'engine-unavailable',
      message: expect.stringContaining('cannot be downloaded: pip cannot reach its package index.'),
      nextStep: expect.stringContaining('--wheel'),
    });
    expect(await failure(pip({ PIP_NO_INDEX: '1', PIP_FIND_LINKS: temporary() }))).toMatchObject({
      code: 'engine-unavailable',
      message: expect.stringContaining("pip's package index has none for this machine."),
    });
    expect(await failure(process.env, 10)).toMatchObject({
      code: 'engine-unavailable',
      message: expect.stringContaining('pip did not finish within 0.01 s.'),
    });
  });

  itUnless([withoutCompiler], 'leaves nothing behind when it is interrupted', async () => {
    for (const stage of ['unpack', 'compile'] as const) {
      const controller = new AbortController();
      const { folder, result } = setUp({
        ...{ wheel: wheelFile(), signal: controller.signal },
        onProgress: (progress) => progress.stage === stage && controller.abort(),
      });
      await expect(result).rejects.toMatchObject({ code: 'interrupted' });
      expect(readdirSync(join(folder, '..'))).toEqual([]);
    }
  });

  itUnless([withoutCompiler], 'removes what a killed run left, and nothing that another one is making', async () => {
    const { pid: dead } = spawnSync('true');
    const cache = temporary();
    for (const name of [
      `tensorflow.${dead}.part`,
      `tensorflow.${dead}.old`,
      `tensorflow.${process.ppid}.part`,
      'tensorflow.old',
      'other',
    ]) {
      mkdirSync(join(cache, name));
    }
    await expect(setUp({ folder: join(cache, 'tensorflow'), wheel: wheelFile() }).result).rejects.toThrow();
    expect(readdirSync(cache).sort()).toEqual([`tensorflow.${process.ppid}.part`, 'other', 'tensorflow.old'].sort());
  });

  it('does not touch a folder with something else in it', async () => {
    const folder = temporary();
    writeFileSync(join(folder, 'thesis.txt'), 'years of work');
    await expect(setUp({ folder, wheel: wheelFile(), force: true }).result).rejects.toMatchObject({
      code: 'usage',
      message: `${folder} holds something else than a TensorFlow that lockstep has put there.`,
    });
    expect(existsSync(join(folder, 'thesis.txt'))).toBe(true);
  });

  itUnless([withoutCompiler], 'makes anew what another version of it made', async () => {
    const folder = temporary();
    writeFileSync(join(folder, layout.manifest), '{"format":0}');
    const stages: string[] = [];
    const onProgress = ({ stage }: { stage: string }): unknown => stages.push(stage);
    const failed = { code: 'engine-unavailable', message: expect.stringContaining('cannot be compiled') };
    await expect(setUp({ folder, wheel: wheelFile(), onProgress }).result).rejects.toMatchObject(failed);
    expect(stages[0]).toBe('unpack');
  });

  itUnless([withoutCompiler], 'keeps an installation that does not work until there is a better one', async () => {
    const folder = temporary();
    const manifest = { version: '2.21.0', flavour: 'cpu', source: 'the wheel tensorflow.whl' } as const;
    writeFileSync(join(folder, layout.manifest), manifestText(manifest));
    // It is tried, does not load, and the new one cannot be made.
    const stages: string[] = [];
    const onProgress = ({ stage }: { stage: string }): unknown => stages.push(stage);
    const failed = { code: 'engine-unavailable', message: expect.stringContaining('cannot be compiled') };
    await expect(setUp({ folder, wheel: wheelFile(), onProgress }).result).rejects.toMatchObject(failed);
    expect([stages[0], stages.at(-1)]).toEqual(['check', 'compile']);
    expect(await readManifest(folder)).toEqual(manifest);
  });
});

describe('a place that cannot be written', () => {
  const files = [
    {
      name: 'tensorflow/libtensorflow_cc.so.2',
      size: 10,
      open: async () => (await import('node:stream')).Readable.from([Buffer.alloc(10)]),
    },
  ];

  it.skipIf(!existsSync('/dev/full'))('is named when the disk is full', async () => {
    const folder = temporary();
    mkdirSync(join(folder, 'tensorflow'));
    symlinkSync('/dev/full', join(folder, files[0]!.name));
    await expect(writing(folder, () => unpack(files, folder, undefined, () => {}))).rejects.toMatchObject({
      code: 'cache-unwritable',
      message: expect.stringContaining(`TensorFlow cannot be put into ${folder}: the disk is full`),
      nextStep: expect.stringContaining('--folder'),
    });
  });

  it('is named before anything is written when there is not enough room', async () => {
    await expect(requireRoom(temporary(), 1e18)).rejects.toMatchObject({
      code: 'cache-unwritable',
      message: expect.stringMatching(/^TensorFlow needs 1000000000.00 GB in \S+, and \d+\.\d\d GB are free there\.$/),
    });
  });

  itUnless([withoutCompiler], 'is named when a part of the path is a file', async () => {
    const file = join(temporary(), 'file');
    writeFileSync(file, '');
    const { result } = setUp({ folder: join(file, 'tensorflow'), wheel: wheelFile() });
    await expect(result).rejects.toMatchObject({
      code: 'cache-unwritable',
      message: expect.stringContaining('not a folder'),
    });
  });
});

describe("Python's own TensorFlow", () => {
  itUnless([withoutVenv], 'is found without loading it, and of its files the needed ones', async () => {
    const venv = temporary();
    expect(works('python3', '-m', 'venv', '--without-pip', venv)).toBe(true);
    const python = join(venv, 'bin', 'python');
    const options = { env: process.env, signal: undefined };
    expect(await findInstalled(python, options)).toBeUndefined();
    const { stdout } = spawnSync(python, ['-c', 'import site; print(site.getsitepackages()[0])'], { encoding: 'utf8' });
    const folder = stdout.trim();
    const put = (name: string, content: string): void => {
      mkdirSync(join(folder, name, '..'), { recursive: true });
      writeFileSync(join(folder, name), content);
    };
    put('tensorflow/__init__.py', 'raise Exception("was loaded")');
    put('tensorflow/libtensorflow_cc.so.2', 'library');
    put('tensorflow/include/tensorflow/c/eager/c_api.h', '');
    put('tensorflow/include/tensorflow/core/not_needed.h', '');
    put('nvidia/cudnn/lib/libcudnn.so.9', '');
    put('tensorflow_cpu-2.20.1.dist-info/METADATA', 'Metadata-Version: 2.1\nName: tensorflow_cpu\nVersion: 2.20.1\n');
    expect(await findInstalled(python, options)).toEqual({ version: '2.20.1', folder });
    expect((await listInstalled(folder)).map(({ name, size }) => [name, size])).toEqual([
      ['tensorflow/libtensorflow_cc.so.2', 7],
      ['tensorflow/include/tensorflow/c/eager/c_api.h', 0],
      ['nvidia/cudnn/lib/libcudnn.so.9', 0],
    ]);
  });
});

describe('compileBinding', () => {
  itUnless([withoutCompiler], 'finds CUDA libraries beside it when it is loaded', async () => {
    // A compiler that shows what it is told.
    const compiler = join(temporary(), 'show');
    writeFileSync(compiler, '#!/bin/sh\necho "error: $@" >&2\nexit 1\n');
    chmodSync(compiler, 0o755);
    const toolchain = { compiler, nodeHeaders: '/include', sources: [] };
    const compiling = compileBinding(toolchain, temporary(), ['cudnn'], { env: process.env, signal: undefined });
    await expect(compiling).rejects.toThrow('-Wl,-rpath,$ORIGIN:$ORIGIN/../nvidia/cudnn/lib');
  });
});

describe('installationFolder', () => {
  it('is where the user says, else in the cache', async () => {
    expect(await installationFolder({ LOCKSTEP_TENSORFLOW_DIR: '/a', LOCKSTEP_CACHE_DIR: '/b' })).toBe('/a');
    expect(await installationFolder({ LOCKSTEP_CACHE_DIR: '/b' })).toBe('/b/tensorflow');
    expect(await installationFolder({})).toMatch(/lockstep\/tensorflow$/i);
  });

  it('is not used when another version made it', async () => {
    const folder = temporary();
    writeFileSync(join(folder, layout.manifest), '{"format":0,"version":"2.21.0","flavour":"cpu","source":"a wheel"}');
    expect(await readManifest(folder)).toBeUndefined();
  });
});
