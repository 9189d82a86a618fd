import { existsSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { layout, manifestText } from '../tensorflow/installation.ts';
import { contractModels } from '../testing/models.ts';
import { parseTopology } from '../topology/parse.ts';
import { createTensorflowEngine, findTensorflow, findTfjs, loadCpuBackend } from './backends.ts';

const gpu = '@tensorflow/tfjs-node-gpu';
const cpu = '@tensorflow/tfjs-node';
const node = '20.19.0';
/** Where nothing is set up. */
const nowhere = { LOCKSTEP_TENSORFLOW_DIR: '/nonexistent' };

const notFound = (name: string): never => {
  throw Object.assign(new Error(`Cannot find package '${name}' imported from backends.js`), {
    code: 'ERR_MODULE_NOT_FOUND',
  });
};

/** The namespace of a binding whose TensorFlow works. */
const binding = (isUsingGpuDevice: boolean) => ({
  default: {
    enableProdMode: () => {},
    setBackend: async () => true,
    ready: async () => {},
    backend: () => ({ isUsingGpuDevice }),
  },
});

/** Loads what `modules` holds; an error is thrown, and everything else is not installed. */
const machine = (modules: Readonly<Record<string, unknown>>) => async (name: string) => {
  const found = modules[name];
  if (found instanceof Error) throw found;
  return found ?? notFound(name);
};

/** Whether the package is here and its native library is not, as after an installation without network. */
function isWithoutLibrary(name: string): boolean {
  try {
    const root = path.dirname(createRequire(import.meta.url).resolve(`${name}/package.json`));
    return !existsSync(path.join(root, 'lib'));
  } catch {
    return false;
  }
}

describe('findTensorflow', () => {
  it('reports the device on which TensorFlow says it computes', async () => {
    const onGpu = await findTensorflow(nowhere, node, machine({ [gpu]: binding(true) }));
    expect(onGpu).toMatchObject({ ok: true, backend: { kind: 'tensorflow', name: 'tensorflow', device: 'cuda' } });
    const withoutDriver = await findTensorflow(
      nowhere,
      node,
      machine({ [gpu]: binding(false), [cpu]: binding(false) }),
    );
    expect(withoutDriver).toMatchObject({ ok: true, backend: { device: 'cpu' } });
    expect(await findTensorflow(nowhere, node, machine({ [cpu]: binding(false) }))).toMatchObject({ ok: true });
  });

  it('says that nothing is installed', async () => {
    expect(await findTensorflow(nowhere, node, machine({}))).toEqual({
      ok: false,
      reason: `TensorFlow is not set up. ${gpu} is not installed. ${cpu} is not installed.`,
      nextStep: 'Run: lockstep setup tensorflow',
    });
  });

  it('says which library is missing', async () => {
    const library = new Error('libtensorflow.so.2: cannot open shared object file: No such file or directory');
    expect(await findTensorflow(nowhere, node, machine({ [gpu]: library }))).toMatchObject({
      ok: false,
      reason: expect.stringContaining('libtensorflow.so.2'),
      nextStep: 'Run: lockstep setup tensorflow',
    });
    const needed = Object.assign(new Error("Cannot find module '@mapbox/node-pre-gyp'"), { code: 'MODULE_NOT_FOUND' });
    expect(await findTensorflow(nowhere, node, machine({ [gpu]: needed }))).toMatchObject({
      reason: expect.stringContaining(`${gpu} does not load: Cannot find module '@mapbox/node-pre-gyp'.`),
    });
  });

  it('does not try on a Node that the binaries do not support', async () => {
    const found = await findTensorflow(nowhere, '24.1.0', async () => expect.fail('loaded the binding'));
    expect(found).toMatchObject({ ok: false, reason: expect.stringContaining('Node 24.1.0') });
  });

  it.skipIf(!isWithoutLibrary(gpu))('explains the real failure of a package without its native library', async () => {
    expect(await findTensorflow(nowhere, node)).toMatchObject({
      ok: false,
      reason: expect.stringContaining(`${gpu} is installed without its native library`),
      nextStep: 'Run: lockstep setup tensorflow',
    });
  });
});

describe('createTensorflowEngine', () => {
  it('says that what is set up does not load, and what to do', async () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'lockstep-tensorflow-'));
    mkdirSync(path.join(folder, layout.libraries));
    writeFileSync(path.join(folder, layout.binding), 'not a library');
    writeFileSync(path.join(folder, layout.manifest), manifestText({ version: '2.21.0', flavour: 'cpu', source: '' }));
    const config = { network: parseTopology(contractModels[0]!.topology), labelSmoothing: 0 };
    await expect(createTensorflowEngine(config, { LOCKSTEP_TENSORFLOW_DIR: folder })).rejects.toMatchObject({
      name: 'LockstepError',
      code: 'engine-unavailable',
      message: expect.stringMatching(
        `^TensorFlow 2.21.0 in ${folder} does not load: .*(invalid ELF header|file too short)`,
      ),
      nextStep: 'Run: lockstep setup tensorflow --force',
    });
  });
});

describe('findTfjs', () => {
  const network = (name: string) => parseTopology(contractModels.find((model) => model.name === name)!.topology);

  it('takes wasm where it works and can train the network, and plain JavaScript otherwise', async () => {
    const { tf } = await loadCpuBackend();
    const loaded: string[] = [];
    const load = async (name: string) => {
      loaded.push(name);
      // Any backend will do to play wasm.
      if (tf.findBackendFactory('wasm') === null) tf.registerBackend('wasm', tf.findBackendFactory('cpu'));
    };
    expect(await findTfjs(network('conv valid'), load)).toMatchObject({ name: 'cpu', device: 'cpu' });
    expect(await findTfjs(network('MaxPooling2D valid'), load)).toMatchObject({ name: 'cpu' });
    expect(loaded).toEqual([]);
    const dense = network('relu6 and softmax in the middle');
    expect(await findTfjs(dense, load)).toMatchObject({ kind: 'tfjs', name: 'wasm', device: 'wasm' });
    expect(await findTfjs(dense, machine({}))).toMatchObject({ name: 'cpu' });
    tf.removeBackend('wasm');
  });
});
