/**
 * The default engine's runtimes in a browser: ONNX Runtime's WebAssembly build on one thread, and the build that has
 * WebGPU besides. Each is loaded when it is asked for, since each brings many megabytes of WebAssembly.
 */
import type { InferenceSession, Tensor } from 'onnxruntime-common';
import type { Engine, EngineConfig } from '../engine.ts';
import { createOnnxEngineOn } from './engine.ts';
import { gpuDialect, type OnnxRuntime } from './runtime.ts';

/** How long the WebAssembly may take to come and to start. */
const LOAD_MS = 120_000;

/** What is used of either build. */
type Ort = Pick<typeof import('onnxruntime-common'), 'env' | 'Tensor' | 'InferenceSession'>;

/**
 * Makes outputs arrive in the arrays that were given for them: the web builds only do so for memory of a GPU.
 */
function writingOutputs(session: InferenceSession): InferenceSession {
  const run = async (
    feeds: InferenceSession.FeedsType,
    fetches?: readonly string[] | Readonly<Record<string, Tensor>>,
  ): Promise<InferenceSession.OnnxValueMapType> => {
    if (!fetches) return session.run(feeds);
    if (Array.isArray(fetches)) return session.run(feeds, fetches);
    const results = await session.run(feeds, Object.keys(fetches));
    for (const [name, target] of Object.entries(fetches)) {
      (target.data as Float32Array).set(results[name]!.data as Float32Array);
    }
    return results;
  };
  return Object.create(session, { run: { value: run } });
}

async function open(ort: Ort, graph: Uint8Array, options: InferenceSession.SessionOptions): Promise<InferenceSession> {
  return writingOutputs(await ort.InferenceSession.create(graph, { graphOptimizationLevel: 'all', ...options }));
}

function prepare(ort: Ort): Ort {
  // More would need memory that threads share, which pages only get under special headers.
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.initTimeout = LOAD_MS;
  ort.env.logLevel = 'error';
  return ort;
}

/** The collector does it. */
const release = (): void => {};

const onCpu = (ort: Ort): OnnxRuntime => ({
  device: 'wasm',
  Tensor: ort.Tensor,
  dialect: { block: undefined, gpu: false },
  keeps: false,
  open: (graph) => open(ort, graph, { executionProviders: ['wasm'] }),
  release,
});

/** Opens an engine on WebAssembly. It computes on the thread that calls it. */
export async function createWasmEngine(config: EngineConfig): Promise<Engine> {
  const ort = prepare(await import('onnxruntime-web/wasm'));
  return createOnnxEngineOn(onCpu(ort), config);
}

/**
 * Opens an engine on WebGPU, and another on WebAssembly of the same build to check it by.
 * @param device what the adapter calls itself
 */
export async function createWebGpuEngine(
  config: EngineConfig,
  device: string,
): Promise<{ readonly engine: Engine; readonly reference: Engine }> {
  const ort = prepare(await import('onnxruntime-web/webgpu'));
  const runtime: OnnxRuntime = {
    device,
    Tensor: ort.Tensor,
    dialect: gpuDialect,
    keeps: true,
    open: (graph, keep) =>
      open(ort, graph, {
        executionProviders: ['webgpu'],
        ...(keep ? { preferredOutputLocation: 'gpu-buffer' } : {}),
      }),
    release,
  };
  const engine = await createOnnxEngineOn(runtime, config);
  return { engine, reference: await createOnnxEngineOn(onCpu(ort), config) };
}
